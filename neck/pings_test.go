package neck

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

// strangers is a host end and a way to dial it, with the token in hand.
func strangers(t *testing.T) (dial func() net.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "neck.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	host, ended := NewHost(HostOptions{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = host.Serve(t.Context(), listener)
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	guest := &Guest{}
	return func() net.Conn {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := guest.greet(conn); err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

func TestT34_PingsWhoseAnswersNobodyTakesEndTheLink(t *testing.T) {
	conn := strangers(t)()
	before := runtime.NumGoroutine()
	flood := bytes.Repeat(append([]byte{0, typePing, 0, flagPing}, make([]byte, 8)...), 10_000)
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var err error
	for range 1000 {
		if _, err = conn.Write(flood); err != nil {
			break
		}
		if more := runtime.NumGoroutine() - before; more > 500 {
			t.Fatalf("%d goroutines hold pings", more)
		}
	}
	var late net.Error
	if err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("ten million pings end with %v", err)
	}
}

func TestHonestPingsAreAnswered(t *testing.T) {
	session, err := yamux.Client(strangers(t)(), configuration())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = session.Close() }()
	for i := range 10 * maxPings {
		if _, err := session.Ping(); err != nil {
			t.Fatalf("ping %d: %v", i, err)
		}
	}
}

func TestT34_HeadsAreFoundHoweverTheyAreCut(t *testing.T) {
	frame := func(kind byte, flags uint16, length uint32, body string) []byte {
		head := binary.BigEndian.AppendUint16([]byte{0, kind}, flags)
		return append(binary.BigEndian.AppendUint32(append(head, 0, 0, 0, 1), length), body...)
	}
	fake := string(frame(typePing, flagPing, 0, ""))
	stream := bytes.Join([][]byte{
		frame(typePing, flagPing, 7, ""), frame(typeData, 1, uint32(2*len(fake)), fake+fake), frame(typePing, flagAnswer, 7, ""),
		frame(1, 1, 1<<20, ""), frame(typePing, flagPing, 0xffffffff, ""), frame(3, 0, 0, ""), frame(typePing, 0xffff, 0, ""),
	}, nil)
	for size := 1; size <= len(stream); size++ {
		var h heads
		pings := int64(0)
		for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			pings += h.count(rest[:min(size, len(rest))], flagPing)
		}
		if pings != 3 {
			t.Fatalf("in pieces of %d bytes there are %d pings", size, pings)
		}
	}
}

func TestT34_OnlyTheNewestOfManyLinksIsKeptWaiting(t *testing.T) {
	dial := strangers(t)
	var all []net.Conn
	for range 20 {
		all = append(all, dial()) // and never answers the table of names
	}
	// A link whose far end is silent ends by itself, but only after its keepalive.
	deadline := time.Now().Add(configuration().KeepAliveInterval * 2 / 3)
	for i, conn := range all[:len(all)-1] {
		_ = conn.SetDeadline(deadline)
		buffer := make([]byte, 4096)
		var err error
		for err == nil {
			_, err = conn.Read(buffer)
		}
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			t.Fatalf("link %d of %d is still open", i, len(all))
		}
	}
}
