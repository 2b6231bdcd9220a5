package sshagent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/crypto/ssh"
)

func TestHugeAndBrokenFramesEndTheConnectionAlone(t *testing.T) {
	w := newWorld(t)
	for name, frame := range map[string][]byte{
		"huge": {0xff, 0xff, 0xff, 0xff, kindList}, "one too long": binary.BigEndian.AppendUint32(nil, maxMessage+1), "empty": {0, 0, 0, 0},
	} {
		conn := w.dial()
		if _, err := conn.Write(frame[:4]); err != nil {
			t.Fatal(name, err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	client := w.client()
	if keys, err := client.List(); err != nil || len(keys) != 1 {
		t.Errorf("listed are %v, %v", keys, err)
	}
	// A message that is long, but not too long, is answered.
	conn := w.dial()
	frame := append(binary.BigEndian.AppendUint32(nil, maxMessage), bytes.Repeat([]byte{kindSign}, maxMessage)...)
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 5)
	if _, err := io.ReadFull(conn, answer); err != nil || !bytes.Equal(answer, []byte{0, 0, 0, 1, kindFailure}) {
		t.Errorf("the answer is %v, %v", answer, err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	w := newWorld(t)
	for range maxConnections {
		client := w.client()
		if _, err := client.List(); err != nil {
			t.Fatal(err)
		}
	}
	near, far := net.Pipe()
	defer func() { _ = near.Close() }()
	one := stream{far, make(chan error, 1)}
	if err := w.agent.Serve(one); err != nil {
		t.Error(err)
	}
	if err := <-one.refused; !errdefs.IsResourceExhausted(err) {
		t.Errorf("got %v", err)
	}
}

func TestAnAgentWithoutKeysIsNone(t *testing.T) {
	empty, err := New(nil, func(Decision) {})
	if err != nil || !empty.Empty() {
		t.Fatalf("empty is %v, %v", empty.Empty(), err)
	}
	near, far := net.Pipe()
	defer func() { _ = near.Close() }()
	one := stream{far, make(chan error, 1)}
	if err := empty.Serve(one); err != nil {
		t.Error(err)
	}
	if err := <-one.refused; !errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestT31_KeysAreOverwrittenAtTheEnd(t *testing.T) {
	host, _ := newSigner(t)
	_, private := newSigner(t)
	key := file(t, private, "")
	if text := fmt.Sprintf("%v %+v %#v %x", Entry{Host: "git", Key: key}, []Entry{{Key: key}}, Entry{Key: key}, &Entry{Key: key}); strings.Contains(text, "PRIVATE") ||
		strings.Contains(text, "45 45 45") || strings.Contains(text, "0x2d") || strings.Contains(text, "2d2d2d") {
		t.Errorf("T28: it prints as %s", text)
	}
	opened, err := New([]Entry{{Host: "git", User: "git", HostKey: line(host.PublicKey()), Key: key}}, func(Decision) {})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(key, make([]byte, len(key))) {
		t.Error("the file's bytes are still there")
	}
	held := opened.keys[0].private
	opened.Close()
	if wiped, ok := held.(interface{ Seed() []byte }); !ok || !bytes.Equal(wiped.Seed(), make([]byte, 32)) {
		t.Errorf("the key, %T, is still there", held)
	}
}

func TestEntriesThatCantBeAreRefused(t *testing.T) {
	host, _ := newSigner(t)
	_, private := newSigner(t)
	for name, test := range map[string]struct {
		change func(e *Entry)
		want   string
	}{
		"no host key":        {func(e *Entry) { e.HostKey = "" }, "TYPE BASE64"},
		"no user":            {func(e *Entry) { e.User = "" }, "no user"},
		"no key":             {func(e *Entry) { e.Key = []byte("hello") }, "read private key"},
		"missing passphrase": {func(e *Entry) { e.Key = file(t, private, "sesame") }, "none was given"},
		"wrong passphrase":   {func(e *Entry) { e.Key, e.Passphrase = file(t, private, "sesame"), "open" }, "does not open"},
	} {
		entry := Entry{Host: "git", User: "git", HostKey: line(host.PublicKey()), Key: file(t, private, "")}
		test.change(&entry)
		_, err := New([]Entry{entry}, func(Decision) {})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "ssh git") {
			t.Errorf("%s: %v", name, err)
		}
		if len(bytes.Trim(entry.Key, "\x00")) > 0 {
			t.Errorf("%s: the file's bytes are still there", name)
		}
	}
}

// transcript is a client that has said all it will say.
type transcript struct {
	io.Reader
	bytes.Buffer
}

func (t *transcript) Read(p []byte) (int, error) { return t.Reader.Read(p) }

// FuzzServe says anything to the agent, which must neither sign nor fall over:
// no client knows the host's key.
func FuzzServe(f *testing.F) {
	w := newWorld(f)
	frame := func(message []byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
	}
	other, _ := newSigner(f)
	f.Add(frame([]byte{kindList}))
	f.Add(frame(ssh.Marshal(signRequest{w.user.PublicKey().Marshal(), signedBytes(session, w.wish()), 0})))
	f.Add(frame(ssh.Marshal(extension{extensionBind, bindTo(f, other, session, false)})))
	f.Add(append(frame([]byte{17, 0}), frame([]byte{22})...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, said []byte) {
		client := &transcript{Reader: bytes.NewReader(said)}
		_ = w.agent.serve(client)
		for client.Len() > 0 {
			answer, err := readMessage(&client.Buffer)
			if err != nil {
				t.Fatal(err)
			}
			if kind := answer[0]; kind != kindFailure && kind != 12 {
				t.Fatalf("%q was answered by a message of kind %d", said, kind)
			}
		}
	})
}

// FuzzSign asks a bound connection for signatures: what is signed is one of the
// two logins that the entry allows.
func FuzzSign(f *testing.F) {
	w := newWorld(f)
	plain, bound := signedBytes(session, w.wish()), signedBytes(session, hostBound(w.wish(), w.host.PublicKey()))
	f.Add(plain, uint32(0))
	f.Add(bound, uint32(2))
	f.Add(signedBytes(another, w.wish()), uint32(0))
	f.Add([]byte("SSHSIG"), uint32(4))
	f.Fuzz(func(t *testing.T, data []byte, flags uint32) {
		c := &connection{agent: w.agent, hostBlob: w.host.PublicKey().Marshal(), sessionID: session}
		_, signature, err := c.sign(ssh.Marshal(signRequest{w.user.PublicKey().Marshal(), data, flags}))
		allowed := bytes.Equal(data, plain) || bytes.Equal(data, bound)
		if (err == nil) != allowed || (signature == nil) == allowed {
			t.Fatalf("%q: allowed is %v, %v", data, allowed, err)
		}
	})
}
