// Command hostile-init is a PID 1 that an attacker has taken over: it has the
// neck and its token, asks for whatever it is told to, and sends frames that no
// honest one would. The session that the host opens for claude gets its report.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/test/attack/attempt"
)

const (
	greeting = "bottle-neck/1\n"
	tokens   = 32 // bytes of one
	wait     = 20 * time.Second
	workers  = 12
	// attempts is where the test has put what is to be tried; work makes the
	// bottle one whose files are kept.
	attempts = "/workspace/hostile.json"
	work     = "/workspace/kept.txt"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "probe":
		err = probe()
	case len(os.Args) == 4 && os.Args[1] == "init":
		err = serve(context.Background(), os.Args[3]) //nolint:forbidigo // this is main
	default:
		err = fmt.Errorf("unknown arguments %q", os.Args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile-init:", err)
		os.Exit(1)
	}
}

// probe says what an honest one would.
func probe() error {
	_, statErr := os.Stat("/proc/sentry-meminfo")
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	capabilities := ""
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			capabilities = strings.TrimSpace(value)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"gvisor": statErr == nil, "version": "Linux version hostile", "uid": os.Getuid(), "capabilities": capabilities})
}

// attacker is the inner end of the neck.
type attacker struct {
	socket string
	token  []byte
	link   *neck.Conn
	// frames is held by who has a second neck, for the host keeps no third.
	frames sync.Mutex
}

// serve holds the neck until the host has ended.
func serve(ctx context.Context, socket string) error {
	a := &attacker{socket: socket, token: make([]byte, tokens)}
	conn, err := a.greet()
	if err != nil {
		return err
	}
	if a.link, err = neck.Client(conn); err != nil {
		return err
	}
	return a.link.Serve(ctx, neck.Bounds{Streams: 256, Request: 1 << 20}, a.answer)
}

// greet opens a connection that the host takes for the neck.
func (a *attacker) greet() (net.Conn, error) {
	conn, err := net.DialTimeout("unix", a.socket, wait)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(wait))
	if _, err := conn.Write(append([]byte(greeting), a.token...)); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("greet: %w", err)
	}
	if _, err := io.ReadFull(conn, a.token); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("read token: %w", err)
	}
	return conn, conn.SetDeadline(time.Time{})
}

// answer says yes to all that the host wants, and uses its one session.
func (a *attacker) answer(ctx context.Context, request neck.Request, stream neck.Stream) {
	defer func() { _ = stream.Close() }()
	if request.Kind == neck.KindFence && request.Fence != nil {
		a.pretend(ctx, *request.Fence)
	}
	if stream.Accept() != nil || request.Kind != neck.KindSession {
		return
	}
	command := neck.NewCommand(stream)
	status := neck.ExitStatus{}
	if err := a.tryAll(ctx, json.NewEncoder(command.Stdout())); err != nil {
		_, _ = fmt.Fprintln(command.Stderr(), "hostile-init:", err)
		status.Code = 1
	}
	_ = command.Exit(status)
}

// pretend does what the host wants to see before it starts claude.
func (a *attacker) pretend(ctx context.Context, tries neck.FenceRequest) {
	if stream, err := a.link.Open(ctx, neck.Request{Kind: neck.KindDial, Host: tries.Denied, Port: 443}); err == nil {
		_ = stream.Close()
	}
	stream, err := a.link.Open(ctx, neck.Request{Kind: neck.KindDial, Host: tries.Open, Port: tries.Port})
	if err != nil {
		return
	}
	defer func() { _ = stream.Close() }()
	_, _ = fmt.Fprintf(stream, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", tries.Path, tries.Open)
	_, _ = io.Copy(io.Discard, stream)
}

func (a *attacker) tryAll(ctx context.Context, printer *json.Encoder) error {
	data, err := os.ReadFile(attempts)
	if err := errors.Join(err, os.WriteFile(work, []byte("work\n"), 0o600)); err != nil {
		return err
	}
	todo := make(chan attempt.Attempt)
	var group sync.WaitGroup
	var mu sync.Mutex
	for range workers {
		group.Go(func() {
			for try := range todo {
				outcome := attempt.Outcome{Name: try.Name}
				answer, err := a.try(ctx, try)
				if outcome.Answer = answer; err != nil {
					outcome.Error = err.Error()
				}
				mu.Lock()
				_ = printer.Encode(outcome)
				mu.Unlock()
			}
		})
	}
	defer group.Wait()
	defer close(todo)
	for decoder := json.NewDecoder(strings.NewReader(string(data))); ; {
		var try attempt.Attempt
		if err := decoder.Decode(&try); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		todo <- try
	}
}

func (a *attacker) try(ctx context.Context, try attempt.Attempt) ([]byte, error) {
	var conn io.ReadWriteCloser
	var timed interface{ SetDeadline(at time.Time) error }
	switch try.Kind {
	case attempt.Request:
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		stream, err := a.link.Open(ctx, neck.Request{Kind: neck.Kind(try.Network), Host: try.Address, Port: try.Port})
		if err != nil {
			return nil, err
		}
		conn, timed = stream, stream
	case attempt.Frames:
		a.frames.Lock()
		defer a.frames.Unlock()
		dialled, err := (&attacker{socket: a.socket, token: append([]byte(nil), a.token...)}).greet()
		if err != nil {
			return nil, err
		}
		conn, timed = dialled, dialled
	default:
		return nil, fmt.Errorf("kind %q is not for PID 1", try.Kind)
	}
	defer func() { _ = conn.Close() }()
	_ = timed.SetDeadline(time.Now().Add(wait))
	for range 1 + try.Again {
		for _, piece := range try.Send {
			if _, err := conn.Write(piece); err != nil {
				return nil, err
			}
		}
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	return answer[:n], err
}
