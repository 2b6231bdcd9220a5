package supervise

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress/sshagent"
	"github.com/claude-bottle/claude-bottle/neck"
)

// maxConfig bounds the configuration that a supervisor reads, in bytes.
const maxConfig = 4 << 20

// Config is what a supervisor is started with. It travels over a pipe, for it holds
// the credential. That of a detached bottle lies in its run directory, too, where that
// is in memory: see again.
type Config struct {
	// ID is the bottle's id, Run and State are its directories.
	ID    string `json:"id"`
	Run   string `json:"run"`
	State string `json:"state"`
	// UID is the bottle's user on the host: the neck's socket is for it alone.
	UID int `json:"uid"`
	// Hosts are the hosts that the bottle may reach.
	Hosts []backend.PlanHost `json:"hosts"`
	// Ask says that other hosts are asked for; nil denies them.
	Ask *backend.PlanAsk `json:"ask,omitempty"`
	// Anthropic and Credential are for the gateway.
	Anthropic  backend.PlanAnthropic `json:"anthropic"`
	Credential string                `json:"credential"`
	// Routes are the credentials of the bottle file.
	Routes []RouteConfig `json:"routes,omitempty"`
	// DLP is what happens to secrets in what leaves through routes. Env are those
	// that the bottle was given, by the names of their variables.
	DLP backend.DLPMode   `json:"dlp,omitempty"`
	Env map[string]string `json:"env,omitempty"`
	// SSH are the keys that the SSH agent signs with.
	SSH []sshagent.Entry `json:"ssh,omitempty"`
	// Discard throws the work away at the end.
	Discard bool `json:"discard"`
	// Life bounds a detached bottle's life; nil doesn't.
	Life *backend.Life `json:"life,omitempty"`
	// Backend is what the backend needs to open the bottle's Sandbox.
	Backend json.RawMessage `json:"backend"`
	// Again is set for a supervisor that takes the place of one that died.
	Again *Again `json:"again,omitempty"`
}

// ReadConfig reads what Start wrote.
func ReadConfig(r io.Reader) (Config, error) {
	var config Config
	decoder := json.NewDecoder(io.LimitReader(r, maxConfig))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return config, fmt.Errorf("read supervisor configuration: %w", err)
	}
	return config, nil
}

func (c Config) neckSocket() string    { return filepath.Join(c.Run, "neck", neck.SocketName) }
func (c Config) controlSocket() string { return filepath.Join(c.Run, ControlSocket) }

// ControlSocket is the name of the control socket in the run directory.
const ControlSocket = "ctl.sock"

// Kinds of request on the control socket, beside neck.KindSession.
const (
	kindReady neck.Kind = "ready" // answered once the neck is open
	kindDown  neck.Kind = "down"  // take the bottle down; the stream ends when it is
)
