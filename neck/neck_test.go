package neck

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bottle is a host end that listens, with a place for guests to dial.
type bottle struct {
	*testing.T
	host   *Host
	socket string
}

func newBottle(t *testing.T, handle Handler) *bottle {
	t.Helper()
	socket := filepath.Join(t.TempDir(), SocketName)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	b := &bottle{t, NewHost(HostOptions{Names: Names{Entries: []Name{{Host: "example.com", Ports: []uint16{443}}}}, Handle: handle}), socket}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.host.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return b
}

func (b *bottle) dial() net.Conn {
	b.Helper()
	conn, err := net.Dial("unix", b.socket)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// guest runs a guest until the test ends. Sessions are answered by run, and the
// names that came are counted.
func (b *bottle) guest(run func(*Command, SessionRequest)) (guest *Guest, names *atomic.Int32) {
	names = new(atomic.Int32)
	guest = &Guest{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", b.socket)
		},
		Handle: func(_ context.Context, request Request, stream Stream) {
			defer func() { _ = stream.Close() }()
			if request.Kind == KindNames {
				names.Add(1) // taken before it is answered, as PID 1 does
			}
			_ = stream.Accept()
			if request.Kind == KindSession {
				run(NewCommand(stream), *request.Session)
			}
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { guest.Run(ctx); close(ended) }()
	b.Cleanup(func() { cancel(); <-ended })
	<-b.host.Ready()
	return guest, names
}

func refuseAll(_ context.Context, _ Request, stream Stream) {
	_ = stream.Refuse(fmt.Errorf("no: %w", errdefs.ErrPermissionDenied))
}

// greets sends a greeting and returns what the host answers.
func greets(conn net.Conn, hello string, token []byte) ([]byte, error) {
	if _, err := conn.Write(append([]byte(hello), token...)); err != nil {
		return nil, err
	}
	answer := make([]byte, tokenSize)
	_, err := io.ReadFull(conn, answer)
	return answer, err
}

func TestT34_OnlyTheFirstDialGetsTheToken(t *testing.T) {
	b := newBottle(t, refuseAll)
	token, err := greets(b.dial(), greeting, make([]byte, tokenSize))
	if err != nil || bytes.Equal(token, make([]byte, tokenSize)) {
		t.Fatalf("first dial: token %x, %v", token, err)
	}
	other := bytes.Clone(token)
	other[tokenSize-1] ^= 1
	for name, presented := range map[string][]byte{"zero": make([]byte, tokenSize), "nearly right": other} {
		if answer, err := greets(b.dial(), greeting, presented); err == nil {
			t.Errorf("%s: let in with %x", name, answer)
		}
	}
	if answer, err := greets(b.dial(), greeting, token); err != nil || !bytes.Equal(answer, token) {
		t.Errorf("redial with the token: %x, %v", answer, err)
	}
}

func TestT34_AnotherGreetingGetsNoToken(t *testing.T) {
	b := newBottle(t, refuseAll)
	if answer, err := greets(b.dial(), strings.Repeat("x", len(greeting)), make([]byte, tokenSize)); err == nil {
		t.Errorf("let in with %x", answer)
	}
	if _, err := greets(b.dial(), greeting, make([]byte, tokenSize)); err != nil {
		t.Errorf("the bottle's own dial after it: %v", err)
	}
}

func TestT34_SilentDialsDoNotKeepTheBottleOut(t *testing.T) {
	b := newBottle(t, refuseAll)
	first := b.dial()
	if _, err := greets(first, greeting, make([]byte, tokenSize)); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	for range 200 {
		b.dial()
	}
	// The link that is up goes on working.
	link, err := Client(first)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = link.Close() }()
	if _, err := link.Open(t.Context(), Request{Kind: KindDial, Host: "example.com", Port: 443}); !errdefs.IsPermissionDenied(err) {
		t.Errorf("a request meanwhile: %v", err)
	}
	if now := runtime.NumGoroutine(); now > before+40 {
		t.Errorf("200 silent dials cost %d goroutines", now-before)
	}
}

// TestT34_HostileFramesCostLittle sends what a bottle that has taken over its
// PID 1 could send: a million frames, of which no two make sense together.
func TestT34_HostileFramesCostLittle(t *testing.T) {
	var asked atomic.Int64
	b := newBottle(t, func(_ context.Context, request Request, stream Stream) {
		asked.Add(1)
		refuseAll(t.Context(), request, stream)
	})
	random := mathrand.New(mathrand.NewPCG(34, 34))
	token := make([]byte, tokenSize)
	var peak, start runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&start)
	for sent, links := 0, 0; sent < 1_000_000; links++ {
		conn, err := net.Dial("unix", b.socket)
		if err != nil {
			t.Fatal(err)
		}
		if token, err = greets(conn, greeting, token); err != nil {
			t.Fatalf("link %d: %v", links, err)
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		_ = conn.SetWriteDeadline(time.Now().Add(time.Minute))
		for range 10_000 {
			sent++
			if _, err := conn.Write(hostileFrame(random)); err != nil {
				break // the host has had enough of this link
			}
		}
		_ = conn.Close()
		runtime.ReadMemStats(&peak)
		if grown := int64(peak.HeapInuse) - int64(start.HeapInuse); grown > 64<<20 {
			t.Fatalf("after %d frames %d MiB are in use", sent, grown>>20)
		}
	}
	if asked.Load() == 0 {
		t.Error("no frame made a request: this test tests nothing")
	}
	// And an honest link still works.
	b.guestWithToken(token)
}

// hostileFrame is a header of the multiplexer that is nearly right, or a request.
func hostileFrame(random *mathrand.Rand) []byte {
	const dataFrame, windowUpdate, ping, goAway = 0, 1, 2, 3
	kind := []byte{dataFrame, windowUpdate, windowUpdate, ping, goAway, byte(random.Uint32())}[random.IntN(6)]
	if kind == goAway && random.IntN(100) > 0 {
		kind = windowUpdate
	}
	flags := uint16(random.IntN(16))
	stream := random.Uint32N(600)
	length := []uint32{0, 1, 64, 1 << 20, random.Uint32()}[random.IntN(5)]
	frame := []byte{0, kind}
	if random.IntN(2000) == 0 {
		frame[0] = 1
	}
	body := []byte(nil)
	if kind == dataFrame {
		request := `{"kind":"dial","host":"evil.org","port":443}`
		length = uint32(4 + len(request))
		body = binary.BigEndian.AppendUint32(nil, uint32(len(request)))
		body = append(body, request...)
		if random.IntN(2) == 0 {
			binary.BigEndian.PutUint32(body, random.Uint32())
		}
	}
	frame = binary.BigEndian.AppendUint16(frame, flags)
	frame = binary.BigEndian.AppendUint32(frame, stream)
	frame = binary.BigEndian.AppendUint32(frame, length)
	return append(frame, body...)
}

func (b *bottle) guestWithToken(token []byte) {
	b.Helper()
	conn := b.dial()
	if _, err := greets(conn, greeting, token); err != nil {
		b.Fatal(err)
	}
	link, err := Client(conn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = link.Close() }()
	if _, err := link.Open(b.Context(), Request{Kind: KindDial}); !errdefs.IsPermissionDenied(err) {
		b.Errorf("an honest request: %v", err)
	}
}

func TestNamesArriveFirstAndAfterEveryRedial(t *testing.T) {
	b := newBottle(t, refuseAll)
	guest, names := b.guest(nil)
	if names.Load() != 1 {
		t.Errorf("%d tables of names came before the neck was ready", names.Load())
	}
	guest.mu.Lock()
	link := guest.link
	guest.mu.Unlock()
	_ = link.Close()
	waitFor(t, func() bool { return names.Load() == 2 })
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come")
		}
	}
}

