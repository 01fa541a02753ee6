package main

import (
	"context"
	"net/url"
	"time"

	"github.com/auth0/go-jwt-middleware/v2/jwks"
	"github.com/auth0/go-jwt-middleware/v2/validator"
)

func withGoJWTMiddleware() (string, error) {
	ctx := context.Background()
	issuerURL, err := url.Parse(issuer)
	if err != nil {
		return "", err
	}
	// --- snippet
	keys := jwks.NewCachingProvider(issuerURL, 5*time.Minute)
	checked, err := validator.New(keys.KeyFunc, validator.ES256, issuer, []string{audience})
	if err != nil {
		return "", err
	}
	accepted, err := checked.ValidateToken(ctx, token)
	// --- end
	if err != nil {
		return "", err
	}
	return accepted.(*validator.ValidatedClaims).RegisteredClaims.Subject, nil
}
