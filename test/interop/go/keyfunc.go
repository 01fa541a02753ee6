package main

import (
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

func withKeyfunc() (string, error) {
	// --- snippet
	keys, err := keyfunc.NewDefault([]string{issuer + "/.well-known/jwks.json"})
	if err != nil {
		return "", err
	}
	accepted, err := jwt.Parse(token, keys.Keyfunc,
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience))
	// --- end
	if err != nil {
		return "", err
	}
	return accepted.Claims.GetSubject()
}
