package sshagent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newSigner is a new key, of a host or of a user.
func newSigner(t testing.TB) (ssh.Signer, ed25519.PrivateKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, private
}

func file(t testing.TB, private any, passphrase string) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func line(key ssh.PublicKey) string { return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(key))) }

// world is an agent with one entry, git at a host, and what a client needs.
type world struct {
	testing.TB
	agent *Agent
	host  ssh.Signer // of the entry
	user  ssh.Signer // the entry's key
	mu    sync.Mutex
	said  []Decision
}

func newWorld(t testing.TB, more ...Entry) *world {
	t.Helper()
	w := &world{TB: t}
	var private ed25519.PrivateKey
	w.host, _ = newSigner(t)
	w.user, private = newSigner(t)
	entries := append([]Entry{{Host: "git", User: "git", HostKey: line(w.host.PublicKey()), Key: file(t, private, "")}}, more...)
	made, err := New(entries, func(decision Decision) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.said = append(w.said, decision)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.agent = made
	return w
}

// last is what was decided last.
func (w *world) last() Decision {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.said) == 0 {
		return Decision{}
	}
	return w.said[len(w.said)-1]
}

// stream is a connection as the neck brings it.
type stream struct {
	net.Conn
	refused chan error
}

func (s stream) Accept() error { return nil }

func (s stream) Refuse(err error) error {
	s.refused <- err
	return s.Close()
}

// client opens a connection to the agent, as OpenSSH does.
func (w *world) client() agent.ExtendedAgent { return agent.NewClient(w.dial()) }

// dial opens a connection to the agent.
func (w *world) dial() net.Conn {
	w.Helper()
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.agent.Serve(stream{far, make(chan error, 1)})
	}()
	w.Cleanup(func() { _ = near.Close(); <-ended })
	return near
}

// bindTo is the message by which OpenSSH says which session it is in.
func bindTo(t testing.TB, host ssh.Signer, sessionID []byte, forwarding bool) []byte {
	t.Helper()
	signature, err := host.Sign(rand.Reader, sessionID)
	if err != nil {
		t.Fatal(err)
	}
	return ssh.Marshal(bindRequest{host.PublicKey().Marshal(), sessionID, ssh.Marshal(signature), forwarding})
}

var (
	session = bytes.Repeat([]byte{7}, 32)
	another = bytes.Repeat([]byte{8}, 32)
)

// wish is a login as the entry allows it.
func (w *world) wish() login {
	return login{User: "git", Service: service, Method: methodPlain, Signed: true, Algorithm: w.user.PublicKey().Type(), Key: w.user.PublicKey().Marshal()}
}

func hostBound(wish login, host ssh.PublicKey) login {
	wish.Method = methodBound
	wish.Rest = ssh.Marshal(struct{ HostKey []byte }{host.Marshal()})
	return wish
}

func TestT31_ALoginToTheNamedHostIsSigned(t *testing.T) {
	w := newWorld(t)
	for name, wish := range map[string]login{"plain": w.wish(), "host-bound": hostBound(w.wish(), w.host.PublicKey())} {
		client := w.client()
		if _, err := client.Extension(extensionBind, bindTo(t, w.host, session, false)); err != nil {
			t.Fatal(name, err)
		}
		for range 2 { // it may be asked for anew, after a lost answer
			data := signedBytes(session, wish)
			signature, err := client.Sign(w.user.PublicKey(), data)
			if err != nil {
				t.Fatal(name, err)
			}
			if err := w.user.PublicKey().Verify(data, signature); err != nil {
				t.Error(name, err)
			}
		}
		if got := w.last(); got.Host != "git" || got.Err != nil {
			t.Errorf("decided was %+v", got)
		}
	}
	client := w.client()
	keys, err := client.List()
	if err != nil || len(keys) != 1 || !bytes.Equal(keys[0].Blob, w.user.PublicKey().Marshal()) || keys[0].Comment != "git" {
		t.Errorf("listed are %v, %v", keys, err)
	}
}

