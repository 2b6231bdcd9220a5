package neck

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
)

// asks opens a line by hand and returns the host's answer.
func asks(conn net.Conn, token []byte) (reply, error) {
	var answer reply
	if _, err := conn.Write(append([]byte(lineGreeting), token...)); err != nil {
		return answer, err
	}
	// A no may come, and the end, before it is written.
	_ = writeMessage(conn, Request{Kind: KindDial, Host: "example.com", Port: 443})
	return answer, readMessage(conn, maxMessage, &answer)
}

func TestT34_ALineNeedsTheToken(t *testing.T) {
	b := newBottle(t, func(_ context.Context, _ Request, stream Stream) {
		_ = stream.Accept()
		_ = stream.Close()
	})
	if answer, err := asks(b.dial(), make([]byte, tokenSize)); err == nil {
		t.Errorf("before the first neck a line was answered: %+v", answer)
	}
	token, err := greets(b.dial(), greeting, make([]byte, tokenSize))
	if err != nil {
		t.Fatalf("the line took the token that is PID 1's: %v", err)
	}
	other := bytes.Clone(token)
	other[0] ^= 1
	for name, presented := range map[string][]byte{"none": make([]byte, tokenSize), "nearly right": other} {
		if answer, err := asks(b.dial(), presented); err == nil {
			t.Errorf("%s: answered %+v", name, answer)
		}
	}
	if answer, err := asks(b.dial(), token); err != nil || answer.Error != "" {
		t.Errorf("with the token: %+v, %v", answer, err)
	}
}

func TestT34_LinesAreBounded(t *testing.T) {
	end := make(chan struct{})
	b := newBottle(t, func(ctx context.Context, _ Request, stream Stream) {
		_ = stream.Accept()
		select {
		case <-end:
		case <-ctx.Done():
		}
		_ = stream.Close()
	})
	token, err := greets(b.dial(), greeting, make([]byte, tokenSize))
	if err != nil {
		t.Fatal(err)
	}
	open := make([]net.Conn, maxLines)
	before := runtime.NumGoroutine()
	var group sync.WaitGroup
	for i := range open {
		open[i] = b.dial()
		group.Go(func() { // at once, as a program does
			if answer, err := asks(open[i], token); err != nil || answer.Error != "" {
				t.Errorf("line %d: %+v, %v", i, answer, err)
			}
		})
	}
	group.Wait()
	if now := runtime.NumGoroutine(); now > before+maxLines+40 {
		t.Errorf("%d lines cost %d goroutines", maxLines, now-before)
	}
	if answer, err := asks(b.dial(), token); err != nil || answer.Class != classOf(errdefs.ErrResourceExhausted) {
		t.Errorf("one more: %+v, %v", answer, err)
	}
	close(end)
	for _, conn := range open {
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("its end: %v", err)
		}
	}
	if answer, err := asks(b.dial(), token); err != nil || answer.Error != "" {
		t.Errorf("when places are free again: %+v, %v", answer, err)
	}
}

func TestF30_LinesEndWithTheirLink(t *testing.T) {
	told := make(chan struct{})
	b := newBottle(t, func(ctx context.Context, _ Request, stream Stream) {
		_ = stream.Accept()
		<-ctx.Done() // its work may take long, and must hear of the end
		close(told)
		_ = stream.Close()
	})
	guest, names := b.guest(nil)
	stream, answer, err := guest.Begin(t.Context(), Request{Kind: KindDial})
	if err == nil {
		err = answer()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	guest.mu.Lock()
	link := guest.link
	guest.mu.Unlock()
	_ = link.Close()
	if _, err := stream.Read(make([]byte, 1)); err == nil {
		t.Error("the line goes on without its link")
	}
	<-told
	waitFor(t, func() bool { return names.Load() == 2 }) // and the neck is back
}

// TestALineCarriesBothDirectionsToTheirEnds carries what the program does: TCP
// inside, the line, TCP on the host.
func TestALineCarriesBothDirectionsToTheirEnds(t *testing.T) {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	go func() {
		conn, err := far.Accept()
		if err != nil {
			return
		}
		all, _ := io.ReadAll(conn) // the answer comes after the end of the question
		_, _ = conn.Write(append(all, all...))
		_ = conn.Close()
	}()
	b := newBottle(t, func(ctx context.Context, _ Request, stream Stream) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", far.Addr().String())
		if err != nil {
			_ = stream.Refuse(err)
			return
		}
		_ = stream.Accept()
		Splice(stream, conn)
	})
	guest, _ := b.guest(nil)
	near, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	carried := make(chan struct{})
	go func() {
		defer close(carried)
		conn, err := near.Accept()
		if err != nil {
			return
		}
		stream, answer, err := guest.Begin(t.Context(), Request{Kind: KindDial})
		if err != nil {
			t.Error(err)
			_ = conn.Close()
			return
		}
		var up sync.WaitGroup
		up.Go(func() { Carry(stream, conn) })
		if err := answer(); err != nil {
			t.Error(err)
		}
		Carry(conn, stream)
		up.Wait()
		_, _ = conn.Close(), stream.Close()
	}()
	conn, err := net.Dial("tcp", near.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	sent := make([]byte, 3<<20)
	_, _ = rand.Read(sent)
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, append(bytes.Clone(sent), sent...)) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	<-carried
}

func TestALineIsRefusedAfterWordsThatCameEarly(t *testing.T) {
	b := newBottle(t, refuseAll)
	guest, _ := b.guest(nil)
	for i := range 2 * spareLines { // spare ones, and those after them
		stream, answer, err := guest.Begin(t.Context(), Request{Kind: KindDial, Host: "evil.org", Port: 443})
		if err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
		_, _ = stream.Write([]byte("early")) // a no may have come before
		if err := answer(); !errdefs.IsPermissionDenied(err) {
			t.Errorf("line %d: %v", i, err)
		}
		_ = stream.Close()
	}
}

func TestTheEndOfTheContextBreaksTheWaitForAnAnswerOff(t *testing.T) {
	b := newBottle(t, func(ctx context.Context, _ Request, stream Stream) {
		<-ctx.Done()
		_ = stream.Close()
	})
	guest, _ := b.guest(nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	stream, answer, err := guest.Begin(ctx, Request{Kind: KindDial})
	if err != nil {
		t.Fatal(err)
	}
	cancel(why)
	if err := answer(); !errors.Is(err, why) {
		t.Errorf("answered %v", err)
	}
	_ = stream.Close()
}

func TestT34_SilentDialsGiveWayToThoseWhoSpeak(t *testing.T) {
	b := newBottle(t, refuseAll)
	token, err := greets(b.dial(), greeting, make([]byte, tokenSize))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * greeterPlaces {
		b.dial() // and says nothing
	}
	// Whoever speaks now is served although nobody of them has hung up.
	if answer, err := asks(b.dial(), token); err != nil || answer.Class != classOf(errdefs.ErrPermissionDenied) {
		t.Errorf("a line behind them: %+v, %v", answer, err)
	}
}
