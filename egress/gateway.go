package egress

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// maxBody bounds a request: the API itself takes 32 MiB.
const maxBody = 33 << 20

// endpoints are what claude needs of the API, by path, and the methods of each.
var endpoints = map[string][]string{
	"/v1/messages":              {http.MethodPost},
	"/v1/messages/count_tokens": {http.MethodPost},
	"/v1/models":                {http.MethodGet},
	"/api/hello":                {http.MethodGet, http.MethodHead},
}

// GatewayOptions are what a gateway needs.
type GatewayOptions struct {
	// Upstream is the API's URL.
	Upstream string
	Kind     backend.CredentialKind
	// Credential goes onto every request, and nowhere else.
	Credential backend.Secret
	// ServerTools are what Anthropic's servers may fetch for the agent.
	ServerTools []string
	// Log hears of every request.
	Log func(Event)
}

// Gateway stands for the Anthropic API inside the bottle: it puts the credential
// on requests to the one upstream that it belongs to.
type Gateway struct {
	options  GatewayOptions
	upstream *url.URL
	proxy    *httputil.ReverseProxy
	server   *http.Server
	conns    *connections
}

// NewGateway returns a gateway that serves until Close.
func NewGateway(options GatewayOptions) (*Gateway, error) {
	upstream, err := url.Parse(options.Upstream)
	if err != nil || upstream.Host == "" || upstream.Scheme != "https" && upstream.Scheme != "http" {
		return nil, fmt.Errorf("ANTHROPIC_BASE_URL %s is not an http or https URL: %w", backend.Printable(options.Upstream), errdefs.ErrInvalidArgument)
	}
	g := &Gateway{options: options, upstream: upstream, conns: newConnections()}
	g.proxy = &httputil.ReverseProxy{
		Rewrite:        g.rewrite,
		ModifyResponse: g.checkResponse,
		ErrorHandler:   g.upstreamFailed,
		FlushInterval:  -1, // events are streamed
		ErrorLog:       log.New(io.Discard, "", 0),
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   10 * time.Second,
			ForceAttemptHTTP2:     true,
			DisableCompression:    true, // answers are scanned
			MaxIdleConnsPerHost:   8,
			IdleConnTimeout:       90 * time.Second,
			ResponseHeaderTimeout: 10 * time.Minute, // an answer without streaming takes long
		},
	}
	g.server = &http.Server{
		Handler: http.HandlerFunc(g.serve), ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { _ = g.server.Serve(g.conns) }()
	return g, nil
}

// Serve takes a connection of the bottle over. It does not wait for its end.
func (g *Gateway) Serve(conn net.Conn) { g.conns.add(conn) }

// Close ends all connections.
func (g *Gateway) Close() {
	g.conns.stop()
	_ = g.server.Close()
	if transport, ok := g.proxy.Transport.(*http.Transport); ok {
		transport.CloseIdleConnections()
	}
}

// serve judges one request, and passes it on.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, reason string) {
		g.log(r, false, reason, status)
		writeError(w, status, reason)
	}
	allowed, known := endpoints[r.URL.EscapedPath()]
	if !known || !contains(allowed, r.Method) {
		refuse(http.StatusForbidden, fmt.Sprintf("claude-bottle: %s %s is not open to a bottle", r.Method, backend.Printable(r.URL.EscapedPath())))
		return
	}
	if r.Method == http.MethodPost {
		body, err := g.checkBody(r)
		switch {
		case errdefs.IsPermissionDenied(err):
			refuse(http.StatusForbidden, "claude-bottle: "+err.Error())
			return
		case errdefs.IsResourceExhausted(err):
			refuse(http.StatusRequestEntityTooLarge, "claude-bottle: "+err.Error())
			return
		case err != nil:
			refuse(http.StatusBadRequest, "claude-bottle: "+err.Error())
			return
		}
		r.Body, r.ContentLength, r.TransferEncoding = body, body.size, nil
	}
	g.proxy.ServeHTTP(finalOnly{w}, r)
}

// rewrite makes the request upstream's: the credential is ours, whatever the
// agent sent.
func (g *Gateway) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(g.upstream)
	r.Out.Host = g.upstream.Host
	for _, name := range []string{"X-Api-Key", "Authorization", "Proxy-Authorization", "Cookie", "Upgrade", "Connection", "Expect", "Forwarded", "Via"} {
		r.Out.Header.Del(name)
	}
	r.Out.Header.Set("Accept-Encoding", "identity")
	secret := g.options.Credential
	if secret.Empty() {
		return
	}
	switch g.options.Kind {
	case backend.CredentialAPIKey:
		r.Out.Header.Set("X-Api-Key", secret.Reveal())
	case backend.CredentialOAuth:
		r.Out.Header.Set("Authorization", "Bearer "+secret.Reveal())
	case backend.CredentialNone:
	}
}

// checkResponse lets nothing back in that could hold the credential.
func (g *Gateway) checkResponse(response *http.Response) error {
	g.log(response.Request, true, "", response.StatusCode)
	if response.StatusCode >= 300 && response.StatusCode < 400 && response.StatusCode != http.StatusNotModified {
		return fmt.Errorf("upstream redirects: %w", errdefs.ErrPermissionDenied)
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return fmt.Errorf("upstream switches protocols: %w", errdefs.ErrPermissionDenied)
	}
	response.Header.Del("Set-Cookie")
	response.Header.Del("Trailer")
	response.Trailer = nil
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return fmt.Errorf("upstream answers in %s, which was not asked for: %w", backend.Printable(encoding), errdefs.ErrInvalidArgument)
	}
	secret := g.options.Credential.Reveal()
	if secret == "" {
		return nil
	}
	for name, values := range response.Header {
		if strings.Contains(strings.Join(values, "\n"), secret) {
			response.Header.Del(name)
		}
	}
	response.Body = &answer{newScanner(response.Body, secret), response}
	return nil
}

// answer is a body whose trailers, which can't be scanned before they go, are
// dropped when it ends.
type answer struct {
	*scanner
	response *http.Response
}

// Close implements io.Closer.
func (a *answer) Close() error {
	err := a.scanner.Close()
	a.response.Trailer = nil
	return err
}

// finalOnly drops what upstream says before its answer, which nobody scans.
type finalOnly struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w finalOnly) WriteHeader(status int) {
	if status >= 200 {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Unwrap lets http.ResponseController through.
func (w finalOnly) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (g *Gateway) upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	// The text of a network error may hold the upstream's address, no more.
	reason := "claude-bottle: the API can't be reached: " + err.Error()
	g.log(r, false, reason, http.StatusBadGateway)
	writeError(w, http.StatusBadGateway, reason)
}

func (g *Gateway) log(r *http.Request, allowed bool, reason string, status int) {
	if g.options.Log != nil {
		g.options.Log(Event{
			Kind: "request", Host: GatewayHost, Method: r.Method, Path: r.URL.EscapedPath(),
			Allowed: allowed, Reason: reason, Status: status,
		})
	}
}

// writeError answers as the API does.
func writeError(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	type problem struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	_ = json.NewEncoder(w).Encode(struct {
		Type  string  `json:"type"`
		Error problem `json:"error"`
	}{"error", problem{errorType(status), message}})
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

func contains(list []string, s string) bool {
	for _, entry := range list {
		if entry == s {
			return true
		}
	}
	return false
}
