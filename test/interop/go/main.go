// One program with a command for each library: it prints a token, or whose token it accepted.
package main

import (
	"fmt"
	"os"
)

var (
	issuer       = os.Getenv("ISSUER")
	clientID     = os.Getenv("CLIENT_ID")
	clientSecret = os.Getenv("CLIENT_SECRET")
	audience     = os.Getenv("AUDIENCE")
	token        = os.Getenv("TOKEN")
)

var programs = map[string]func() (string, error){
	"oauth2":            withOAuth2,
	"go-oidc":           withGoOIDC,
	"keyfunc":           withKeyfunc,
	"go-jose":           withGoJOSE,
	"go-jwt-middleware": withGoJWTMiddleware,
	"jwx":               withJWX,
	"jwt-assertion":     withJWTAssertion,
	"certificate":       withCertificate,
	"cap":               withCap,
	"zitadel":           withZitadel,
}

func main() {
	result, err := programs[os.Args[1]]()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(result)
}
