package main

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func withGoJOSE() (string, error) {
	// --- snippet
	// Fetch it again when a kid is unknown, and keep it for five minutes.
	response, err := http.Get(issuer + "/.well-known/jwks.json")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(response.Body).Decode(&keys); err != nil {
		return "", err
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", err
	}
	var claims jwt.Claims
	if err := parsed.Claims(keys, &claims); err != nil {
		return "", err
	}
	err = claims.Validate(jwt.Expected{Issuer: issuer, AnyAudience: jwt.Audience{audience}, Time: time.Now()})
	// --- end
	return claims.Subject, err
}
