package backend

import (
	"net/url"
	"slices"
	"time"
)

// RouteKind says what an upstream speaks, and so what a route lets pass.
type RouteKind string

// The kinds of route: any HTTP API, and git over HTTPS.
const (
	RouteHTTP   RouteKind = "http"
	RouteGitHub RouteKind = "github"
	RouteGitea  RouteKind = "gitea"
)

// Git says that the route lets nothing but git pass.
func (k RouteKind) Git() bool { return k == RouteGitHub || k == RouteGitea }

// githubURL is the upstream of kind github unless the bottle file has another.
const githubURL = "https://github.com"

// CredentialEntry is one entry of credentials in the bottle file: an HTTP
// service that the agent may use with a secret that it never sees.
type CredentialEntry struct {
	Name         string        `yaml:"name" json:"name" jsonschema:"required,description=Name of the route: inside it is http://NAME.bottle/. github and gitea choose the kind of that name."`
	Kind         RouteKind     `yaml:"kind,omitempty" json:"kind,omitempty" jsonschema:"enum=http,enum=github,enum=gitea,description=What the upstream speaks. github and gitea let git pass and nothing else."`
	Upstream     string        `yaml:"upstream,omitempty" json:"upstream,omitempty" jsonschema:"description=https URL of the one service that the secret is for; http for loopback addresses only."`
	Header       string        `yaml:"header,omitempty" json:"header,omitempty" jsonschema:"description=Header that the secret goes into (default Authorization)."`
	Scheme       string        `yaml:"scheme,omitempty" json:"scheme,omitempty" jsonschema:"description=Word before the secret: Bearer or Basic or another. A header other than Authorization has none by default."`
	User         string        `yaml:"user,omitempty" json:"user,omitempty" jsonschema:"description=User name of scheme Basic."`
	Secret       string        `yaml:"secret" json:"secret" jsonschema:"required,description=env:VAR or file:PATH or command:/PATH ARGUMENT... or keyring:NAME: where on the host the secret comes from."`
	Allow        []RequestRule `yaml:"allow,omitempty" json:"allow,omitempty" jsonschema:"description=Requests of kind http that may pass (default: GET and HEAD of every path)."`
	Repositories []string      `yaml:"repositories,omitempty" json:"repositories,omitempty" jsonschema:"description=owner/name or owner/*: the only repositories that pass, for github and gitea (default: all)."`
}

// RequestRule lets requests pass that have one of the methods and one of the paths.
type RequestRule struct {
	Methods []string `yaml:"methods,omitempty" json:"methods,omitempty" jsonschema:"description=Methods (default: GET and HEAD)."`
	Paths   []string `yaml:"paths,omitempty" json:"paths,omitempty" jsonschema:"description=Globs: * within a part of the path and ** over any number of parts (default: every path)."`
}

// WithDefaults fills in what the entry's name and kind say.
func (e CredentialEntry) WithDefaults() CredentialEntry {
	if e.Kind == "" {
		e.Kind = RouteHTTP
		if named := RouteKind(e.Name); named.Git() {
			e.Kind = named
		}
	}
	if e.Kind == RouteGitHub && e.Upstream == "" {
		e.Upstream = githubURL
	}
	return e
}

// GitURLs are the base URLs, without a slash at the end, that git inside takes
// the route for: the upstream's own, and GitHub's for the route named github.
// Other kinds have none.
func (e CredentialEntry) GitURLs() []string {
	e = e.WithDefaults()
	if !e.Kind.Git() {
		return nil
	}
	list := []string{trimSlash(e.Upstream)}
	if e.Kind == RouteGitHub && e.Name == string(RouteGitHub) && !slices.Contains(list, githubURL) {
		list = append(list, githubURL)
	}
	return list
}

func trimSlash(text string) string {
	parsed, err := url.Parse(text)
	if err != nil {
		return text
	}
	for parsed.Path != "" && parsed.Path[len(parsed.Path)-1] == '/' {
		parsed.Path = parsed.Path[:len(parsed.Path)-1]
	}
	return parsed.String()
}

// DLPMode says what happens to a request of a route that holds a secret.
type DLPMode string

// The ways to deal with a secret that would leave; "" does not look for any.
const (
	DLPWarn  DLPMode = "warn"
	DLPBlock DLPMode = "block"
)

// PlanRoute is a route as planned: what it leads to, and what may pass.
type PlanRoute struct {
	Name     string    `json:"name"`
	Kind     RouteKind `json:"kind"`
	Upstream string    `json:"upstream"`
	Header   string    `json:"header"`
	Scheme   string    `json:"scheme,omitempty"`
	User     string    `json:"user,omitempty"`
	// Source is where the secret comes from, as the bottle file has it.
	Source       string        `json:"source"`
	Allow        []RequestRule `json:"allow,omitempty"`        // kind http
	Repositories []string      `json:"repositories,omitempty"` // git kinds; none means all
}

// RouteSecret is a secret and how long it holds.
type RouteSecret struct {
	Secret  Secret
	Expires time.Time // zero: never
}