func TestT31_NothingElseIsSigned(t *testing.T) {
	for name, test := range map[string]struct {
		change func(w *world, wish *login)
		data   func(w *world, data []byte) []byte
		want   string
	}{
		"another user":        {change: func(_ *world, wish *login) { wish.User = "root" }, want: "for that host and user"},
		"another service":     {change: func(_ *world, wish *login) { wish.Service = "ssh-userauth" }, want: "not a login as"},
		"another method":      {change: func(_ *world, wish *login) { wish.Method = "hostbased" }, want: "another method"},
		"another algorithm":   {change: func(_ *world, wish *login) { wish.Algorithm = "ssh-rsa" }, want: "not a login as"},
		"another key":         {change: func(w *world, wish *login) { wish.Key = w.host.PublicKey().Marshal() }, want: "not a login as"},
		"no signature wanted": {change: func(_ *world, wish *login) { wish.Signed = false }, want: "not a login as"},
		"more behind it":      {change: func(_ *world, wish *login) { wish.Rest = []byte{0} }, want: "not a login as"},
		"bound to another host": {change: func(w *world, wish *login) {
			*wish = hostBound(*wish, w.user.PublicKey())
		}, want: "not a login as"},
		"bound to no host": {change: func(_ *world, wish *login) { wish.Method = methodBound }, want: "not a login as"},
		"another session":  {data: func(w *world, _ []byte) []byte { return signedBytes(another, w.wish()) }, want: "another session"},
		"no session":       {data: func(w *world, _ []byte) []byte { return ssh.Marshal(w.wish()) }, want: "no login"},
		"a file": {data: func(*world, []byte) []byte {
			return append([]byte("SSHSIG"), ssh.Marshal(struct{ A, B, C, D string }{"file", "", "sha512", "digest"})...)
		}, want: "no login"},
		"nothing":           {data: func(*world, []byte) []byte { return nil }, want: "no login"},
		"cut short":         {data: func(_ *world, data []byte) []byte { return data[:len(data)-1] }, want: "no login"},
		"a length too long": {data: func(*world, []byte) []byte { return []byte{0xff, 0xff, 0xff, 0xff, 50} }, want: "no login"},
		"a truth of 2": {data: func(_ *world, data []byte) []byte {
			at := bytes.Index(data, []byte(methodPlain)) + len(methodPlain)
			data[at] = 2
			return data
		}, want: "not a login as"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			client := w.client()
			if _, err := client.Extension(extensionBind, bindTo(t, w.host, session, false)); err != nil {
				t.Fatal(err)
			}
			wish := w.wish()
			if test.change != nil {
				test.change(w, &wish)
			}
			data := signedBytes(session, wish)
			if test.data != nil {
				data = test.data(w, data)
			}
			if _, err := client.Sign(w.user.PublicKey(), data); err == nil {
				t.Error("it was signed")
			}
			if got := w.last(); got.Err == nil || !strings.Contains(got.Err.Error(), test.want) || !errdefs.IsPermissionDenied(got.Err) {
				t.Errorf("decided was %v, want %q", got.Err, test.want)
			}
		})
	}
}

func TestT31_OnlyTheNamedHostCanBindASession(t *testing.T) {
	for name, test := range map[string]struct {
		bind func(w *world) []byte
		want string
	}{
		"another host": {func(w *world) []byte {
			other, _ := newSigner(w)
			return bindTo(w, other, session, false)
		}, "not the knownHostKey"},
		"signed by another": {func(w *world) []byte {
			wish := bindRequest{HostKey: w.host.PublicKey().Marshal(), SessionID: session}
			signature, _ := w.user.Sign(rand.Reader, session)
			wish.Signature = ssh.Marshal(signature)
			return ssh.Marshal(wish)
		}, "verif"},
		"of another session": {func(w *world) []byte {
			wish := bindRequest{HostKey: w.host.PublicKey().Marshal(), SessionID: session}
			signature, _ := w.host.Sign(rand.Reader, another)
			wish.Signature = ssh.Marshal(signature)
			return ssh.Marshal(wish)
		}, "verif"},
		"forwarded": {func(w *world) []byte { return bindTo(w, w.host, session, true) }, "forwarded"},
		"short":     {func(w *world) []byte { return bindTo(w, w.host, session[:19], false) }, "19 bytes"},
		"long":      {func(w *world) []byte { return bindTo(w, w.host, bytes.Repeat(session, 3), false) }, "96 bytes"},
		"unsigned": {func(w *world) []byte {
			return ssh.Marshal(bindRequest{HostKey: w.host.PublicKey().Marshal(), SessionID: session})
		}, "bind session"},
		"more behind": {func(w *world) []byte { return append(bindTo(w, w.host, session, false), 0) }, "bind session"},
		"empty":       {func(*world) []byte { return nil }, "bind session"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			client := w.client()
			if _, err := client.Extension(extensionBind, test.bind(w)); err == nil {
				t.Error("it was bound")
			}
			if got := w.last(); got.Err == nil || !strings.Contains(got.Err.Error(), test.want) {
				t.Errorf("decided was %v, want %q", got.Err, test.want)
			}
			// And from now on the connection is good for nothing.
			if _, err := client.Extension(extensionBind, bindTo(t, w.host, session, false)); err == nil {
				t.Error("it was bound after that")
			}
			if _, err := client.Sign(w.user.PublicKey(), signedBytes(session, w.wish())); err == nil {
				t.Error("it was signed after that")
			}
		})
	}
}

