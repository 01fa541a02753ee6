// A service that accepts tokens: GET /orders needs the scope orders:read.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

var (
	issuer   = setting("ISSUER", "http://127.0.0.1:8080")
	audience = setting("AUDIENCE", "https://orders.example.com")
	address  = setting("ADDRESS", "127.0.0.1:9003")
)

func main() {
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		log.Fatal(err)
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: audience}) // it compares this with aud
	http.Handle("GET /orders", requireScope(verifier, "orders:read", http.HandlerFunc(listOrders)))
	server := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("http://%s/orders accepts tokens of %s for %s\n", address, issuer, audience)
	log.Fatal(server.ListenAndServe())
}

type claims struct {
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
}

type callerKey struct{}

func listOrders(response http.ResponseWriter, request *http.Request) {
	caller := request.Context().Value(callerKey{}).(claims)
	response.Header().Set("content-type", "application/json")
	json.NewEncoder(response).Encode(map[string]any{"caller": caller.ClientID, "orders": []string{}})
}

func requireScope(verifier *oidc.IDTokenVerifier, scope string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		caller, err := accept(request, verifier)
		if err != nil {
			// The reason is for the log. A caller learns that its token is not accepted (RFC 6750 §3.1).
			log.Printf("%s refused: %v", request.URL.Path, err)
			response.Header().Set("www-authenticate", `Bearer error="invalid_token"`)
			http.Error(response, "The token is not accepted.", http.StatusUnauthorized)
			return
		}
		// As whole words: the library checks no scope.
		if !slices.Contains(strings.Fields(caller.Scope), scope) {
			response.Header().Set("www-authenticate", fmt.Sprintf(`Bearer error="insufficient_scope", scope=%q`, scope))
			http.Error(response, "The token lacks a scope.", http.StatusForbidden)
			return
		}
		log.Printf("%s %s", request.URL.Path, caller.ClientID)
		next.ServeHTTP(response, request.WithContext(context.WithValue(request.Context(), callerKey{}, caller)))
	})
}

func accept(request *http.Request, verifier *oidc.IDTokenVerifier) (claims, error) {
	var caller claims
	scheme, token, found := strings.Cut(request.Header.Get("authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return caller, errors.New("there is no token")
	}
	accepted, err := verifier.Verify(request.Context(), token)
	if err != nil {
		return caller, err
	}
	// Neither does it check the type, without which another kind of token of the same issuer would do (RFC 9068 §4).
	header, err := base64.RawURLEncoding.DecodeString(token[:strings.Index(token, ".")])
	if err != nil {
		return caller, err
	}
	var typed struct{ Typ string }
	if err := json.Unmarshal(header, &typed); err != nil || !strings.EqualFold(typed.Typ, "at+jwt") {
		return caller, errors.New("it is no access token")
	}
	return caller, accepted.Claims(&caller)
}
