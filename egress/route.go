package egress

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
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

// RouteOptions say where a route leads, and what may pass.
type RouteOptions struct {
	// Name is the first label of the host inside: NAME.bottle.
	Name string
	// Upstream is the one service that the route leads to.
	Upstream *url.URL
	// Title is what errors call the upstream.
	Title string
	// Authentication says how the credential goes onto requests.
	Authentication Authentication
	// Credential returns the present secret. An empty one goes nowhere.
	Credential func() backend.Secret
	// Admit judges a request, and may read and replace its body. It refuses
	// with PermissionDenied, ResourceExhausted or another error.
	Admit func(*http.Request) error
	// Leaks looks into what the route lets pass; nil looks into nothing.
	Leaks *LeakScan
	// Problem puts an error into the form that clients of the upstream know.
	Problem func(status int, message string) (contentType string, body []byte)
	// Log hears of every request, Refused of every 401.
	Log     func(Event)
	Refused func(status int)
}

// Route stands for one HTTP service inside the bottle: it puts the credential
// on requests to the one upstream that it belongs to, and on nothing else.
type Route struct {
	options RouteOptions
	proxy   *httputil.ReverseProxy
	server  *http.Server
	conns   *connections
}

// NewRoute returns a route that serves until Close.
func NewRoute(options RouteOptions) *Route {
	r := &Route{options: options, conns: newConnections()}
	r.proxy = &httputil.ReverseProxy{
		Rewrite:        r.rewrite,
		ModifyResponse: r.checkResponse,
		ErrorHandler:   r.upstreamFailed,
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
	r.server = &http.Server{
		Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { _ = r.server.Serve(r.conns) }()
	return r
}

// Host is the name of the route inside every bottle.
func (r *Route) Host() string { return r.options.Name + "." + Domain }

// Serve takes a connection of the bottle over. It does not wait for its end.
func (r *Route) Serve(conn net.Conn) { r.conns.add(conn) }

// Close ends all connections.
func (r *Route) Close() {
	r.conns.stop()
	_ = r.server.Close()
	if transport, ok := r.proxy.Transport.(*http.Transport); ok {
		transport.CloseIdleConnections()
	}
}

// secretKey is the context key of the secret that a request carries: another
// one may be there when its answer comes.
type secretKey struct{}

// serve judges one request, and passes it on.
func (r *Route) serve(w http.ResponseWriter, request *http.Request) {
	if err := r.admit(request); err != nil {
		status := http.StatusBadRequest
		switch {
		case errdefs.IsPermissionDenied(err):
			status = http.StatusForbidden
		case errdefs.IsResourceExhausted(err):
			status = http.StatusRequestEntityTooLarge
		}
		reason := "claude-bottle: " + err.Error()
		r.log(request, false, reason, status)
		r.fail(w, status, reason)
		return
	}
	ctx := context.WithValue(request.Context(), secretKey{}, r.options.Credential())
	r.proxy.ServeHTTP(finalOnly{w}, request.WithContext(ctx))
}

// admit refuses what no route passes on, then asks the route's own rules.
func (r *Route) admit(request *http.Request) error {
	switch request.Method {
	case http.MethodTrace, http.MethodConnect:
		return notOpen(request)
	}
	if protocol := request.Header.Get("Upgrade"); protocol != "" && protocol != "h2c" { // h2c is an offer that may be left alone
		return fmt.Errorf("upgrade to %s is not open to a bottle: %w", backend.Printable(protocol), errdefs.ErrPermissionDenied)
	}
	if err := checkQuery(request.URL); err != nil {
		return err
	}
	if err := r.options.Admit(request); err != nil || r.options.Leaks == nil {
		return err
	}
	return r.options.Leaks.check(r, request)
}

func notOpen(request *http.Request) error {
	return fmt.Errorf("%s %s is not open to a bottle: %w", backend.Printable(request.Method), backend.Printable(request.URL.EscapedPath()), errdefs.ErrPermissionDenied)
}

// rewrite makes the request upstream's: the credential is ours, whatever the
// agent sent.
func (r *Route) rewrite(request *httputil.ProxyRequest) {
	request.SetURL(r.options.Upstream)
	request.Out.Host = r.options.Upstream.Host
	dropHeaders(request.Out.Header)
	request.Out.Header.Set("Accept-Encoding", "identity")
	r.options.Authentication.apply(request.Out.Header, secretOf(request.In))
}

func secretOf(request *http.Request) backend.Secret {
	secret, _ := request.Context().Value(secretKey{}).(backend.Secret)
	return secret
}

// checkResponse lets nothing back in that could hold the credential.
func (r *Route) checkResponse(response *http.Response) error {
	r.log(response.Request, true, "", response.StatusCode)
	secret := secretOf(response.Request)
	if response.StatusCode == http.StatusUnauthorized && !secret.Empty() {
		r.options.Refused(response.StatusCode)
		r.unchallenge(response)
		return nil
	}
	if err := r.checkRedirect(response); err != nil {
		return err
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
	if secret.Empty() {
		return nil
	}
	forms := r.options.Authentication.forms(secret)
	for name, values := range response.Header {
		if containsAny(name+"\n"+strings.Join(values, "\n"), forms) {
			delete(response.Header, name)
		}
	}
	response.Body = &answer{newScanner(response.Body, forms...), response}
	return nil
}

// checkRedirect turns a redirect within the upstream into one within the route,
// and refuses every other.
func (r *Route) checkRedirect(response *http.Response) error {
	if response.StatusCode < 300 || response.StatusCode >= 400 || response.StatusCode == http.StatusNotModified {
		return nil
	}
	upstream := r.options.Upstream
	target, err := response.Location()
	if err != nil {
		return fmt.Errorf("%s redirects to nowhere: %w", r.options.Title, errdefs.ErrPermissionDenied)
	}
	base := strings.TrimSuffix(upstream.Path, "/")
	rest, within := strings.CutPrefix(target.Path, base)
	if target.Scheme != upstream.Scheme || !strings.EqualFold(target.Host, upstream.Host) || target.User != nil || !within || rest != "" && rest[0] != '/' {
		return fmt.Errorf("%s redirects to %s, which this route does not lead to: %w", r.options.Title, backend.Printable(target.Scheme+"://"+target.Host), errdefs.ErrPermissionDenied)
	}
	target.Scheme, target.Host = "http", r.Host()
	if base != "" {
		target.RawPath = strings.TrimPrefix(target.EscapedPath(), upstream.EscapedPath())
		target.Path = rest
	}
	response.Header.Set("Location", target.String())
	return nil
}

// unchallenge turns upstream's 401 into a 403 that says what nobody inside can
// mend: at a 401 clients ask for a password that would not help, or try for
// minutes.
func (r *Route) unchallenge(response *http.Response) {
	_ = response.Body.Close()
	contentType, body := r.options.Problem(http.StatusForbidden, "claude-bottle: "+r.options.Title+" refused the credential (401); only the user outside can renew it")
	response.StatusCode = http.StatusForbidden
	response.Header = http.Header{"Content-Type": {contentType}}
	response.ContentLength, response.TransferEncoding, response.Trailer = int64(len(body)), nil, nil
	response.Body = io.NopCloser(bytes.NewReader(body))
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

func (r *Route) upstreamFailed(w http.ResponseWriter, request *http.Request, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	unreached := "claude-bottle: " + r.options.Title + " can't be reached: "
	// The text of a network error says where in the host's network things are.
	logged, said := unreached+err.Error(), unreached+cmp.Or(reasonOf(err), err.Error())
	if errdefs.IsPermissionDenied(err) || errdefs.IsInvalidArgument(err) {
		logged, said = "claude-bottle: "+err.Error(), "claude-bottle: "+err.Error()
	}
	r.log(request, false, logged, http.StatusBadGateway)
	r.fail(w, http.StatusBadGateway, said)
}

func (r *Route) log(request *http.Request, allowed bool, reason string, status int) {
	if r.options.Log != nil {
		r.options.Log(Event{
			Kind: "request", Host: r.Host(), Method: request.Method, Path: r.options.Leaks.clean(request.URL.EscapedPath()),
			Allowed: allowed, Reason: reason, Status: status,
		})
	}
}

// fail answers in upstream's place.
func (r *Route) fail(w http.ResponseWriter, status int, message string) {
	contentType, body := r.options.Problem(status, message)
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// plainProblem is an error as any server words it.
func plainProblem(_ int, message string) (contentType string, body []byte) {
	return "text/plain; charset=utf-8", []byte(message + "\n")
}