func TestErrorsKeepTheirKindAcrossTheNeck(t *testing.T) {
	kinds := []error{
		errdefs.ErrNotFound, errdefs.ErrPermissionDenied, errdefs.ErrInvalidArgument, errdefs.ErrUnavailable,
		errdefs.ErrResourceExhausted, errdefs.ErrNotImplemented,
	}
	b := newBottle(t, func(_ context.Context, request Request, stream Stream) {
		_ = stream.Refuse(fmt.Errorf("number %d: %w", request.Port, kinds[request.Port]))
	})
	guest, _ := b.guest(nil)
	for i, kind := range kinds {
		_, err := guest.Open(t.Context(), Request{Kind: KindDial, Port: uint16(i)})
		if !errors.Is(err, kind) || !strings.HasPrefix(err.Error(), fmt.Sprintf("number %d", i)) {
			t.Errorf("%v became %v", kind, err)
		}
	}
}

func TestT34_LargeRequestsAreNotRead(t *testing.T) {
	b := newBottle(t, func(_ context.Context, _ Request, stream Stream) { _ = stream.Accept() })
	guest, _ := b.guest(nil)
	if _, err := guest.Open(t.Context(), Request{Kind: KindDial, Host: strings.Repeat("x", 8<<10)}); err == nil {
		t.Error("a request of 8 KiB was answered")
	}
}

