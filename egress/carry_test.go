package egress

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// A server that speaks first must not get the rest of what it says carried
// unseen: it could be a wish for another hello.
func TestT39_AServerThatSpeaksFirstIsWatchedAllTheSame(t *testing.T) {
	retry := append([]byte{messageServerHello, 0, 0, 34, 3, 3}, retryRandom()...)
	first, second := record(craft(tls.VersionTLS12, sni(dialledName))), record(craft(tls.VersionTLS12, sni("evil.org")))
	f := newFar(t)
	s := open(t, f.dialer(dialledName+":8443"), 20*time.Second, dialledName, 8443)
	conn, err := f.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(record(retry)[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
		t.Fatal(err) // it is on its way to the bottle before the hello comes
	}
	_, _ = s.Write(first)
	if _, err := io.ReadFull(conn, make([]byte, len(first))); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(record(retry))
	_, _ = s.Write(second)
	_ = s.CloseWrite()
	got, _ := io.ReadAll(conn)
	if len(got) != 0 {
		t.Errorf("%q went on", got)
	}
	// Unseen, it would be cut as well, but only for want of an answer.
	if err := s.ends(t); !errdefs.IsPermissionDenied(err) {
		t.Errorf("the second hello was not refused for what it says: %v", err)
	}
}

func TestLargeTransfersAreCountedToTheByte(t *testing.T) {
	const size = 4<<20 + 1
	f := newFar(t)
	go func() {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		data, _ := io.ReadAll(conn)
		_, _ = conn.Write(append(data, 'x'))
		_ = conn.Close()
	}()
	s := open(t, f.dialer("ssh://git.example.com"), time.Minute, "git.example.com", 22)
	sent := bytes.Repeat([]byte("z"), size)
	go func() {
		_, _ = s.Write(sent)
		_ = s.CloseWrite()
	}()
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, append(sent, 'x')) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if err := s.ends(t); err != nil {
		t.Fatal(err)
	}
	if s.event.Sent != size || s.event.Received != size+1 {
		t.Errorf("logged %+v", *s.event)
	}
}
