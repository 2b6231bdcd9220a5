package provision_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/containerd/errdefs"
	"golang.org/x/crypto/ssh"
)

// hostKey is the public key of a new host, as a bottle file has it.
func hostKey(t *testing.T) string {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(newKey(t, "")))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

func TestT31_WithoutCopyOnlyThePublicHalfGoesIn(t *testing.T) {
	u := newUser(t)
	plain, locked, known := newKey(t, ""), newKey(t, "sesame"), hostKey(t)
	u.write("home/.ssh/plain", plain)
	u.write("home/.ssh/locked", locked)
	u.spec.Manifest.Bottle.SSH = []backend.SSHEntry{
		{Host: "git", Hostname: "git.example.com", Port: 2222, IdentityFile: "~/.ssh/plain", KnownHostKey: known + " a comment"},
		{Host: "other.example", User: "deploy", IdentityFile: "~/.ssh/locked", KnownHostKey: known},
	}
	things, err := u.gather()
	u.must(err)
	for name, content := range u.arrive() {
		for _, key := range []string{plain, locked} {
			if strings.Contains(content, strings.Split(key, "\n")[1]) {
				t.Errorf("%s holds a private key", name)
			}
		}
	}
	files := u.arrive()
	signer, err := ssh.ParsePrivateKey([]byte(plain))
	u.must(err)
	if want := string(ssh.MarshalAuthorizedKey(signer.PublicKey())); files["ssh/keys/git.pub"] != want || files["ssh/keys/other.example.pub"] == "" {
		t.Errorf("the public keys are %q and %q, want %q", files["ssh/keys/git.pub"], files["ssh/keys/other.example.pub"], want)
	}
	if want := "[git.example.com]:2222 " + known + "\nother.example " + known + "\n"; files["ssh/known_hosts"] != want {
		t.Errorf("known_hosts is %q, want %q", files["ssh/known_hosts"], want)
	}
	for _, want := range []string{
		"Host git\n  HostName git.example.com\n  Port 2222\n  User git\n", "  IdentityFile ~/.ssh/keys/git.pub\n", "  IdentitiesOnly yes\n", "  User deploy\n",
		"  IdentityAgent " + backend.SSHAgentPath + "\n", "  StrictHostKeyChecking yes\n", "  HostKeyAlgorithms ssh-ed25519\n", "  UpdateHostKeys no\n",
	} {
		if !strings.Contains(files["ssh/config"], want) {
			t.Errorf("%q is missing in:\n%s", want, files["ssh/config"])
		}
	}
	if len(things.Warnings) != 0 {
		t.Errorf("warnings are %q", things.Warnings)
	}
	if len(things.SSH) != 2 || things.SSH[0].Locked || !things.SSH[1].Locked || string(things.SSH[0].Key()) != plain || things.SSH[0].User != "git" {
		t.Errorf("planned is %+v", things.SSH)
	}
}

