package egress

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

const routeSecret = "ghp_ours-canary-0001"

// openRoute is a client of a route to upstream, and the number of refusals that
// were reported.
func openRoute(t *testing.T, entry backend.CredentialEntry, secret string) (*http.Client, *atomic.Int32) {
	t.Helper()
	plans, err := ParseRoutes([]backend.CredentialEntry{entry})
	if err != nil {
		t.Fatal(err)
	}
	refused := new(atomic.Int32)
	route, err := OpenRoute(plans[0], nil, func() backend.Secret { return backend.NewSecret(secret) }, nil, func(int) { refused.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(route.Close)
	return routeClient(t, route), refused
}

// request sends a request to the route named forge, and returns status and body; a
// body that was cut ends in [cut].
func request(t *testing.T, client *http.Client, method, target string, header http.Header) (*http.Response, string) {
	t.Helper()
	asked, err := http.NewRequestWithContext(t.Context(), method, "http://forge.bottle"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		asked.Header[name] = values
	}
	response, err := client.Do(asked)
	if err != nil {
		return &http.Response{Header: http.Header{}}, "[cut]"
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response, string(body) + "[cut]"
	}
	return response, string(body)
}

func TestT29_EachSchemePutsTheSecretWhereItBelongs(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("robot:"+routeSecret))
	tests := map[string]struct {
		entry        backend.CredentialEntry
		header, want string
	}{
		"bearer by default": {backend.CredentialEntry{}, "Authorization", "Bearer " + routeSecret},
		"basic":             {backend.CredentialEntry{Scheme: "basic", User: "robot"}, "Authorization", basic},
		"a key":             {backend.CredentialEntry{Header: "x-api-key"}, "X-Api-Key", routeSecret},
		"a word of its own": {backend.CredentialEntry{Header: "Authorization", Scheme: "token"}, "Authorization", "token " + routeSecret},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			upstream := newAPI(t, nil)
			test.entry.Name, test.entry.Upstream, test.entry.Secret = "forge", upstream.URL, "env:TOKEN"
			client, _ := openRoute(t, test.entry, routeSecret)
			request(t, client, "GET", "/v1/things?page=2", http.Header{
				"Authorization": {"Bearer stolen"}, "X-Api-Key": {"stolen"}, "Private-Token": {"stolen"}, "Cookie": {"session=stolen"}, "Proxy-Authorization": {"stolen"},
				"X-Http-Method-Override": {"DELETE"}, "Accept": {"text/plain"},
			})
			if upstream.heard() != 1 {
				t.Fatalf("%d requests upstream", upstream.heard())
			}
			got := upstream.requests[0]
			if got.Header.Get(test.header) != test.want || got.URL.String() != "/v1/things?page=2" || got.Header.Get("Accept") != "text/plain" {
				t.Errorf("upstream hears %s with %v, want %s: %s", got.URL, got.Header, test.header, test.want)
			}
			for name, values := range got.Header {
				if strings.Contains(strings.Join(values, " "), "stolen") || name == "X-Http-Method-Override" {
					t.Errorf("the agent's %s went upstream: %v", name, values)
				}
			}
		})
	}
}

func TestT30_NoSpellingOfTheSecretComesBack(t *testing.T) {
	const odd = "s3cret+canary/with=signs&more"
	spellings := map[string]func(r *http.Request) string{
		"plain":             func(*http.Request) string { return odd },
		"as it was sent":    func(r *http.Request) string { return r.Header.Get("Authorization") },
		"escaped":           func(*http.Request) string { return url.QueryEscape(odd) },
		"base64":            func(*http.Request) string { return base64.StdEncoding.EncodeToString([]byte(odd)) },
		"base64 and more":   func(*http.Request) string { return base64.StdEncoding.EncodeToString([]byte(odd + " is the secret")) },
		"base64 of the URL": func(*http.Request) string { return base64.RawURLEncoding.EncodeToString([]byte(odd)) },
	}
	for name, spell := range spellings {
		t.Run(name, func(t *testing.T) {
			upstream := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Echo", spell(r))
				_, _ = io.WriteString(w, "before "+spell(r)+" after")
			})
			client, _ := openRoute(t, backend.CredentialEntry{Name: "forge", Upstream: upstream.URL, Secret: "env:TOKEN", Scheme: "Basic", User: "robot"}, odd)
			response, body := request(t, client, "GET", "/", nil)
			if response.Header.Get("X-Echo") != "" || strings.Contains(body, "after") || !strings.HasSuffix(body, "[cut]") {
				t.Errorf("the answer came through: %v %q", response.Header, body)
			}
		})
	}
}

