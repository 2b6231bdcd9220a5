package egress

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// maxBody bounds a request: the API itself takes 32 MiB.
const maxBody = 33 << 20

// anthropicName is the route to the Anthropic API in every bottle.
const anthropicName = "anthropic"

// endpoints are what claude needs of the API, by path, and the methods of each.
var endpoints = map[string][]string{
	"/v1/messages":              {http.MethodPost},
	"/v1/messages/count_tokens": {http.MethodPost},
	"/v1/models":                {http.MethodGet},
	"/api/hello":                {http.MethodGet, http.MethodHead},
}

// AnthropicOptions are what the route to the Anthropic API needs.
type AnthropicOptions struct {
	// Upstream is the API's URL.
	Upstream string
	Kind     backend.CredentialKind
	// Credential goes onto every request, and nowhere else.
	Credential backend.Secret
	// ServerTools are what Anthropic's servers may fetch for the agent.
	ServerTools []string
	// Leaks looks into what passes; nil looks into nothing.
	Leaks *LeakScan
	// Log hears of every request, Refused of every 401; either may be nil.
	Log     func(Event)
	Refused func(status int)
}

// NewAnthropic returns the route to the Anthropic API, which serves until Close:
// few endpoints, and bodies that are read before they go.
func NewAnthropic(options AnthropicOptions) (*Route, error) {
	upstream, err := url.Parse(options.Upstream)
	if err != nil || upstream.Host == "" || upstream.Scheme != "https" && upstream.Scheme != "http" {
		return nil, fmt.Errorf("ANTHROPIC_BASE_URL %s is not an http or https URL: %w", backend.Printable(options.Upstream), errdefs.ErrInvalidArgument)
	}
	authentication := Authentication{Header: "X-Api-Key"}
	if options.Kind == backend.CredentialOAuth {
		authentication = Authentication{Header: "Authorization", Scheme: "Bearer"}
	}
	secret := options.Credential
	if options.Kind == backend.CredentialNone {
		secret = backend.Secret{}
	}
	refused := options.Refused
	if refused == nil {
		refused = func(int) {}
	}
	return NewRoute(RouteOptions{
		Name: anthropicName, Upstream: upstream, Title: "the API", Authentication: authentication,
		Credential: func() backend.Secret { return secret },
		Admit:      serverSide{options.ServerTools}.admit, Leaks: options.Leaks,
		Problem: problem, Log: options.Log, Refused: refused,
	}), nil
}

// admit lets the endpoints pass, with bodies that hold nothing else.
func (s serverSide) admit(request *http.Request) error {
	allowed, known := endpoints[request.URL.EscapedPath()]
	if !known || !slices.Contains(allowed, request.Method) {
		return notOpen(request)
	}
	if request.Method != http.MethodPost {
		return nil
	}
	body, err := s.checkBody(request)
	if err != nil {
		return err
	}
	request.Body, request.ContentLength, request.TransferEncoding = body, body.size, nil
	return nil
}

// problem is an error as the API words it.
func problem(status int, message string) (contentType string, body []byte) {
	type detail struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	body, _ = json.Marshal(struct { // of strings alone: it can't fail
		Type  string `json:"type"`
		Error detail `json:"error"`
	}{"error", detail{errorType(status), message}})
	return "application/json", body
}

func errorType(status int) string {
	switch status {
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusBadRequest:
		return "invalid_request_error"
	default:
		return "api_error"
	}
}
