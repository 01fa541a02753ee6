package main

import (
	"context"

	"github.com/coreos/go-oidc/v3/oidc"
)

func withGoOIDC() (string, error) {
	ctx := context.Background()
	// --- snippet
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return "", err
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: audience}) // it compares this with aud
	accepted, err := verifier.Verify(ctx, token)
	// --- end
	if err != nil {
		return "", err
	}
	return accepted.Subject, nil
}
