package egress

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// everyPath is the glob that limits nothing.
const everyPath = "/**"

// ruled admits what one of the rules has, method and path together.
type ruled struct {
	rules []backend.RequestRule
	// based says that upstream is no more than a part of its host.
	based bool
}

func (r ruled) admit(request *http.Request) error {
	ambiguous := ambiguousPath(request.URL)
	for _, rule := range r.rules {
		if !slices.Contains(rule.Methods, request.Method) {
			continue
		}
		for _, pattern := range rule.Paths {
			if ambiguous && (r.based || pattern != everyPath) {
				continue // who knows which path upstream would read
			}
			if matchGlob(strings.Split(pattern, "/"), strings.Split(request.URL.Path, "/")) {
				return nil
			}
		}
	}
	return notOpen(request)
}

// ambiguousPath says that two servers could take the path for two.
func ambiguousPath(target *url.URL) bool {
	if target.Path == "" || target.Path[0] != '/' || strings.ContainsAny(target.Path, "\\;%") || strings.ContainsFunc(target.Path, func(c rune) bool { return c < ' ' }) {
		return true
	}
	if escaped := strings.ToLower(target.EscapedPath()); strings.Contains(escaped, "%2f") || strings.Contains(escaped, "%2e") {
		return true
	}
	clean := path.Clean(target.Path)
	return clean != target.Path && clean+"/" != target.Path
}

// matchGlob compares part by part; ** stands for any number of parts.
func matchGlob(pattern, parts []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for from := range len(parts) + 1 {
				if matchGlob(pattern[1:], parts[from:]) {
					return true
				}
			}
			return false
		}
		if len(parts) == 0 {
			return false
		}
		if matched, err := path.Match(pattern[0], parts[0]); err != nil || !matched {
			return false
		}
		pattern, parts = pattern[1:], parts[1:]
	}
	return len(parts) == 0
}

// gitOnly admits git's smart protocol over HTTP, to the repositories that are
// listed, or to all when there is no list.
type gitOnly struct{ repositories []string }

func (g gitOnly) admit(request *http.Request) error {
	repository, ok := gitRequest(request)
	if !ok || ambiguousPath(request.URL) {
		return notOpen(request)
	}
	if len(g.repositories) == 0 {
		return nil
	}
	for _, pattern := range g.repositories {
		if matched, err := path.Match(strings.ToLower(pattern), strings.ToLower(repository)); err == nil && matched {
			return nil
		}
	}
	return fmt.Errorf("repository %s is not open to a bottle: add it to repositories of the route in the bottle file: %w", backend.Printable(repository), errdefs.ErrPermissionDenied)
}

// gitRequest takes the request apart: which repository, and whether it is git's.
func gitRequest(request *http.Request) (repository string, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(request.URL.Path, "/"), "/", 3)
	if len(parts) != 3 {
		return "", false
	}
	repository = parts[0] + "/" + strings.TrimSuffix(parts[1], ".git")
	service := parts[2]
	switch request.Method {
	case http.MethodGet:
		ok = service == "info/refs" && (request.URL.RawQuery == "service=git-upload-pack" || request.URL.RawQuery == "service=git-receive-pack")
	case http.MethodPost:
		ok = (service == "git-upload-pack" || service == "git-receive-pack") && request.URL.RawQuery == ""
	}
	return repository, ok && validRepository(repository)
}

// validRepository says that it is owner/name, of letters that need no escape.
func validRepository(repository string) bool {
	owner, name, ok := strings.Cut(repository, "/")
	return ok && word(owner) && word(name)
}

func word(text string) bool {
	return text != "" && text[0] != '.' && !strings.ContainsFunc(text, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("._-", c)
	})
}

// checkGlob refuses globs that could never match, or not what they seem to.
func checkGlob(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil || !strings.HasPrefix(pattern, "/") || strings.ContainsAny(pattern, "?#%") {
		return fmt.Errorf("path %q: give a path that begins with /, in which * stands for a part and ** for any number of parts: %w", pattern, errdefs.ErrInvalidArgument)
	}
	return nil
}
