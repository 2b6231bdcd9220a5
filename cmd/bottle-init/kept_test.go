package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// inside is a bottle in this process with sessions, reached by as many links as a test
// wants.
type inside struct {
	*testing.T
	bottle *bottle
	links  sync.WaitGroup
}

func newInside(t *testing.T) *inside {
	t.Helper()
	i := &inside{T: t, bottle: &bottle{reaper: newReaper()}}
	t.Cleanup(func() {
		i.links.Wait()
		i.bottle.kept.close()
		i.bottle.reaper.close()
	})
	return i
}

// link opens a link, and returns what cuts it.
func (i *inside) link() (*neck.Conn, func()) {
	i.Helper()
	host, serve := linked(i.T, i.bottle)
	i.links.Go(serve)
	cut := sync.OnceFunc(func() { _ = host.Close() })
	i.Cleanup(cut)
	return host, cut
}

// begin starts a shell script as a kept session and has it go on without a client.
func (i *inside) begin(name, script string, tty bool) {
	i.Helper()
	link, cut := i.link()
	defer cut()
	stream, err := link.Open(i.Context(), neck.Request{Kind: neck.KindSession, Session: &neck.SessionRequest{
		Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin", "TERM=xterm"}, Dir: "/", TTY: tty,
		Size: neck.Size{Columns: 40, Rows: 10}, Keep: name,
	}})
	if err != nil {
		i.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(i.Context())
	begun := errors.New("it runs")
	_, err = neck.Attach(ctx, stream, neck.SessionIO{Out: io.Discard, Err: io.Discard, Position: func(neck.Position) { cancel(begun) }})
	if err != nil && !errors.Is(err, begun) {
		i.Fatal(err)
	}
	cancel(nil)
}

// attached is what one client of a session has heard.
type attached struct {
	out, err  bytes.Buffer
	positions []neck.Position
	had       int64
	status    neck.ExitStatus
}

// attach is a client of a session until it ends; typed is its input.
func (i *inside) attach(request neck.AttachRequest, typed string) (*attached, error) {
	i.Helper()
	link, cut := i.link()
	defer cut()
	heard := &attached{}
	stream, err := link.Open(i.Context(), neck.Request{Kind: neck.KindAttach, Attach: &request})
	if err != nil {
		return heard, err
	}
	heard.status, err = neck.Attach(i.Context(), stream, neck.SessionIO{
		In: strings.NewReader(typed), Out: &heard.out, Err: &heard.err, Had: &heard.had,
		Position: func(at neck.Position) { heard.positions = append(heard.positions, at) },
	})
	return heard, err
}

func numbered(count int) string {
	var lines strings.Builder
	for i := range count {
		fmt.Fprintf(&lines, "%d\n", i+1)
	}
	return lines.String()
}

func TestAKeptSessionGoesOnWithoutAClient(t *testing.T) {
	i := newInside(t)
	i.begin("claude", "read line; echo said $line; echo aside >&2; exit 7", false)
	heard, err := i.attach(neck.AttachRequest{Name: "claude", From: -1}, "hello\n")
	if err != nil || heard.status.Code != 7 || heard.out.String() != "said hello\n" || heard.err.String() != "aside\n" {
		t.Errorf("%+v, %v: %q and %q", heard.status, err, heard.out.String(), heard.err.String())
	}
	// Its end is told to who comes later, too, with what is still there.
	heard, err = i.attach(neck.AttachRequest{Name: "claude", From: 5}, "")
	if err != nil || heard.status.Code != 7 || heard.out.Len()+heard.err.Len() != 12 || heard.had != 17 {
		t.Errorf("%+v, %v: %q and %q", heard, err, heard.out.String(), heard.err.String())
	}
}

// TestF30_ACutLinkLosesNothingOfAKeptSession cuts the link at random bytes, and goes on
// from there each time.
func TestF30_ACutLinkLosesNothingOfAKeptSession(t *testing.T) {
	i := newInside(t)
	const lines = 60_000
	i.begin("claude", fmt.Sprintf("read go; i=0; while [ $i -lt %d ]; do i=$((i+1)); echo $i; done", lines), false)
	want := numbered(lines)
	var got bytes.Buffer
	var had int64
	cuts := 0
	for first := true; ; first = false {
		link, cut := i.link()
		stream, err := link.Open(t.Context(), neck.Request{Kind: neck.KindAttach, Attach: &neck.AttachRequest{Name: "claude", From: had, Lossless: true}})
		if err != nil {
			t.Fatal(err)
		}
		left := 1 + rand.IntN(2*len(want)/100)
		in := io.Reader(strings.NewReader(""))
		if first {
			in = strings.NewReader("go\n")
		}
		out := writeFunc(func(data []byte) (int, error) {
			got.Write(data)
			if left -= len(data); left <= 0 {
				cut()
			}
			return len(data), nil
		})
		status, err := neck.Attach(t.Context(), stream, neck.SessionIO{In: in, Out: out, Err: io.Discard, Had: &had})
		cut()
		if err == nil {
			if status.Code != 0 {
				t.Errorf("it ended with %d", status.Code)
			}
			break
		}
		if !errors.Is(err, neck.ErrLinkLost) {
			t.Fatal(err)
		}
		cuts++
	}
	if got.String() != want {
		t.Errorf("after %d cuts %d bytes came, wanted are %d", cuts, got.Len(), len(want))
	}
	if cuts < 5 {
		t.Errorf("only %d cuts were made", cuts)
	}
}

func TestSeveralClientsSeeTheSame(t *testing.T) {
	i := newInside(t)
	i.begin("claude", "read go; for i in 1 2 3 4 5; do echo line $i; done", false)
	results := make(chan string, 4)
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			heard, err := i.attach(neck.AttachRequest{Name: "claude", From: 0, ReadOnly: true}, "refused\n")
			results <- fmt.Sprintf("%s%v", heard.out.String(), err)
		})
	}
	heard, err := i.attach(neck.AttachRequest{Name: "claude", From: 0}, "go\n")
	results <- fmt.Sprintf("%s%v", heard.out.String(), err)
	clients.Wait()
	for range 4 {
		if got := <-results; got != "line 1\nline 2\nline 3\nline 4\nline 5\n<nil>" {
			t.Errorf("a client saw %q", got)
		}
	}
}