func (b *bottle) session(request SessionRequest) Stream {
	b.Helper()
	stream, err := b.host.Open(b.Context(), Request{Kind: KindSession, Session: &request})
	if err != nil {
		b.Fatal(err)
	}
	return stream
}

func TestSessionIsByteExact(t *testing.T) {
	input := make([]byte, 8<<20)
	_, _ = rand.Read(input)
	b := newBottle(t, refuseAll)
	b.guest(func(command *Command, _ SessionRequest) {
		for {
			event, err := command.Next()
			if err != nil || event.EOF {
				break
			}
			_, _ = command.Stdout().Write(event.Input)
			_, _ = command.Stderr().Write(event.Input[:1])
		}
		_ = command.Exit(ExitStatus{Code: 42})
	})
	var out, errs bytes.Buffer
	status, err := Attach(t.Context(), b.session(SessionRequest{Argv: []string{"cat"}}), SessionIO{In: bytes.NewReader(input), Out: &out, Err: &errs})
	if err != nil || status.Code != 42 {
		t.Fatalf("status %v, %v", status, err)
	}
	if !bytes.Equal(out.Bytes(), input) || errs.Len() == 0 {
		t.Errorf("%d bytes came back of %d, %d errors", out.Len(), len(input), errs.Len())
	}
}

func TestSizesAndSignalsArrive(t *testing.T) {
	b := newBottle(t, refuseAll)
	got := make(chan Event, 8)
	b.guest(func(command *Command, request SessionRequest) {
		if !request.TTY || request.Size != (Size{Columns: 80, Rows: 24}) {
			t.Errorf("request is %+v", request)
		}
		for range 2 {
			event, err := command.Next()
			if err != nil {
				t.Error(err)
			}
			got <- event
		}
		_ = command.Exit(ExitStatus{})
	})
	sizes, signals := make(chan Size, 1), make(chan string, 1)
	sizes <- Size{Columns: 120, Rows: 50}
	in, inEnd := io.Pipe()
	defer func() { _ = inEnd.Close() }()
	go func() {
		if event := <-got; event.Size == nil || event.Size.Columns != 120 {
			t.Errorf("first event is %+v", event)
		}
		signals <- "SIGINT"
	}()
	if _, err := Attach(t.Context(), b.session(SessionRequest{TTY: true, Size: Size{Columns: 80, Rows: 24}}),
		SessionIO{In: in, Out: io.Discard, Err: io.Discard, Size: sizes, Signals: signals}); err != nil {
		t.Fatal(err)
	}
	if event := <-got; event.Signal != "SIGINT" {
		t.Errorf("second event is %+v", event)
	}
}

func TestACommandThatCanNotStartSaysWhy(t *testing.T) {
	b := newBottle(t, refuseAll)
	b.guest(func(command *Command, _ SessionRequest) {
		_ = command.Fail(fmt.Errorf("start claude: %w", errdefs.ErrNotFound))
	})
	_, err := Attach(t.Context(), b.session(SessionRequest{}), SessionIO{Out: io.Discard, Err: io.Discard})
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "start claude") {
		t.Errorf("got %v", err)
	}
}

func TestALostLinkIsSaid(t *testing.T) {
	b := newBottle(t, refuseAll)
	b.guest(func(*Command, SessionRequest) {}) // closes its stream without a word
	_, err := Attach(t.Context(), b.session(SessionRequest{}), SessionIO{Out: io.Discard, Err: io.Discard})
	if !errors.Is(err, ErrLinkLost) || !errdefs.IsUnavailable(err) {
		t.Errorf("got %v", err)
	}
}

