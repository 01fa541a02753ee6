package main

import (
	"context"
	"net/url"

	"golang.org/x/oauth2/clientcredentials"
)

func withOAuth2() (string, error) {
	// --- snippet
	config := clientcredentials.Config{
		ClientID:       clientID,
		ClientSecret:   clientSecret,
		TokenURL:       issuer + "/token",
		EndpointParams: url.Values{"resource": {audience}},
	}
	token, err := config.Token(context.Background())
	// --- end
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}