func TestT31_AConnectionIsForOneSession(t *testing.T) {
	w := newWorld(t)
	client := w.client()
	if _, err := client.Sign(w.user.PublicKey(), signedBytes(session, w.wish())); err == nil || !strings.Contains(w.last().Err.Error(), "for which host") {
		t.Errorf("a client that is not bound: %v, decided was %v", err, w.last().Err)
	}
	if _, err := client.Extension(extensionBind, bindTo(t, w.host, session, false)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Extension(extensionBind, bindTo(t, w.host, another, false)); err == nil {
		t.Error("it was bound twice")
	}
	for name, id := range map[string][]byte{"first": session, "second": another} {
		if _, err := client.Sign(w.user.PublicKey(), signedBytes(id, w.wish())); err == nil {
			t.Errorf("after that it was signed for the %s session", name)
		}
	}
	// One connection says nothing for the next.
	client = w.client()
	if _, err := client.Sign(w.user.PublicKey(), signedBytes(session, w.wish())); err == nil {
		t.Error("it was signed for a client that is not bound")
	}
}

func TestT31_EachKeyIsForItsOwnHost(t *testing.T) {
	otherHost, _ := newSigner(t)
	otherKey, private := newSigner(t)
	w := newWorld(t,
		Entry{Host: "other", User: "deploy", HostKey: line(otherHost.PublicKey()), Key: file(t, private, "")},
		Entry{Host: "third", User: "admin", HostKey: line(otherHost.PublicKey()), Key: file(t, private, "")},
	)
	client := w.client()
	if keys, err := client.List(); err != nil || len(keys) != 2 {
		t.Errorf("listed are %v, %v", keys, err)
	}
	if _, err := client.Extension(extensionBind, bindTo(t, otherHost, session, false)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Sign(w.user.PublicKey(), signedBytes(session, w.wish())); err == nil {
		t.Error("a key was used for another's host")
	}
	wish := w.wish()
	wish.Key = otherKey.PublicKey().Marshal()
	for user, want := range map[string]string{"deploy": "other", "admin": "third"} {
		wish.User = user
		if _, err := client.Sign(otherKey.PublicKey(), signedBytes(session, wish)); err != nil || w.last().Host != want {
			t.Errorf("%s: %v, decided was %+v", user, err, w.last())
		}
	}
	if wish.User = "git"; true {
		if _, err := client.Sign(otherKey.PublicKey(), signedBytes(session, wish)); err == nil {
			t.Error("it was signed for the user of another entry")
		}
	}
}

func TestT31_ClientsCantChangeTheAgent(t *testing.T) {
	w := newWorld(t)
	client := w.client()
	_, private := newSigner(t)
	for name, err := range map[string]error{
		"add":        client.Add(agent.AddedKey{PrivateKey: private}),
		"remove":     client.Remove(w.user.PublicKey()),
		"remove all": client.RemoveAll(),
		"lock":       client.Lock([]byte("x")),
		"unlock":     client.Unlock([]byte("x")),
	} {
		if err == nil {
			t.Errorf("%s was done", name)
		}
	}
	if _, err := client.Extension("query", nil); err == nil {
		t.Error("an extension that is not there was answered")
	}
	if keys, err := client.List(); err != nil || len(keys) != 1 {
		t.Errorf("listed are %v, %v", keys, err)
	}
}

func TestRSAIsNeverSignedWithSHA1(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	host, _ := newSigner(t)
	w := newWorld(t, Entry{Host: "rsa", User: "git", HostKey: line(host.PublicKey()), Key: file(t, private, "sesame"), Passphrase: "sesame"})
	client := w.client()
	if _, err := client.Extension(extensionBind, bindTo(t, host, session, false)); err != nil {
		t.Fatal(err)
	}
	wish := w.wish()
	wish.Key = signer.PublicKey().Marshal()
	for _, test := range []struct {
		algorithm string
		flags     agent.SignatureFlags
		want      bool
	}{
		{ssh.KeyAlgoRSASHA512, agent.SignatureFlagRsaSha512, true}, {ssh.KeyAlgoRSASHA256, agent.SignatureFlagRsaSha256, true},
		{ssh.KeyAlgoRSA, 0, false}, {ssh.KeyAlgoRSASHA512, agent.SignatureFlagRsaSha256, false}, {ssh.KeyAlgoRSASHA512, 0, false},
		{ssh.KeyAlgoRSASHA512, agent.SignatureFlagRsaSha512 | agent.SignatureFlagRsaSha256, false},
	} {
		wish.Algorithm = test.algorithm
		data := signedBytes(session, wish)
		signature, err := client.SignWithFlags(signer.PublicKey(), data, test.flags)
		if (err == nil) != test.want {
			t.Errorf("%s with flags %d: %v", test.algorithm, test.flags, err)
		}
		if err == nil && (signature.Format != test.algorithm || signer.PublicKey().Verify(data, signature) != nil) {
			t.Errorf("%s: the signature is %s", test.algorithm, signature.Format)
		}
	}
	// Nor is a host believed that signs so.
	rsaHost := newWorld(t, Entry{Host: "old", User: "git", HostKey: line(signer.PublicKey()), Key: file(t, private, "")})
	weak, err := signer.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, session, ssh.KeyAlgoRSA)
	if err != nil {
		t.Fatal(err)
	}
	client = rsaHost.client()
	if _, err := client.Extension(extensionBind, ssh.Marshal(bindRequest{signer.PublicKey().Marshal(), session, ssh.Marshal(weak), false})); err == nil {
		t.Error("a signature of a host with SHA-1 was taken")
	}
	strong, err := signer.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, session, ssh.KeyAlgoRSASHA512)
	if err != nil {
		t.Fatal(err)
	}
	client = rsaHost.client()
	if _, err := client.Extension(extensionBind, ssh.Marshal(bindRequest{signer.PublicKey().Marshal(), session, ssh.Marshal(strong), false})); err != nil {
		t.Error(err)
	}
}
