package backend

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

const redacted = "[redacted]"

// Secret is a value that never prints: String, Format and MarshalJSON show a
// placeholder. Reveal is the one way to the value.
type Secret struct{ value string }

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{value: value} }

// Reveal returns the value itself, for the one place that needs it.
func (s Secret) Reveal() string { return s.value }

// Empty says that there is no value.
func (s Secret) Empty() bool { return s.value == "" }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// Format implements fmt.Formatter, so that no verb shows the value.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON implements json.Marshaler.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// CredentialKind says how the Anthropic API is authenticated.
type CredentialKind string

// The kinds of credential, by the host variable each comes from.
const (
	CredentialNone   CredentialKind = ""
	CredentialAPIKey CredentialKind = "api-key"     // ANTHROPIC_API_KEY
	CredentialOAuth  CredentialKind = "oauth-token" // CLAUDE_CODE_OAUTH_TOKEN
)

// Variable is the host variable that holds a credential of this kind.
func (k CredentialKind) Variable() string {
	switch k {
	case CredentialAPIKey:
		return "ANTHROPIC_API_KEY"
	case CredentialOAuth:
		return "CLAUDE_CODE_OAUTH_TOKEN"
	default:
		return ""
	}
}

// Secrets travel beside a Plan and are never written down. Env holds the values
// of every planned variable, Credential what the gateway puts on requests.
type Secrets struct {
	Env        map[string]Secret
	Credential Secret
	// Routes are the secrets of the planned routes, by name.
	Routes map[string]RouteSecret
	// Passphrases are those of SSH keys, by the Host of their entry.
	Passphrases map[string]Secret
}

// CheckSecrets says what ResolveSecrets would miss on the host, before anybody is
// asked anything.
func CheckSecrets(plan *Plan, lookup func(string) (string, bool)) error {
	_, err := ResolveSecrets(plan, lookup, func(string) (string, error) { return "", nil })
	return err
}

// ResolveSecrets finds the values that the plan names: from the host's
// environment by lookup, and from the user by ask for the variables that the
// bottle file wants asked, and for the passphrases of SSH keys. Lookup and ask are called once a name.
func ResolveSecrets(plan *Plan, lookup func(string) (string, bool), ask func(prompt string) (string, error)) (Secrets, error) {
	secrets := Secrets{Env: make(map[string]Secret, len(plan.Env))}
	for _, variable := range plan.Env {
		switch variable.Origin {
		case EnvForwarded:
			value, ok := lookup(variable.From)
			if !ok {
				return Secrets{}, fmt.Errorf("forward %s: %s is not set on this host: export it or take it out of the bottle file: %w",
					variable.Name, variable.From, errdefs.ErrFailedPrecondition)
			}
			secrets.Env[variable.Name] = NewSecret(value)
		case EnvAsked:
			value, err := ask(variable.Prompt)
			if err != nil {
				return Secrets{}, fmt.Errorf("ask for %s: %w", variable.Name, err)
			}
			secrets.Env[variable.Name] = NewSecret(value)
		default:
			secrets.Env[variable.Name] = NewSecret(variable.value)
		}
	}
	if err := askPassphrases(plan, &secrets, ask); err != nil {
		return Secrets{}, err
	}
	if name := plan.Anthropic.Credential.Variable(); name != "" {
		value, ok := lookup(name)
		if !ok || strings.TrimSpace(value) == "" {
			return Secrets{}, fmt.Errorf("read credential: %s is not set: %w", name, errdefs.ErrFailedPrecondition)
		}
		secrets.Credential = NewSecret(strings.TrimSpace(value))
	}
	return secrets, nil
}
