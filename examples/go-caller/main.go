// A machine that calls a service with a token. The library gets the token, keeps it, and renews it.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2/clientcredentials"
)

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

var (
	issuer       = setting("ISSUER", "http://127.0.0.1:8080")
	audience     = setting("AUDIENCE", "https://orders.example.com")
	clientID     = setting("CLIENT_ID", "billing")
	clientSecret = os.Getenv("CLIENT_SECRET")
	service      = setting("SERVICE_URL", "http://127.0.0.1:9003/orders")
)

func main() {
	config := clientcredentials.Config{
		ClientID:       clientID,
		ClientSecret:   clientSecret,
		TokenURL:       issuer + "/token",
		EndpointParams: url.Values{"resource": {audience}},
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	// One client for the whole program: it has the token. The transport puts it into every request that it sends, so use
	// this client for this one service, and do not let it follow redirects to another.
	client := config.Client(ctx)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for range 2 {
		if err := call(ctx, client); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func call(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, service, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		// An error of the token service has its description in it.
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", service, response.Status, response.Header.Get("WWW-Authenticate"))
	}
	fmt.Println(strings.TrimSpace(string(body)))
	return nil
}