func TestWhatNobodyReadsIsLostAndSaid(t *testing.T) {
	i := newInside(t)
	i.begin("claude", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end", false)
	for { // until it has ended
		heard, err := i.attach(neck.AttachRequest{Name: "claude", ReadOnly: true}, "")
		if err != nil {
			t.Fatal(err)
		}
		if heard.had != 3_000_005 || !strings.HasSuffix(heard.out.String(), "x\nend\n") {
			t.Fatalf("it had %d", heard.had)
		}
		lost := int64(0)
		for _, at := range heard.positions {
			lost += at.Lost
		}
		if int64(heard.out.Len())+lost != 3_000_005 {
			t.Errorf("%d bytes came and %d were lost", heard.out.Len(), lost)
		}
		if lost > 0 {
			return
		}
	}
}

func TestAClientThatMayLoseNothingHoldsTheCommand(t *testing.T) {
	o := newOutput(nil)
	slow, _ := o.read(0, true)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range 4 << 20 / pieceSize {
			o.write(standardOutput, make([]byte, pieceSize))
		}
		o.close()
	}()
	total := 0
	for {
		next, ok := slow.next(t.Context())
		if !ok {
			break
		}
		if next.gap {
			t.Fatalf("%d bytes were lost", next.lost)
		}
		total += len(next.data)
		o.mu.Lock()
		if held := o.held; held > outputHeld+pieceSize+pieceCost {
			t.Errorf("%d bytes are held", held)
		}
		o.mu.Unlock()
	}
	<-written
	if total != 4<<20 {
		t.Errorf("%d bytes came", total)
	}
	// Once it is gone nothing is held back.
	o = newOutput(nil)
	gone, _ := o.read(0, true)
	gone.close()
	for range 200 {
		o.write(standardOutput, make([]byte, pieceSize))
	}
}

func TestKeptSessionsHaveNames(t *testing.T) {
	i := newInside(t)
	i.begin("claude", "read line", false)
	link, _ := i.link()
	request := neck.Request{Kind: neck.KindSession, Session: &neck.SessionRequest{Argv: []string{"/bin/true"}, Keep: "claude"}}
	if _, err := ask(t, link, request, nil); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, err := i.attach(neck.AttachRequest{Name: "nobody"}, ""); !errdefs.IsNotFound(err) {
		t.Errorf("a name that nobody has: %v", err)
	}
	if _, err := i.attach(neck.AttachRequest{Name: "claude"}, "end\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, link, request, nil); err != nil {
		t.Errorf("a name whose session has ended: %v", err)
	}
	request.Session = &neck.SessionRequest{Argv: []string{"/nowhere/at all"}, Keep: "other"}
	if _, err := ask(t, link, request, nil); !errdefs.IsNotFound(err) {
		t.Errorf("a command that is not there: %v", err)
	}
}
