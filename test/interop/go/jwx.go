package main

import (
	"context"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

func withJWX() (string, error) {
	ctx := context.Background()
	// --- snippet
	keys, err := jwk.Fetch(ctx, issuer+"/.well-known/jwks.json")
	if err != nil {
		return "", err
	}
	accepted, err := jwt.Parse([]byte(token), jwt.WithKeySet(keys), jwt.WithIssuer(issuer), jwt.WithAudience(audience))
	// --- end
	if err != nil {
		return "", err
	}
	subject, _ := accepted.Subject()
	return subject, nil
}
