package main

import (
	"context"
	"net/http"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func withZitadel() (string, error) {
	ctx := context.Background()
	// --- snippet
	keys := rp.NewRemoteKeySet(http.DefaultClient, issuer+"/.well-known/jwks.json")
	verifier := op.NewAccessTokenVerifier(issuer, keys, op.WithSupportedAccessTokenSigningAlgorithms("ES256"))
	claims, err := op.VerifyAccessToken[*oidc.AccessTokenClaims](ctx, token, verifier)
	if err != nil {
		return "", err
	}
	err = oidc.CheckAudience(claims, audience) // it does not do so by itself
	// --- end
	if err != nil {
		return "", err
	}
	return claims.Subject, nil
}
