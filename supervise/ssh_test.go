package supervise

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// newKeyFile is a new private key, locked when there is a passphrase, and its
// public half.
func newKeyFile(t *testing.T, passphrase string) ([]byte, ssh.PublicKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	converted, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), converted
}

// planned are a locked key that stays outside and a copied one.
func planned(t *testing.T) (*backend.Plan, ssh.PublicKey) {
	t.Helper()
	_, host := newKeyFile(t, "")
	locked, public := newKeyFile(t, "sesame")
	copied, _ := newKeyFile(t, "")
	return &backend.Plan{SSH: []backend.PlanSSH{
		backend.NewPlanSSH(backend.PlanSSH{Host: "git", User: "git", HostKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(host))), Locked: true}, locked),
		backend.NewPlanSSH(backend.PlanSSH{Host: "copied", Copied: true}, copied),
	}}, public
}

func TestT31_TheNeckLeadsToTheAgentOfTheBottle(t *testing.T) {
	plan, public := planned(t)
	secrets := backend.Secrets{Passphrases: map[string]backend.Secret{"git": backend.NewSecret("sesame")}}
	if err := CheckSSHKeys(plan, secrets); err != nil {
		t.Fatal(err)
	}
	r := run(t, func(c *Config) { c.SSH = SSHKeys(plan, secrets) })
	guest := r.pid1()
	stream, err := guest.Open(t.Context(), neck.Request{Kind: neck.KindSSHAgent})
	if err != nil {
		t.Fatal(err)
	}
	client := agent.NewClient(stream)
	keys, err := client.List()
	if err != nil || len(keys) != 1 || !bytes.Equal(keys[0].Blob, public.Marshal()) {
		t.Errorf("listed are %v, %v", keys, err)
	}
	if _, err := client.Sign(public, []byte("anything\x1b[2J")); err == nil {
		t.Error("anything was signed")
	}
	// A client that does not end by itself holds nothing up.
	r.client.Close()
	if err := r.ends(); err != nil {
		t.Fatal(err)
	}
	_ = stream.Close()
	audit, err := os.ReadFile(filepath.Join(r.config.State, auditLog))
	if err != nil || !strings.Contains(string(audit), `"kind":"ssh-sign","allowed":false,"reason":"sign: the client has not said for which host`) {
		t.Errorf("the audit log is %s, %v", audit, err)
	}
}

func TestT31_ABottleWithoutEntriesHasNoAgent(t *testing.T) {
	r := run(t, nil)
	guest := r.pid1()
	if _, err := guest.Open(t.Context(), neck.Request{Kind: neck.KindSSHAgent}); !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	g, err := newGate(r.config)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if socket := g.names().SSHAgent; socket != "" {
		t.Errorf("PID 1 is told to listen at %s", socket)
	}
	with, _ := planned(t)
	with.SSH[0].Locked = false
	config := r.config // PID 1 reads the other
	config.SSH = SSHKeys(with, backend.Secrets{Passphrases: map[string]backend.Secret{"git": backend.NewSecret("sesame")}})
	g, err = newGate(config)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if socket := g.names().SSHAgent; socket != backend.SSHAgentPath {
		t.Errorf("PID 1 is told to listen at %q", socket)
	}
}

func TestAWrongPassphraseIsSaidBeforeAnythingIsMade(t *testing.T) {
	plan, _ := planned(t)
	for _, passphrase := range []string{"", "wish-canary"} {
		err := CheckSSHKeys(plan, backend.Secrets{Passphrases: map[string]backend.Secret{"git": backend.NewSecret(passphrase)}})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "ssh git: the ") || passphrase != "" && strings.Contains(err.Error(), passphrase) {
			t.Errorf("%q: %v", passphrase, err)
		}
	}
}
