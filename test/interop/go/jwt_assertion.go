package main

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func withJWTAssertion() (string, error) {
	kid := os.Getenv("KEY_ID")
	text, err := os.ReadFile(os.Getenv("PRIVATE_KEY_FILE"))
	if err != nil {
		return "", err
	}
	key, err := jwt.ParseECPrivateKeyFromPEM(text)
	if err != nil {
		return "", err
	}
	// --- snippet
	jwt.MarshalSingleStringAsArray = false // an audience is text, and not a list
	assertion := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
		Issuer:    clientID,
		Subject:   clientID,
		Audience:  jwt.ClaimStrings{issuer},
		ID:        rand.Text(),
		ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)),
	})
	assertion.Header["kid"] = kid
	signed, err := assertion.SignedString(key)
	if err != nil {
		return "", err
	}
	config := clientcredentials.Config{
		ClientID:  clientID,
		TokenURL:  issuer + "/token",
		AuthStyle: oauth2.AuthStyleInParams, // the id alone, because there is no secret
		EndpointParams: url.Values{
			"resource":              {audience},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {signed},
		},
	}
	token, err := config.Token(context.Background()) // once: a new assertion for each token
	// --- end
	if err != nil {
		return "", err
	}
	return token.AccessToken, nil
}
