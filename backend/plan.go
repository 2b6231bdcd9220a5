package backend

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// PlanVersion is the version of the Plan's JSON form.
const PlanVersion = 1

// Plan is what a launch will do, resolved to digests, and what the user says
// yes to. Launch uses nothing else. The JSON form holds no secret.
type Plan struct {
	Version   int            `json:"version"`
	Name      string         `json:"name"`
	Agent     string         `json:"agent"`
	Bottle    string         `json:"bottle"`
	Files     []ManifestFile `json:"files"`
	Image     PlanImage      `json:"image"`
	Runtime   PlanRuntime    `json:"runtime"`
	User      PlanUser       `json:"user"`
	Mounts    []PlanMount    `json:"mounts"`
	Inputs    []Input        `json:"inputs"`
	Workspace *WorkTree      `json:"workspace,omitempty"`
	From      *Origin        `json:"from,omitempty"`
	Env       []EnvVariable  `json:"env"`
	Egress    []PlanHost     `json:"egress"`
	SSH       []PlanSSH      `json:"ssh,omitempty"`
	Ask       *PlanAsk       `json:"ask,omitempty"`
	Anthropic PlanAnthropic  `json:"anthropic"`
	Routes    []PlanRoute    `json:"routes,omitempty"`
	DLP       DLPMode        `json:"dlp,omitempty"`
	Limits    Limits         `json:"limits"`
	Command   []string       `json:"command"`
	// Setup are commands that run once, before claude does. Ports are those that are to be
	// reached from the host when somebody asks for it. Ignored is what is not done of what a
	// devcontainer.json says.
	Setup    []SetupCommand `json:"setup,omitempty"`
	Ports    []uint16       `json:"forwardPorts,omitempty"`
	Ignored  []IgnoredKey   `json:"ignored,omitempty"`
	Warnings []string       `json:"warnings"`
	// RemoteControl and Debug are switches worth seeing before the yes.
	RemoteControl bool `json:"remoteControl"`
	Debug         bool `json:"debug"`
	// Discard says that the work is thrown away at the end.
	Discard bool `json:"discard"`
	// RawTerminal says that the agent's output reaches the terminal unfiltered.
	RawTerminal bool `json:"rawTerminal"`
	// Resume says which kept bottle goes on; nil is a new one.
	Resume *PlanResume `json:"resume,omitempty"`
	// Declaration is how long the bottle lives, and what it is found by.
	Declaration *Declaration `json:"declaration,omitempty"`
	// Detail is the backend's own: it prints and marshals itself.
	Detail fmt.Stringer `json:"detail,omitempty"`
}

// Origin is where a user who is not root says that the work is from. It is kept for that
// user alone: nobody else, and above all no process of root's, opens what it names.
type Origin struct {
	Path string `json:"path"`
	// Head is the commit that was checked out, or "".
	Head string `json:"head,omitempty"`
}

// PlanImage is the image by digest.
type PlanImage struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Platform  string `json:"platform"`
	// Present says that the image is in the local store; else launch pulls it.
	Present bool  `json:"present"`
	Size    int64 `json:"size,omitempty"` // bytes, packed
	// Claude is the version of the claude in it, as far as that is known without asking it.
	Claude string `json:"claude,omitempty"`
}

// Pinned is the reference with its digest, which a pinned one has already.
func (i PlanImage) Pinned() string {
	return strings.TrimSuffix(i.Reference, "@"+i.Digest) + "@" + i.Digest
}

// PlanRuntime is the OCI runtime, and why it was chosen.
type PlanRuntime struct {
	Name     string `json:"name"` // gvisor or runc
	Shim     string `json:"shim"`
	Binary   string `json:"binary"`
	Version  string `json:"version"`
	Platform string `json:"platform,omitempty"` // gVisor's: systrap, kvm, ...
	Reason   string `json:"reason"`
	// Proved says that a probe sandbox ran on it through this very daemon.
	Proved bool `json:"proved"`
}

// PlanUser is who the agent is. The numbers are picked at launch.
type PlanUser struct {
	Namespace bool `json:"namespace"` // a user namespace of its own
}

// PlanMount is one mount that holds data.
type PlanMount struct {
	Destination string `json:"destination"`
	Kind        string `json:"kind"` // bind, tmpfs
	From        string `json:"from"` // what it shows, in words
	ReadOnly    bool   `json:"readOnly"`
}

// EnvOrigin says where a variable's value comes from.
type EnvOrigin string

// The origins of a variable.
const (
	EnvLiteral   EnvOrigin = "literal"
	EnvForwarded EnvOrigin = "forwarded"
	EnvAsked     EnvOrigin = "asked"
	EnvBuiltIn   EnvOrigin = "built-in"
	// EnvDevcontainer is a literal of a devcontainer.json.
	EnvDevcontainer EnvOrigin = "devcontainer"
)

// EnvVariable is a variable of claude's process. Its value is not part of the
// JSON form.
type EnvVariable struct {
	Name   string    `json:"name"`
	Origin EnvOrigin `json:"origin"`
	From   string    `json:"from,omitempty"`   // host variable, when forwarded
	Prompt string    `json:"prompt,omitempty"` // question, when asked
	value  string
}

// NewEnv returns a variable whose value is known while planning.
func NewEnv(name string, origin EnvOrigin, value string) EnvVariable {
	return EnvVariable{Name: name, Origin: origin, value: value}
}

// PlanHost is a host that may be reached.
type PlanHost struct {
	Host    string   `json:"host"` // exact name, or *.suffix, or * for every public host
	Ports   []uint16 `json:"ports"`
	Because string   `json:"because"` // egress.allow, ssh
	// Private are ranges, in CIDR form, that the host may resolve into though
	// they are not public.
	Private []string `json:"private,omitempty"`
}

// PlanAnthropic says how the Anthropic API is reached.
type PlanAnthropic struct {
	Upstream    string         `json:"upstream"`
	Credential  CredentialKind `json:"credential"`
	ServerTools []string       `json:"serverTools,omitempty"`
}

// Limits are the resolved limits of one bottle.
type Limits struct {
	MemoryBytes int64 `json:"memoryBytes"`
	CPUMillis   int64 `json:"cpuMillis"`
	Processes   int64 `json:"processes"`
	OpenFiles   int64 `json:"openFiles"`
	TmpBytes    int64 `json:"tmpBytes"`
}

// Digest is the hash of the plan's JSON form, "sha256:" and hex digits. It is
// stamped on the record.
func (p *Plan) Digest() string {
	data, err := json.Marshal(p)
	if err != nil {
		// Every field is plain data, and Detail marshals by contract.
		panic(fmt.Sprintf("marshal plan: %v", err))
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Empty says that the plan would start nothing.
func (p *Plan) Empty() bool { return p == nil || p.Name == "" }