func TestTheEndOfTheContextBreaksASessionOff(t *testing.T) {
	b := newBottle(t, refuseAll)
	ended := make(chan struct{})
	b.guest(func(command *Command, _ SessionRequest) {
		_, _ = command.Stdout().Write([]byte("started"))
		for {
			if _, err := command.Next(); err != nil {
				close(ended)
				return
			}
		}
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	in, inEnd := io.Pipe()
	defer func() { _ = inEnd.Close() }()
	_, err := Attach(ctx, b.session(SessionRequest{}), SessionIO{In: in, Out: writerFunc(func([]byte) { cancel(why) }), Err: io.Discard})
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	<-ended
}

type writerFunc func([]byte)

func (w writerFunc) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestT26_AFloodWaitsForASlowTerminal(t *testing.T) {
	b := newBottle(t, refuseAll)
	var written atomic.Int64
	b.guest(func(command *Command, _ SessionRequest) {
		line := bytes.Repeat([]byte("y\n"), 16<<10)
		for range 2048 { // 64 MiB
			if _, err := command.Stdout().Write(line); err != nil {
				return
			}
			written.Add(int64(len(line)))
		}
		_ = command.Exit(ExitStatus{})
	})
	stopped, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var read int64
	terminal := writerFunc(func(p []byte) {
		read += int64(len(p))
		once.Do(func() {
			close(stopped)
			<-goOn
		})
	})
	go func() {
		<-stopped
		// Written is what fits on the way; then it stands.
		for last := int64(-1); ; time.Sleep(50 * time.Millisecond) {
			now := written.Load()
			if now == last {
				break
			}
			last = now
		}
		if on := written.Load(); on > 2<<20 {
			t.Errorf("%d bytes went ahead of a terminal that stands", on)
		}
		close(goOn)
	}()
	in, inEnd := io.Pipe()
	defer func() { _ = inEnd.Close() }()
	if _, err := Attach(t.Context(), b.session(SessionRequest{}), SessionIO{In: in, Out: terminal, Err: io.Discard}); err != nil {
		t.Fatal(err)
	}
	if want := int64(2048 * 32 << 10); read != want || written.Load() != want {
		t.Errorf("read %d of %d", read, want)
	}
}

func TestSplicePassesEachEndOn(t *testing.T) {
	outside, echo := net.Pipe()
	go func() {
		_, _ = io.Copy(echo, io.LimitReader(echo, 5))
		_ = echo.Close()
	}()
	b := newBottle(t, func(_ context.Context, _ Request, stream Stream) {
		_ = stream.Accept()
		Splice(stream, outside)
	})
	guest, _ := b.guest(nil)
	stream, err := guest.Open(t.Context(), Request{Kind: KindDial})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(stream)
	_ = stream.Close()
	if err != nil || string(answer) != "hello" {
		t.Errorf("answer %q, %v", answer, err)
	}
}

func TestOpenWithoutANeckWaitsNoLongerThanItsContext(t *testing.T) {
	host := NewHost(HostOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := host.Open(ctx, Request{}); !errdefs.IsUnavailable(err) {
		t.Errorf("host: %v", err)
	}
	if _, err := new(Guest).Open(ctx, Request{}); !errdefs.IsUnavailable(err) {
		t.Errorf("guest: %v", err)
	}
}

func FuzzMessage(f *testing.F) {
	var seed bytes.Buffer
	_ = writeMessage(&seed, Request{Kind: KindDial, Host: "example.com", Port: 443})
	f.Add(seed.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		var request Request
		if readMessage(bytes.NewReader(data), 4<<10, &request) == nil && len(data) > 4+4<<10 {
			if size := binary.BigEndian.Uint32(data); size > 4<<10 {
				t.Errorf("a message of %d bytes was read", size)
			}
		}
	})
}

func FuzzFrames(f *testing.F) {
	var seed bytes.Buffer
	link := frames{stream: &seed}
	_ = link.write(frameStdin, []byte("input"))
	_ = link.writeValue(frameResize, Size{1, 2})
	f.Add(seed.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		command := NewCommand(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(data), io.Discard})
		for range len(data) + 1 {
			event, err := command.Next()
			if err != nil {
				return
			}
			if len(event.Input) > maxFrame {
				t.Errorf("frame of %d bytes", len(event.Input))
			}
		}
		t.Error("more frames than bytes")
	})
}
