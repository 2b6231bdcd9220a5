package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
)

// Wish is what a user wishes, as plain data that names nothing of the host but where the work
// is from: the files are read, and what they name was looked at, by the client.
type Wish struct {
	Name   string `json:"name,omitempty"`
	Resume string `json:"resume,omitempty"` // handle
	// Restart says that what is to go on runs, and will have ended before the launch.
	Restart bool `json:"restart,omitempty"`
	// Files is a hash of all manifest files, hexadecimal: whether they are as they were is
	// all that it says.
	Files string `json:"files,omitempty"`
	Agent string `json:"agent"`
	Model string `json:"model,omitempty"`
	// Bottle is the bottle file without paths and sources.
	Bottle backend.BottleFile `json:"bottle"`
	// Env are the variables of the bottle file and of a devcontainer.json. Literals are not
	// said.
	Env    map[string]string `json:"env,omitempty"`
	Limits backend.Limits    `json:"limits"`
	// From is where the working directory is that goes in. It is kept for who has said it,
	// and never opened here.
	From *backend.Origin `json:"from,omitempty"`
	// Inputs and Keys are what goes in, Keys by the host of their entry.
	Inputs []backend.Input `json:"inputs,omitempty"`
	Keys   map[string]Key  `json:"keys,omitempty"`
	// Credentials are the kinds that the user has, Variables what else of the user's
	// environment decides on the plan.
	Credentials []backend.CredentialKind `json:"credentials,omitempty"`
	Variables   map[string]string        `json:"variables,omitempty"`
	Declaration *backend.Declaration     `json:"declaration,omitempty"`
	ClaudeArgs  []string                 `json:"claudeArgs,omitempty"`
	Runtime     backend.RuntimePolicy    `json:"runtime,omitempty"`
	Image       string                   `json:"image,omitempty"`

	ForwardOAuthToken   bool `json:"forwardOAuthToken,omitempty"`
	RemoteControl       bool `json:"remoteControl,omitempty"`
	AllowVulnerableRunc bool `json:"allowVulnerableRunc,omitempty"`
	RawTerminal         bool `json:"rawTerminal,omitempty"`
	DryRun              bool `json:"dryRun,omitempty"`
	Discard             bool `json:"discard,omitempty"`
}

// Key is what is known of an SSH key that stays with its user.
type Key struct {
	Fingerprint string `json:"fingerprint"`
	Locked      bool   `json:"locked,omitempty"`
}

// sentVariables decide on a plan, and hold no secret.
func sentVariables() []string { return []string{"TERM", "COLORTERM", "ANTHROPIC_BASE_URL"} }

// ofClient stands for the source of a secret that the client reads: where that is, is
// nobody's business but the user's.
const ofClient = "env:CLIENT"

// FilesOf is what a plan of this backend's says of manifest files: that there are some, and
// whether they are the same.
func FilesOf(files []backend.ManifestFile) []backend.ManifestFile {
	sum := sha256.New()
	for _, file := range files {
		_, _ = fmt.Fprintf(sum, "%s %s\n", file.Kind, file.SHA256) // a hash takes all
	}
	return manifestFiles(hex.EncodeToString(sum.Sum(nil)))
}

func manifestFiles(hash string) []backend.ManifestFile {
	return []backend.ManifestFile{{Kind: "manifest", Path: filesOfClient, SHA256: hash}}
}

// filesOfClient stands for where manifest files lie.
const filesOfClient = "of its user"

// newWish says what the spec says without what is the client's own.
func newWish(spec backend.Spec, things provision.Provisions) Wish {
	wish := Wish{
		Name: spec.Name, Agent: spec.Manifest.Agent.Name, Model: spec.Manifest.Agent.Model, Bottle: spec.Manifest.Bottle,
		Env: map[string]string{}, Limits: spec.Limits, Keys: map[string]Key{}, Variables: map[string]string{},
		Declaration: spec.Declaration, ClaudeArgs: spec.ClaudeArgs, Runtime: spec.Runtime, Image: spec.Image,
		ForwardOAuthToken: spec.ForwardOAuthToken, RemoteControl: spec.RemoteControl, AllowVulnerableRunc: spec.AllowVulnerableRunc,
		RawTerminal: spec.RawTerminal, DryRun: spec.DryRun, Discard: spec.Discard,
		Restart: spec.Restart, Files: FilesOf(spec.Manifest.Files)[0].SHA256,
	}
	if spec.Image != "" {
		wish.Bottle.Recipe, wish.Bottle.Dockerfile = nil, nil // they make another image
	}
	if spec.Resume != nil {
		wish.Resume = spec.Resume.Handle()
	}
	wish.Bottle.Extends, wish.Bottle.Projects, wish.Bottle.Resources = "", nil, backend.Resources{}
	wish.Bottle.SSH, wish.Bottle.Credentials = nil, nil
	for _, entry := range spec.Manifest.Bottle.SSH {
		entry.IdentityFile = ""
		wish.Bottle.SSH = append(wish.Bottle.SSH, entry)
	}
	for _, entry := range spec.Manifest.Bottle.Credentials {
		entry.Secret = ofClient
		wish.Bottle.Credentials = append(wish.Bottle.Credentials, entry)
	}
	for name, text := range spec.Manifest.Bottle.Env {
		if !strings.HasPrefix(text, "${") && !strings.HasPrefix(text, "?") {
			text = ""
		}
		wish.Env[name] = text
	}
	wish.sayDevcontainer()
	if tree := things.Workspace; tree != nil {
		wish.From = &backend.Origin{Path: tree.Path, Head: tree.Head}
	}
	for _, input := range things.Inputs {
		input.From = ""
		wish.Inputs = append(wish.Inputs, input)
	}
	for _, key := range things.SSH {
		wish.Keys[key.Host] = Key{Fingerprint: key.Fingerprint, Locked: key.Locked}
	}
	for _, kind := range []backend.CredentialKind{backend.CredentialAPIKey, backend.CredentialOAuth} {
		if value, ok := spec.Lookup(kind.Variable()); ok && value != "" {
			wish.Credentials = append(wish.Credentials, kind)
		}
	}
	for _, name := range sentVariables() {
		if value, ok := spec.Lookup(name); ok {
			wish.Variables[name] = value
		}
	}
	return wish
}

// sayDevcontainer leaves out where a devcontainer.json lies, and the values of its variables.
func (w *Wish) sayDevcontainer() {
	if w.Bottle.Devcontainer == nil {
		return
	}
	said := *w.Bottle.Devcontainer
	said.File = ""
	for name := range said.Env {
		if _, own := w.Env[name]; !own {
			w.Env[name] = ""
		}
	}
	w.Bottle.Devcontainer = &said
}
