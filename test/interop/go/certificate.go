package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func withCertificate() (string, error) {
	certificateFile, keyFile := os.Getenv("CERTIFICATE_FILE"), os.Getenv("CERTIFICATE_KEY_FILE")
	mtlsURL := os.Getenv("MTLS_URL")
	// --- snippet
	certificate, err := tls.LoadX509KeyPair(certificateFile, keyFile)
	if err != nil {
		return "", err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Transport: transport})
	config := clientcredentials.Config{
		ClientID:       clientID,
		TokenURL:       mtlsURL + "/token",
		AuthStyle:      oauth2.AuthStyleInParams, // the id alone, because there is no secret
		EndpointParams: url.Values{"resource": {audience}},
	}
	token, err := config.Token(ctx)
	// --- end
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}
