package egress

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
	"golang.org/x/net/http/httpguts"
)

// gitUser is the user name that goes with a token: GitHub and Gitea look at the
// token alone.
const gitUser = "x-access-token"

var routeName = pattern.Lazy(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ParseRoutes resolves what a bottle file says about credentials. A mistake is
// an InvalidArgument error that names the entry.
func ParseRoutes(entries []backend.CredentialEntry) ([]backend.PlanRoute, error) {
	routes := make([]backend.PlanRoute, 0, len(entries))
	owner := map[string]string{} // of a URL that git inside takes a route for
	for i, entry := range entries {
		if !routeName().MatchString(entry.Name) {
			return nil, fmt.Errorf("credentials: entry %d: name %q: give a to z, 0 to 9 and hyphens: %w", i+1, entry.Name, errdefs.ErrInvalidArgument)
		}
		route, err := parseRoute(entry.WithDefaults())
		if err != nil {
			return nil, fmt.Errorf("credentials: %s: %w", entry.Name, err)
		}
		if slices.ContainsFunc(routes, func(other backend.PlanRoute) bool { return other.Name == entry.Name }) {
			return nil, fmt.Errorf("credentials: %s stands there twice: %w", entry.Name, errdefs.ErrInvalidArgument)
		}
		for _, base := range entry.GitURLs() {
			if other, taken := owner[base]; taken {
				return nil, fmt.Errorf("credentials: %s and %s both stand for %s: git could not tell them apart: %w", other, entry.Name, base, errdefs.ErrInvalidArgument)
			}
			owner[base] = entry.Name
		}
		routes = append(routes, route)
	}
	return routes, nil
}

func parseRoute(entry backend.CredentialEntry) (backend.PlanRoute, error) {
	route := backend.PlanRoute{
		Name: entry.Name, Kind: entry.Kind, Upstream: strings.TrimSuffix(entry.Upstream, "/"), Source: entry.Secret,
		Header: http.CanonicalHeaderKey(entry.Header), Scheme: entry.Scheme, User: entry.User,
	}
	if entry.Name == anthropicName {
		return route, fmt.Errorf("this route is there already, with ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN: choose another name: %w", errdefs.ErrInvalidArgument)
	}
	if _, err := parseSource(entry.Secret); err != nil {
		return route, err
	}
	if err := checkUpstream(entry.Upstream); err != nil {
		return route, err
	}
	switch {
	case entry.Kind == backend.RouteHTTP:
		return httpRoute(route, entry)
	case entry.Kind.Git():
		return gitRoute(route, entry)
	default:
		return route, fmt.Errorf("kind %q: http, github or gitea: %w", entry.Kind, errdefs.ErrInvalidArgument)
	}
}

// checkUpstream wants https: the secret would else be seen on its way.
func checkUpstream(text string) error {
	upstream, err := url.Parse(text)
	switch {
	case text == "":
		return fmt.Errorf("upstream is missing: give the https URL of the service: %w", errdefs.ErrInvalidArgument)
	case err != nil || upstream.Hostname() == "" || upstream.Scheme != "https" && upstream.Scheme != "http":
		return fmt.Errorf("upstream %q is not an https URL: %w", text, errdefs.ErrInvalidArgument)
	case upstream.User != nil || upstream.RawQuery != "" || upstream.Fragment != "":
		return fmt.Errorf("upstream %q: no user, query and fragment may stand there: %w", text, errdefs.ErrInvalidArgument)
	case upstream.Scheme == "http" && !isLoopback(upstream.Hostname()):
		return fmt.Errorf("upstream %q: the secret would go over the network unencrypted: take https: %w", text, errdefs.ErrInvalidArgument)
	}
	return nil
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

func httpRoute(route backend.PlanRoute, entry backend.CredentialEntry) (backend.PlanRoute, error) {
	if len(entry.Repositories) > 0 {
		return route, fmt.Errorf("repositories are for kind github and gitea: give allow instead: %w", errdefs.ErrInvalidArgument)
	}
	if route.Header == "" {
		route.Header = "Authorization"
	}
	if route.Scheme == "" && route.Header == "Authorization" {
		route.Scheme = "Bearer"
	}
	if strings.EqualFold(route.Scheme, schemeBasic) {
		route.Scheme = schemeBasic
	}
	switch {
	case !httpguts.ValidHeaderFieldName(route.Header):
		return route, fmt.Errorf("header %q is not the name of a header: %w", entry.Header, errdefs.ErrInvalidArgument)
	case framing(route.Header):
		return route, fmt.Errorf("header %s is not for a credential: %w", route.Header, errdefs.ErrInvalidArgument)
	case route.Scheme != "" && !httpguts.ValidHeaderFieldName(route.Scheme):
		return route, fmt.Errorf("scheme %q is not one word: %w", entry.Scheme, errdefs.ErrInvalidArgument)
	case (route.Scheme == schemeBasic) != (route.User != ""):
		return route, fmt.Errorf("user and scheme Basic belong together: give both or neither: %w", errdefs.ErrInvalidArgument)
	case strings.Contains(route.User, ":") || !printable(route.User):
		return route, fmt.Errorf("user %q: no colon and nothing but printable ASCII may stand there: %w", route.User, errdefs.ErrInvalidArgument)
	}
	var err error
	route.Allow, err = requestRules(entry.Allow)
	return route, err
}

// framing are the headers that say where a request ends and goes.
func framing(header string) bool {
	switch header {
	case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te", "Trailer", "Accept-Encoding", "Content-Encoding", "Expect":
		return true
	default:
		return false
	}
}

// requestRules fills in the defaults: GET and HEAD, and every path.
func requestRules(given []backend.RequestRule) ([]backend.RequestRule, error) {
	if len(given) == 0 {
		given = []backend.RequestRule{{}}
	}
	rules := make([]backend.RequestRule, 0, len(given))
	for _, rule := range given {
		if len(rule.Methods) == 0 {
			rule.Methods = []string{http.MethodGet, http.MethodHead}
		}
		if len(rule.Paths) == 0 {
			rule.Paths = []string{everyPath}
		}
		for _, method := range rule.Methods {
			switch method {
			case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
			default:
				return nil, fmt.Errorf("allow: method %q: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS: %w", method, errdefs.ErrInvalidArgument)
			}
		}
		for _, pattern := range rule.Paths {
			if err := checkGlob(pattern); err != nil {
				return nil, fmt.Errorf("allow: %w", err)
			}
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

func gitRoute(route backend.PlanRoute, entry backend.CredentialEntry) (backend.PlanRoute, error) {
	switch {
	case len(entry.Allow) > 0:
		return route, fmt.Errorf("allow is for kind http: git passes and nothing else; give repositories to say which: %w", errdefs.ErrInvalidArgument)
	case entry.Header != "" || entry.Scheme != "":
		return route, fmt.Errorf("header and scheme are for kind http: git authenticates by Basic: %w", errdefs.ErrInvalidArgument)
	case strings.Contains(entry.User, ":") || !printable(entry.User):
		return route, fmt.Errorf("user %q: no colon and nothing but printable ASCII may stand there: %w", entry.User, errdefs.ErrInvalidArgument)
	}
	route.Header, route.Scheme = "Authorization", schemeBasic
	if route.User == "" {
		route.User = gitUser
	}
	for _, repository := range entry.Repositories {
		owner, name, _ := strings.Cut(repository, "/")
		if !word(owner) || name != "*" && !word(name) {
			return route, fmt.Errorf("repositories: %q: give owner/name, or owner/*: %w", repository, errdefs.ErrInvalidArgument)
		}
		route.Repositories = append(route.Repositories, strings.TrimSuffix(repository, ".git"))
	}
	return route, nil
}

// printable says that a text is printable ASCII, as the value of a header is.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}

// OpenRoute opens the route that ParseRoutes has planned. Scan is nil, or looks
// into what passes, but not into git's packs: they are packed. The caller closes
// the route.
func OpenRoute(plan backend.PlanRoute, scan *LeakScan, credential func() backend.Secret, log func(Event), refused func(status int)) (*Route, error) {
	upstream, err := url.Parse(plan.Upstream)
	if err != nil {
		return nil, fmt.Errorf("upstream of %s: %w: %w", plan.Name, err, errdefs.ErrInvalidArgument)
	}
	admit := ruled{plan.Allow, strings.Trim(upstream.Path, "/") != ""}.admit
	if plan.Kind.Git() {
		admit, scan = gitOnly{plan.Repositories}.admit, nil
	}
	return NewRoute(RouteOptions{
		Name: plan.Name, Upstream: upstream, Title: upstream.Host,
		Authentication: Authentication{plan.Header, plan.Scheme, plan.User},
		Credential:     credential, Admit: admit, Leaks: scan, Problem: plainProblem, Log: log, Refused: refused,
	}), nil
}