func TestT29_WhatNoRouteLetsPass(t *testing.T) {
	upstream := newAPI(t, nil)
	client, _ := openRoute(t, backend.CredentialEntry{Name: "forge", Upstream: upstream.URL, Secret: "env:TOKEN", Allow: []backend.RequestRule{
		{Methods: []string{"GET", "POST"}, Paths: []string{"/repos/*/issues", "/public/**"}},
		{Paths: []string{"/user"}},
	}}, routeSecret)
	tests := []struct {
		method, target string
		header         http.Header
		status         int
	}{
		{"GET", "/repos/lamp/issues", nil, 200},
		{"POST", "/repos/lamp/issues?page=1", nil, 200},
		{"GET", "/public/", nil, 200},
		{"GET", "/public/a/b/c", nil, 200},
		{"HEAD", "/user", nil, 200},
		{"POST", "/user", nil, 403},
		{"DELETE", "/repos/lamp/issues", nil, 403},
		{"TRACE", "/public/a", nil, 403},
		{"GET", "/repos/lamp/table/issues", nil, 403},
		{"GET", "/repos//issues", nil, 403},
		{"GET", "/repos/..%2fadmin/issues", nil, 403},
		{"GET", "/public/%2e%2e/admin", nil, 403},
		{"GET", "/public/..;/admin", nil, 403},
		{"GET", "/public/a%5c..%5cadmin", nil, 403},
		{"GET", "/public/%252e%252e/admin", nil, 403},
		{"GET", "/public//a", nil, 403},
		{"GET", "/", nil, 403},
		{"GET", "/public/a?access_token=x", nil, 403},
		{"GET", "/public/a?Private_Token=x", nil, 403},
		{"GET", "/public/a?_method=DELETE", nil, 403},
		{"GET", "/public/a?a;b=%zz", nil, 400},
		{"GET", "/public/a", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, 403},
	}
	for _, test := range tests {
		before := upstream.heard()
		response, body := request(t, client, test.method, test.target, test.header)
		if response.StatusCode != test.status || (upstream.heard() > before) != (test.status == 200) {
			t.Errorf("%s %s: status %d, %d requests upstream, want %d: %s", test.method, test.target, response.StatusCode, upstream.heard()-before, test.status, body)
		}
	}
}

func TestT29_AGitRouteLetsGitPassAndNothingElse(t *testing.T) {
	upstream := newAPI(t, nil)
	client, _ := openRoute(t, backend.CredentialEntry{
		Name: "forge", Kind: backend.RouteGitea, Upstream: upstream.URL, Secret: "env:TOKEN", Repositories: []string{"owner/repo", "team/*"},
	}, routeSecret)
	tests := []struct {
		method, target string
		status         int
	}{
		{"GET", "/owner/repo.git/info/refs?service=git-upload-pack", 200},
		{"GET", "/Owner/Repo/info/refs?service=git-receive-pack", 200},
		{"POST", "/team/any.git/git-upload-pack", 200},
		{"POST", "/team/any.git/git-receive-pack", 200},
		{"GET", "/owner/other.git/info/refs?service=git-upload-pack", 403},
		{"POST", "/other/repo.git/git-receive-pack", 403},
		{"GET", "/owner/repo.git/info/refs", 403},
		{"GET", "/owner/repo.git/info/refs?service=git-upload-archive", 403},
		{"GET", "/owner/repo.git/info/refs?service=git-upload-pack&x=1", 403},
		{"GET", "/owner/repo.git/HEAD", 403},
		{"GET", "/api/v1/user", 403},
		{"POST", "/owner/repo.git/git-upload-pack?x=1", 403},
		{"PUT", "/owner/repo.git/git-receive-pack", 403},
		{"GET", "/owner/repo.git/../other.git/info/refs?service=git-upload-pack", 403},
		{"GET", "/owner%2frepo.git/x/info/refs?service=git-upload-pack", 403},
	}
	for _, test := range tests {
		before := upstream.heard()
		response, body := request(t, client, test.method, test.target, nil)
		if response.StatusCode != test.status || (upstream.heard() > before) != (test.status == 200) {
			t.Errorf("%s %s: status %d, want %d: %s", test.method, test.target, response.StatusCode, test.status, body)
		}
	}
}