func TestThePlanTellsSignedFromCopied(t *testing.T) {
	u := newUser(t)
	key, locked := newKey(t, ""), newKey(t, "sesame")
	u.write("home/.ssh/deploy", key)
	u.write("home/.ssh/locked", locked)
	u.spec.Manifest.Bottle.SSH = []backend.SSHEntry{
		{Host: "signed", User: "git", IdentityFile: "~/.ssh/deploy", KnownHostKey: hostKey(t)},
		{Host: "locked", IdentityFile: "~/.ssh/locked", KnownHostKey: hostKey(t)},
		{Host: "copied", User: "git", IdentityFile: "~/.ssh/deploy", Copy: true},
	}
	things, err := u.gather()
	u.must(err)
	plan := &backend.Plan{Name: "x", Inputs: things.Inputs, SSH: things.SSH, Warnings: things.Warnings}
	var shown bytes.Buffer
	u.must(plan.Print(&shown))
	encoded, err := json.Marshal(plan)
	u.must(err)
	for _, want := range []string{
		"signed: git@signed port 22, key SHA256:", "an agent outside signs with it, for host key SHA256:", "passphrase is asked for",
		"copied: git@copied port 22, key SHA256:", "COPIED into the bottle", "WARNING     ssh copied:",
	} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, shown.String())
		}
	}
	for _, text := range []string{shown.String(), string(encoded)} {
		for _, secret := range []string{key, locked} {
			if strings.Contains(text, strings.Split(secret, "\n")[1]) {
				t.Errorf("the plan holds a key:\n%s", text)
			}
		}
	}
	if strings.Contains(shown.String(), "WARNING     ssh signed") {
		t.Errorf("it warns of what is signed outside:\n%s", shown.String())
	}
	asked := []string{}
	secrets, err := backend.ResolveSecrets(plan, os.LookupEnv, func(prompt string) (string, error) {
		asked = append(asked, prompt)
		return "sesame", nil
	})
	if err != nil || len(asked) != 1 || !strings.Contains(asked[0], ".ssh/locked") || secrets.Passphrases["locked"].Reveal() != "sesame" {
		t.Errorf("asked %q, %v", asked, err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s %x", *plan, things.SSH, things.SSH[0], things.SSH[1], things.SSH[2]); strings.Contains(text, "PRIVATE") ||
		strings.Contains(text, "45 45 45 45 45 66") || strings.Contains(text, "2d2d2d2d2d42") || !strings.Contains(text, "SSH key for signed") {
		t.Errorf("it prints as %s", text)
	}
	kept := things.SSH[0].Key()
	things.SSH[0].Forget()
	if bytes.Equal(things.SSH[0].Key(), kept) || strings.Contains(string(things.SSH[0].Key()), "PRIVATE") {
		t.Error("the key is still there")
	}
}

func TestAnAgentNeedsToKnowForWhichHostItSigns(t *testing.T) {
	known := hostKey(t)
	for name, test := range map[string]struct {
		change func(u *user, e *backend.SSHEntry)
		want   string
	}{
		"nothing wrong":    {func(*user, *backend.SSHEntry) {}, ""},
		"RSA host":         {func(_ *user, e *backend.SSHEntry) { e.KnownHostKey = rsaHostKey(t) }, ""},
		"no host key":      {func(_ *user, e *backend.SSHEntry) { e.KnownHostKey, e.Port = "", 2222 }, "`ssh-keyscan -p 2222 git.example.com`"},
		"no key":           {func(_ *user, e *backend.SSHEntry) { e.KnownHostKey = "nonsense" }, "TYPE BASE64"},
		"two lines":        {func(_ *user, e *backend.SSHEntry) { e.KnownHostKey += "\n" + known }, "TYPE BASE64"},
		"options":          {func(_ *user, e *backend.SSHEntry) { e.KnownHostKey = `command="x" ` + known }, "TYPE BASE64"},
		"an authority":     {func(_ *user, e *backend.SSHEntry) { e.KnownHostKey = "@cert-authority " + known }, "TYPE BASE64"},
		"private host key": {func(_ *user, e *backend.SSHEntry) { e.KnownHostKey = newKey(t, "") }, "TYPE BASE64"},
		"passphrase in an old format": {func(u *user, _ *backend.SSHEntry) {
			u.write("home/.ssh/deploy", "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n")
		}, "ssh-keygen -p"},
		"copied with a passphrase": {func(u *user, e *backend.SSHEntry) {
			u.write("home/.ssh/deploy", newKey(t, "sesame"))
			e.Copy = true
		}, "leave `copy` out"},
		"the same host twice": {func(u *user, e *backend.SSHEntry) {
			u.spec.Manifest.Bottle.SSH = append(u.spec.Manifest.Bottle.SSH, *e)
		}, "another entry"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.write("home/.ssh/deploy", newKey(t, ""))
			entry := backend.SSHEntry{Host: "git", Hostname: "git.example.com", IdentityFile: "~/.ssh/deploy", KnownHostKey: known}
			test.change(u, &entry)
			u.spec.Manifest.Bottle.SSH = append(u.spec.Manifest.Bottle.SSH, entry)
			_, err := u.gather()
			if test.want == "" {
				u.must(err)
			} else if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func rsaHostKey(t *testing.T) string {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(public)))
}

func TestHostKeysOfEachTypeArePinned(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(curve.Public())
	if err != nil {
		t.Fatal(err)
	}
	for known, want := range map[string]string{
		rsaHostKey(t): "HostKeyAlgorithms rsa-sha2-512,rsa-sha2-256\n",
		string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(public))): "HostKeyAlgorithms ecdsa-sha2-nistp256\n",
	} {
		u := newUser(t)
		u.write("home/.ssh/deploy", newKey(t, ""))
		u.spec.Manifest.Bottle.SSH = []backend.SSHEntry{{Host: "git", IdentityFile: filepath.Join(u.home, ".ssh/deploy"), KnownHostKey: known}}
		if files := u.arrive(); !strings.Contains(files["ssh/config"], want) {
			t.Errorf("%q is missing in:\n%s", want, files["ssh/config"])
		}
	}
}

func TestTheAgentsSocketIsNamedWhereThereIsOne(t *testing.T) {
	for _, test := range []struct {
		entries []backend.SSHEntry
		want    bool
	}{{nil, false}, {[]backend.SSHEntry{{Host: "a", Copy: true}}, false}, {[]backend.SSHEntry{{Host: "a", Copy: true}, {Host: "b"}}, true}} {
		u := newUser(t)
		u.spec.Manifest.Bottle.SSH = test.entries
		list, err := provision.Environment(u.spec, backend.CredentialNone)
		u.must(err)
		found := false
		for _, variable := range list {
			found = found || variable.Name == "SSH_AUTH_SOCK" && variable.Origin == backend.EnvBuiltIn
		}
		if found != test.want {
			t.Errorf("%+v: %v", test.entries, found)
		}
	}
	u := newUser(t)
	u.spec.Manifest.Bottle.Env = map[string]string{"SSH_AUTH_SOCK": "/tmp/other"}
	if _, err := provision.Environment(u.spec, backend.CredentialNone); !errdefs.IsInvalidArgument(err) {
		t.Errorf("got %v", err)
	}
}
