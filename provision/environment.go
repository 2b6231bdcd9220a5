package provision

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
)

// AnthropicURL is how the API is called inside every bottle.
const AnthropicURL = "http://anthropic.bottle"

var (
	variable  = pattern.Lazy(`^[A-Za-z_][A-Za-z0-9_]*$`)
	terminal  = pattern.Lazy(`^[A-Za-z0-9][A-Za-z0-9.+-]{0,63}$`)
	forwarded = pattern.Lazy(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
)

// Environment lists claude's variables: ours, and those of the bottle file. A
// variable of ours in the bottle file is an InvalidArgument error, unless it is
// one that a user may well set.
func Environment(spec backend.Spec, credential backend.CredentialKind) ([]backend.EnvVariable, error) {
	ours := builtIn(credential)
	if slices.ContainsFunc(spec.Manifest.Bottle.SSH, func(entry backend.SSHEntry) bool { return !entry.Copy }) {
		ours["SSH_AUTH_SOCK"] = backend.SSHAgentPath
	}
	list := make(map[string]backend.EnvVariable, len(ours))
	for name, value := range ours {
		list[name] = backend.NewEnv(name, backend.EnvBuiltIn, value)
	}
	if err := addForeign(list, spec.Manifest.Bottle); err != nil {
		return nil, err
	}
	for name, text := range spec.Manifest.Bottle.Env {
		if !variable().MatchString(name) {
			return nil, fmt.Errorf("bottle %s: env: %q is not the name of a variable: %w", spec.Manifest.Bottle.Name, name, errdefs.ErrInvalidArgument)
		}
		if reserved(name) {
			return nil, fmt.Errorf("bottle %s: env: %s is set by claude-bottle itself: take it out: %w", spec.Manifest.Bottle.Name, name, errdefs.ErrInvalidArgument)
		}
		entry, err := parseValue(name, text)
		if err != nil {
			return nil, fmt.Errorf("bottle %s: %w", spec.Manifest.Bottle.Name, err)
		}
		list[name] = entry
	}
	sorted := make([]backend.EnvVariable, 0, len(list))
	for _, name := range slices.Sorted(maps.Keys(list)) {
		sorted = append(sorted, list[name])
	}
	return sorted, nil
}

// addForeign adds the variables of a devcontainer.json. They are literals, whatever they
// look like.
func addForeign(list map[string]backend.EnvVariable, bottle backend.BottleFile) error {
	if bottle.Devcontainer == nil {
		return nil
	}
	for name, text := range bottle.Devcontainer.Env {
		if refusal := RefuseForeign(name); refusal != "" {
			return fmt.Errorf("%s: containerEnv: %s: %s: %w", bottle.Devcontainer.File, backend.Printable(name), refusal, errdefs.ErrInvalidArgument)
		}
		list[name] = backend.NewEnv(name, backend.EnvDevcontainer, text)
	}
	return nil
}

// RefuseForeign says why the file of a repository can't set a variable; "" is that it can.
func RefuseForeign(name string) string {
	_, built := builtIn(backend.CredentialNone)[name] // the others are reserved
	switch {
	case !variable().MatchString(name):
		return "it is not the name of a variable"
	case built, reserved(name), name == "TERM", name == "COLORTERM":
		return "claude-bottle itself sets it"
	default:
		return ""
	}
}

// TerminalEnvironment tells claude which terminal it draws on. Names that are
// not plain words are not passed on.
func TerminalEnvironment(spec backend.Spec) []backend.EnvVariable {
	var list []backend.EnvVariable
	for _, name := range []string{"TERM", "COLORTERM"} {
		value, _ := spec.Lookup(name)
		if value == "" && name == "TERM" {
			value = "xterm-256color"
		}
		if terminal().MatchString(value) {
			list = append(list, backend.NewEnv(name, backend.EnvBuiltIn, value))
		}
	}
	return list
}

// parseValue tells the three kinds of value apart. A backslash in front makes
// what follows a literal.
func parseValue(name, text string) (backend.EnvVariable, error) {
	if strings.ContainsRune(text, 0) {
		return backend.EnvVariable{}, fmt.Errorf("env: the value of %s holds a zero byte: %w", name, errdefs.ErrInvalidArgument)
	}
	if match := forwarded().FindStringSubmatch(text); match != nil {
		return backend.EnvVariable{Name: name, Origin: backend.EnvForwarded, From: match[1]}, nil
	}
	switch {
	case strings.HasPrefix(text, "${"):
		return backend.EnvVariable{}, fmt.Errorf("env: %s: %q is not ${NAME}: only a whole value can be forwarded: %w", name, text, errdefs.ErrInvalidArgument)
	case strings.HasPrefix(text, "?"):
		return backend.EnvVariable{Name: name, Origin: backend.EnvAsked, Prompt: strings.TrimSpace(text[1:])}, nil
	case strings.HasPrefix(text, `\?`), strings.HasPrefix(text, `\${`):
		text = text[1:]
	}
	return backend.NewEnv(name, backend.EnvLiteral, text), nil
}

// reserved are the variables by which the bottle's own promises hold.
func reserved(name string) bool {
	switch name {
	case "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_UNIX_SOCKET", "CLAUDE_CODE_OAUTH_TOKEN",
		"HOME", "USER", "LOGNAME", "IS_SANDBOX", "CLAUDE_CONFIG_DIR", "SSH_AUTH_SOCK":
		return true
	default:
		return false
	}
}

// Basics are the variables, NAME=value, of whatever runs in a bottle.
func Basics() []string {
	list := make([]string, 0, 8)
	for name, value := range basics() {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

func basics() map[string]string {
	return map[string]string{
		"HOME": backend.HomePath, "USER": "claude", "LOGNAME": "claude", "SHELL": "/bin/sh", "LANG": "C.UTF-8",
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}
}

func builtIn(credential backend.CredentialKind) map[string]string {
	list := basics()
	maps.Copy(list, map[string]string{
		"ANTHROPIC_BASE_URL": AnthropicURL,
		"IS_SANDBOX":         "1",
		// Telemetry, updates and the marketplace would knock at hosts
		// that no bottle file has allowed.
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC":             "1",
		"CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
		"DISABLE_AUTOUPDATER":                                  "1",
	})
	switch credential {
	case backend.CredentialAPIKey:
		list["ANTHROPIC_API_KEY"] = sentinelKey
	case backend.CredentialOAuth:
		list["CLAUDE_CODE_OAUTH_TOKEN"] = sentinelToken
	case backend.CredentialNone:
	}
	return list
}