func TestT30_ARedirectStaysWithinTheRoute(t *testing.T) {
	tests := map[string]struct{ location, want string }{
		"within":             {"/base/next?page=2", "http://forge.bottle/next?page=2"},
		"by name":            {"UPSTREAM/base/next", "http://forge.bottle/next"},
		"relative":           {"next", "http://forge.bottle/a/next"},
		"to another host":    {"https://evil.example/steal", ""},
		"to no scheme":       {"//evil.example/steal", ""},
		"above the base":     {"/elsewhere", ""},
		"beside the base":    {"/basement", ""},
		"with a user":        {"http://user@HOST/base/next", ""},
		"to another scheme":  {"ftp://HOST/base/next", ""},
		"to nothing":         {"", ""},
		"to what is no URL":  {"http://[", ""},
		"with a port beside": {"UPSTREAM1/base/next", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			upstream := newAPI(t, nil)
			host := strings.TrimPrefix(upstream.URL, "http://")
			upstream.answer = func(w http.ResponseWriter, _ *http.Request) {
				location := strings.NewReplacer("UPSTREAM", upstream.URL, "HOST", host).Replace(test.location)
				w.Header()["Location"] = []string{location}
				w.WriteHeader(http.StatusFound)
			}
			client, _ := openRoute(t, backend.CredentialEntry{Name: "forge", Upstream: upstream.URL + "/base/", Secret: "env:TOKEN"}, routeSecret)
			response, body := request(t, client, "GET", "/a/b", nil)
			if got := response.Header.Get("Location"); got != test.want || (response.StatusCode == http.StatusFound) != (test.want != "") {
				t.Errorf("status %d, location %q, want %q: %s", response.StatusCode, got, test.want, body)
			}
			if upstream.requests[0].URL.Path != "/base/a/b" {
				t.Errorf("upstream hears %s", upstream.requests[0].URL)
			}
		})
	}
}

func TestARefusedCredentialIsSaidInsideAndOutside(t *testing.T) {
	upstream := newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="forge"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	client, refused := openRoute(t, backend.CredentialEntry{Name: "forge", Upstream: upstream.URL, Secret: "env:TOKEN"}, routeSecret)
	response, body := request(t, client, "GET", "/", nil)
	if response.StatusCode != http.StatusForbidden || response.Header.Get("Www-Authenticate") != "" || !strings.Contains(body, "only the user outside can renew it") {
		t.Errorf("inside: status %d, %v: %s", response.StatusCode, response.Header, body)
	}
	if refused.Load() != 1 {
		t.Errorf("reported %d times", refused.Load())
	}
	a := newAgent(t, AnthropicOptions{Upstream: upstream.URL})
	response, body = a.do("POST", "/v1/messages", nil, []byte("{}"))
	if response.StatusCode != http.StatusForbidden || !strings.HasPrefix(body, `{"type":"error","error":{"type":"permission_error","message":"claude-bottle: the API refused`) {
		t.Errorf("claude hears status %d: %s", response.StatusCode, body)
	}
}
