package egress

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/leaks"
	"github.com/containerd/errdefs"
)

// schemeBasic is the one scheme that sends more than the secret itself.
const schemeBasic = "Basic"

// Authentication says how a secret goes onto a request.
type Authentication struct {
	Header string // canonical
	Scheme string // the word before the secret, or ""
	User   string // of scheme Basic
}

// apply overwrites the header. An empty secret is left out.
func (a Authentication) apply(header http.Header, secret backend.Secret) {
	if secret.Empty() {
		return
	}
	value := secret.Reveal()
	if a.Scheme == schemeBasic {
		value = base64.StdEncoding.EncodeToString([]byte(a.User + ":" + value))
	}
	if a.Scheme != "" {
		value = a.Scheme + " " + value
	}
	header.Set(a.Header, value)
}

// forms are the spellings of the secret that an upstream could send back, alone
// or behind the user's name.
func (a Authentication) forms(secret backend.Secret) []string {
	forms := leaks.Spellings(secret.Reveal())
	if a.Scheme == schemeBasic {
		forms = append(forms, leaks.Spellings(a.User+":"+secret.Reveal())...)
	}
	return forms
}

func containsAny(text string, forms []string) bool {
	return slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(text, form) })
}

// dropHeaders takes out what the agent could authenticate by, what could make
// upstream take the request for another, and what would cut an answer into
// pieces that are too small to be scanned.
func dropHeaders(header http.Header) {
	for name := range header {
		lower := strings.ToLower(name)
		for _, part := range []string{"auth", "token", "cookie", "api-key", "apikey", "api_key", "access-key", "secret", "password", "signature", "x-forwarded"} {
			if strings.Contains(lower, part) {
				delete(header, name)
			}
		}
		switch lower {
		case "x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url", "sudo",
			"range", "if-range", "upgrade", "http2-settings", "connection", "expect", "forwarded", "via":
			delete(header, name)
		}
	}
}

// checkQuery refuses a credential of the agent's own in the query, and another
// method or user than the one that is judged.
func checkQuery(target *url.URL) error {
	values, err := url.ParseQuery(target.RawQuery)
	if err != nil {
		return fmt.Errorf("query: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	for name := range values {
		switch strings.ToLower(name) {
		case "access_token", "private_token", "job_token", "oauth_token", "auth_token", "token", "api_key", "apikey", "api-key", "key", "sudo", "_method":
			return fmt.Errorf("query with %s is not open to a bottle: the route authenticates: %w", backend.Printable(name), errdefs.ErrPermissionDenied)
		}
	}
	return nil
}
