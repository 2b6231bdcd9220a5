package backend

import (
	"bytes"
	"fmt"
	"io"
)

// SSHAgentPath is where the SSH agent's socket is inside a bottle that has one:
// in memory of the bottle's own, so that no socket lies in a directory that the
// host shares.
const SSHAgentPath = "/tmp/.ssh-agent.sock"

// PlanSSH is one entry under ssh of the bottle file, with the key that it names.
type PlanSSH struct {
	Host     string `json:"host"`     // what it is called inside
	Hostname string `json:"hostname"` // what is dialled
	Port     uint16 `json:"port"`
	User     string `json:"user,omitempty"`
	// From is the key's path on the host, Fingerprint tells which key it is.
	From        string `json:"from"`
	Fingerprint string `json:"fingerprint"`
	// HostKey is the one key that the host may have, as TYPE and BASE64; "" for
	// a copied key that goes to whatever host answers first.
	HostKey         string `json:"hostKey,omitempty"`
	HostFingerprint string `json:"hostFingerprint,omitempty"`
	// Copied says that the key goes into the bottle; else it stays outside, and
	// an agent there signs with it.
	Copied bool `json:"copied"`
	// Locked says that the key has a passphrase, which is asked for at launch.
	Locked bool `json:"locked,omitempty"`
	key    []byte
}

// NewPlanSSH returns the entry with its private key, which is no part of the
// JSON form.
func NewPlanSSH(entry PlanSSH, key []byte) PlanSSH {
	entry.key = key
	return entry
}

// Format implements fmt.Formatter, so that no verb shows the key.
func (s PlanSSH) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "SSH key for "+s.Host) }

// Key is a copy of the private key file.
func (s PlanSSH) Key() []byte { return bytes.Clone(s.key) }

// Forget overwrites the private key once nobody needs it here any more.
func (s PlanSSH) Forget() { clear(s.key) }

// printSSH writes one line an entry.
func (p *Plan) printSSH(row func(string, string, ...any)) {
	for _, entry := range p.SSH {
		how := "an agent outside signs with it, for host key " + Printable(entry.HostFingerprint) + " alone"
		switch {
		case entry.Copied:
			how = "COPIED into the bottle"
		case entry.Locked:
			how += "; its passphrase is asked for"
		}
		user := ""
		if entry.User != "" {
			user = Printable(entry.User) + "@"
		}
		row("ssh", "%s: %s%s port %d, key %s (%s): %s", Printable(entry.Host), user, Printable(entry.Hostname), entry.Port,
			Printable(entry.Fingerprint), Printable(entry.From), how)
	}
}

// askPassphrases asks for those of the keys that stay outside.
func askPassphrases(plan *Plan, secrets *Secrets, ask func(prompt string) (string, error)) error {
	for _, entry := range plan.SSH {
		if !entry.Locked {
			continue
		}
		value, err := ask("passphrase of " + entry.From)
		if err != nil {
			return fmt.Errorf("ask for a passphrase: %w", err)
		}
		if secrets.Passphrases == nil {
			secrets.Passphrases = map[string]Secret{}
		}
		secrets.Passphrases[entry.Host] = NewSecret(value)
	}
	return nil
}
