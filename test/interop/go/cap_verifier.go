package main

import (
	"context"
	"os"

	"github.com/hashicorp/cap/jwt"
)

func withCap() (string, error) {
	ctx := context.Background()
	authority, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err != nil {
		return "", err
	}
	// --- snippet
	keys, err := jwt.NewOIDCDiscoveryKeySet(ctx, issuer, string(authority)) // "" for a public authority
	if err != nil {
		return "", err
	}
	validator, err := jwt.NewValidator(keys)
	if err != nil {
		return "", err
	}
	claims, err := validator.Validate(ctx, token, jwt.Expected{
		Issuer:            issuer,
		Audiences:         []string{audience},
		SigningAlgorithms: []jwt.Alg{jwt.ES256}, // without it, RS256
	})
	// --- end
	if err != nil {
		return "", err
	}
	return claims["sub"].(string), nil
}
