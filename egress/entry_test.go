package egress

import (
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func TestWhatACredentialEntryStandsFor(t *testing.T) {
	read := []backend.RequestRule{{Methods: []string{"GET", "HEAD"}, Paths: []string{"/**"}}}
	tests := map[string]struct {
		entry backend.CredentialEntry
		want  backend.PlanRoute
	}{
		"the least": {
			backend.CredentialEntry{Name: "svc", Upstream: "https://api.example", Secret: "env:KEY"},
			backend.PlanRoute{Name: "svc", Kind: "http", Upstream: "https://api.example", Source: "env:KEY", Header: "Authorization", Scheme: "Bearer", Allow: read},
		},
		"a key in a header": {
			backend.CredentialEntry{Name: "svc", Upstream: "https://api.example/v1/", Secret: "file:~/key", Header: "x-api-key"},
			backend.PlanRoute{Name: "svc", Kind: "http", Upstream: "https://api.example/v1", Source: "file:~/key", Header: "X-Api-Key", Allow: read},
		},
		"github by its name": {
			backend.CredentialEntry{Name: "github", Secret: "env:GITHUB_TOKEN"},
			backend.PlanRoute{Name: "github", Kind: "github", Upstream: "https://github.com", Source: "env:GITHUB_TOKEN", Header: "Authorization", Scheme: "Basic", User: "x-access-token"},
		},
		"gitea with repositories": {
			backend.CredentialEntry{Name: "code", Kind: "gitea", Upstream: "https://code.example", Secret: "command:/bin/helper get", Repositories: []string{"o/r.git", "team/*"}},
			backend.PlanRoute{
				Name: "code", Kind: "gitea", Upstream: "https://code.example", Source: "command:/bin/helper get", Header: "Authorization", Scheme: "Basic", User: "x-access-token",
				Repositories: []string{"o/r", "team/*"},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseRoutes([]backend.CredentialEntry{test.entry})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]backend.PlanRoute{test.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMistakesInCredentialsNameTheEntry(t *testing.T) {
	good := backend.CredentialEntry{Name: "svc", Upstream: "https://api.example", Secret: "env:KEY"}
	change := func(f func(*backend.CredentialEntry)) []backend.CredentialEntry {
		entry := good
		f(&entry)
		return []backend.CredentialEntry{entry}
	}
	tests := map[string]struct {
		entries []backend.CredentialEntry
		want    string
	}{
		"no name":           {change(func(e *backend.CredentialEntry) { e.Name = "" }), "entry 1"},
		"a name with dots":  {change(func(e *backend.CredentialEntry) { e.Name = "a.b" }), `"a.b"`},
		"the gateway's":     {change(func(e *backend.CredentialEntry) { e.Name = "anthropic" }), "choose another name"},
		"twice":             {append(change(func(*backend.CredentialEntry) {}), good), "twice"},
		"a kind":            {change(func(e *backend.CredentialEntry) { e.Kind = "gitlab" }), "http, github or gitea"},
		"no upstream":       {change(func(e *backend.CredentialEntry) { e.Upstream = "" }), "upstream is missing"},
		"an upstream":       {change(func(e *backend.CredentialEntry) { e.Upstream = "api.example" }), "not an https URL"},
		"unencrypted":       {change(func(e *backend.CredentialEntry) { e.Upstream = "http://api.example" }), "take https"},
		"a user in the URL": {change(func(e *backend.CredentialEntry) { e.Upstream = "https://u:p@api.example" }), "no user"},
		"a header":          {change(func(e *backend.CredentialEntry) { e.Header = "X Key" }), "not the name of a header"},
		"a framing header":  {change(func(e *backend.CredentialEntry) { e.Header = "transfer-encoding" }), "not for a credential"},
		"a scheme":          {change(func(e *backend.CredentialEntry) { e.Scheme = "two words" }), "one word"},
		"basic alone":       {change(func(e *backend.CredentialEntry) { e.Scheme = "Basic" }), "belong together"},
		"a user alone":      {change(func(e *backend.CredentialEntry) { e.User = "robot" }), "belong together"},
		"a user with colon": {change(func(e *backend.CredentialEntry) { e.Scheme, e.User = "Basic", "a:b" }), "no colon"},
		"a method":          {change(func(e *backend.CredentialEntry) { e.Allow = []backend.RequestRule{{Methods: []string{"TRACE"}}} }), `"TRACE"`},
		"a path":            {change(func(e *backend.CredentialEntry) { e.Allow = []backend.RequestRule{{Paths: []string{"v1/*"}}} }), `"v1/*"`},
		"a path's query":    {change(func(e *backend.CredentialEntry) { e.Allow = []backend.RequestRule{{Paths: []string{"/v1?x"}}} }), `"/v1?x"`},
		"repositories":      {change(func(e *backend.CredentialEntry) { e.Repositories = []string{"o/r"} }), "allow instead"},
		"git with rules":    {change(func(e *backend.CredentialEntry) { e.Kind, e.Allow = "gitea", []backend.RequestRule{{}} }), "repositories"},
		"git with a header": {change(func(e *backend.CredentialEntry) { e.Kind, e.Header = "gitea", "X-Key" }), "Basic"},
		"a repository":      {change(func(e *backend.CredentialEntry) { e.Kind, e.Repositories = "gitea", []string{"o/r/x"} }), `"o/r/x"`},
		"two for one URL": {
			append(change(func(e *backend.CredentialEntry) { e.Kind, e.Name = "gitea", "one" }), change(func(e *backend.CredentialEntry) { e.Kind, e.Name = "gitea", "two" })...),
			"one and two both stand for",
		},
		"no source":          {change(func(e *backend.CredentialEntry) { e.Secret = "" }), "where it comes from"},
		"a relative file":    {change(func(e *backend.CredentialEntry) { e.Secret = "file:key" }), "absolute"},
		"a relative program": {change(func(e *backend.CredentialEntry) { e.Secret = "command:pass show" }), "absolute"},
		"an assignment":      {change(func(e *backend.CredentialEntry) { e.Secret = "env:A=b" }), "variable"},
		"nothing behind it":  {change(func(e *backend.CredentialEntry) { e.Secret = "keyring:" }), "nothing stands"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseRoutes(test.entries)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "credentials: ") {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestT30_ASecretInThePlaceOfItsSourceIsNotRepeated(t *testing.T) {
	_, err := ParseRoutes([]backend.CredentialEntry{{Name: "svc", Upstream: "https://api.example", Secret: "ghp_canary:0001"}})
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}
