package supervise

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sandbox counts how often it is taken down.
type sandbox struct {
	downs   atomic.Int32
	discard atomic.Bool
	busy    atomic.Bool // Down fails
	missing []string
}

func (s *sandbox) Missing() []string { return s.missing }

var errBusy = errors.New("busy")

func (s *sandbox) Down(_ context.Context, discard bool, _ <-chan struct{}) error {
	s.downs.Add(1)
	s.discard.Store(discard)
	if s.busy.Load() {
		return errBusy
	}
	return nil
}

// running is a supervisor in this process.
type running struct {
	*testing.T
	config  Config
	sandbox *sandbox
	client  *Client
	cancel  context.CancelFunc
	ended   chan error
}

func run(t *testing.T, change func(*Config)) *running {
	t.Helper()
	dir := t.TempDir()
	config := Config{
		ID: "id", Run: dir, State: dir, UID: os.Geteuid(),
		Hosts:     []backend.PlanHost{{Host: "allowed.example", Ports: []uint16{443}}},
		Anthropic: backend.PlanAnthropic{Upstream: "https://api.anthropic.com", Credential: backend.CredentialAPIKey},
	}
	if change != nil {
		change(&config)
	}
	if err := os.Mkdir(filepath.Join(dir, "neck"), 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	near, far, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	launcher, err := net.FileConn(far)
	_ = far.Close()
	if err != nil {
		t.Fatal(err)
	}
	client, err := newClient(near)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{t, config, &sandbox{}, client, cancel, make(chan error, 1)}
	go func() { r.ended <- Run(ctx, config, Inherited{Lock: lock, Launcher: launcher}, r.sandbox) }()
	t.Cleanup(func() {
		client.Close()
		cancel()
	})
	return r
}

// ends waits for the end of Run.
func (r *running) ends() error {
	r.Helper()
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	case <-time.After(2 * time.Minute):
		r.Fatal("the supervisor does not end")
		return nil
	}
}

// guest opens the neck as a bottle does, and answers streams so, once they are accepted.
func (r *running) guest(answer func(neck.Request, neck.Stream)) *neck.Guest {
	r.Helper()
	guest := &neck.Guest{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", r.config.neckSocket())
		},
		Handle: func(_ context.Context, request neck.Request, stream neck.Stream) {
			defer func() { _ = stream.Close() }()
			_ = stream.Accept()
			answer(request, stream)
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { guest.Run(ctx); close(ended) }()
	r.Cleanup(func() { cancel(); <-ended })
	// One that takes over what is to end may have done so before it can say that it is ready.
	if err := r.client.Ready(r.Context()); err != nil && r.config.Again == nil {
		r.Fatal(err)
	}
	return guest
}

// pid1 is a guest that echoes sessions.
func (r *running) pid1() *neck.Guest {
	r.Helper()
	return r.guest(func(request neck.Request, stream neck.Stream) {
		if request.Kind != neck.KindSession {
			return
		}
		command := neck.NewCommand(stream)
		for {
			event, err := command.Next()
			if err != nil {
				return
			}
			if event.EOF {
				_ = command.Exit(neck.ExitStatus{Code: 7})
				return
			}
			_, _ = command.Stdout().Write(event.Input)
		}
	})
}

func TestF1_WithoutItsLauncherTheBottleGoes(t *testing.T) {
	r := run(t, func(c *Config) { c.Discard = true })
	r.pid1()
	// A session is under way, and PID 1 is still there.
	in, inEnd := io.Pipe()
	defer func() { _ = inEnd.Close() }()
	session := make(chan error, 1)
	go func() {
		_, err := r.client.Session(t.Context(), &neck.SessionRequest{Argv: []string{"cat"}}, neck.SessionIO{In: in, Out: io.Discard, Err: io.Discard})
		session <- err
	}()
	_, _ = inEnd.Write([]byte("input"))
	r.client.Close()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
	if err := <-session; !errors.Is(err, neck.ErrLinkLost) {
		t.Errorf("the session ended with %v", err)
	}
	if r.sandbox.downs.Load() != 1 || !r.sandbox.discard.Load() {
		t.Errorf("taken down %d times, discard %v", r.sandbox.downs.Load(), r.sandbox.discard.Load())
	}
}

func TestASignalTakesTheBottleDown(t *testing.T) {
	r := run(t, nil)
	r.pid1()
	r.cancel()
	if err := r.ends(); err != nil || r.sandbox.downs.Load() != 1 || r.sandbox.discard.Load() {
		t.Errorf("taken down %d times, discard %v, %v", r.sandbox.downs.Load(), r.sandbox.discard.Load(), err)
	}
}

// TestF25_NothingIsKeptOfABottleThatEndsBeforeItsCommandsHave, whoever ends it.
func TestF25_NothingIsKeptOfABottleThatEndsBeforeItsCommandsHave(t *testing.T) {
	for name, test := range map[string]struct {
		before  func(r *running) error
		discard bool
	}{
		"before":   {func(*running) error { return nil }, true},
		"after":    {func(r *running) error { return r.client.Outfitted(r.Context()) }, false},
		"detached": {func(r *running) error { return r.client.Detach(r.Context()) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, func(c *Config) {
				if err := os.WriteFile(filepath.Join(c.State, backend.StateSetup), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			})
			r.pid1()
			if err := test.before(r); err != nil {
				t.Fatal(err)
			}
			r.client.Close()
			r.cancel()
			if err := r.ends(); err != nil || r.sandbox.discard.Load() != test.discard {
				t.Errorf("discard is %v, %v", r.sandbox.discard.Load(), err)
			}
		})
	}
}

func TestDownIsAnsweredAndTheBottleGoes(t *testing.T) {
	r := run(t, nil)
	r.pid1()
	if err := r.client.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.ends(); err != nil || r.sandbox.downs.Load() != 1 {
		t.Errorf("taken down %d times, %v", r.sandbox.downs.Load(), err)
	}
}

func TestAFailedTeardownIsTold(t *testing.T) {
	r := run(t, nil)
	r.sandbox.busy.Store(true)
	r.client.Close()
	if err := r.ends(); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
}

func TestF25_ABottleThatCannotBeServedIsLeftToItsLauncher(t *testing.T) {
	r := run(t, func(c *Config) { c.Anthropic.Upstream = "nonsense" })
	if err := r.ends(); !errdefs.IsInvalidArgument(err) || r.sandbox.downs.Load() != 0 {
		t.Errorf("taken down %d times, %v", r.sandbox.downs.Load(), err)
	}
	if err := r.client.Ready(t.Context()); err == nil {
		t.Error("its launcher is told that it is ready")
	}
}

func TestSessionsAreCarriedThrough(t *testing.T) {
	r := run(t, nil)
	r.pid1()
	var out bytes.Buffer
	status, err := r.client.Session(t.Context(), &neck.SessionRequest{Argv: []string{"cat"}},
		neck.SessionIO{In: strings.NewReader("wish"), Out: &out, Err: io.Discard})
	if err != nil || status.Code != 7 || out.String() != "wish" {
		t.Errorf("status %v, output %q, %v", status, out.String(), err)
	}
}

func TestSocketsAreForTheirOwnersAlone(t *testing.T) {
	const uid = 1234
	r := run(t, func(c *Config) { c.UID = uid })
	for _, test := range []struct {
		path string
		uid  uint32
	}{{r.config.neckSocket(), uid}, {r.config.controlSocket(), uint32(os.Geteuid())}} {
		var stat unix.Stat_t
		for deadline := time.Now().Add(2 * time.Minute); stat.Uid != test.uid || stat.Mode&0o777 != 0o600; time.Sleep(time.Millisecond) {
			if err := unix.Lstat(test.path, &stat); err != nil && !errors.Is(err, unix.ENOENT) || time.Now().After(deadline) {
				t.Fatalf("%s: uid %d, mode %o, %v", test.path, stat.Uid, stat.Mode, err)
			}
		}
	}
}

func TestT34_WhatTheBottleAsksIsJudgedOnTheHost(t *testing.T) {
	var asked atomic.Value
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.Header.Get("X-Api-Key")) }))
	defer upstream.Close()
	r := run(t, func(c *Config) { c.Anthropic.Upstream, c.Credential = upstream.URL, "the-key" })
	guest := r.pid1()
	for _, request := range []neck.Request{
		{Kind: neck.KindDial, Host: "evil.example", Port: 443},
		{Kind: neck.KindDial, Host: "allowed.example", Port: 22},
		{Kind: neck.KindDial, Host: "127.0.0.1", Port: 443},
		{Kind: neck.KindDial, Host: "localhost", Port: 443},
		{Kind: neck.KindDial, Host: egress.GatewayHost, Port: 443},
		{Kind: neck.KindDial, Host: "x." + egress.GatewayHost, Port: 80},
		{Kind: neck.KindDial, Host: "\x1b[2J\x00", Port: 443},
		{Kind: neck.KindDial},
		{Kind: neck.KindSession, Session: &neck.SessionRequest{Argv: []string{"sh"}}},
		{Kind: neck.KindNames, Names: &neck.Names{}},
		{Kind: kindDown}, {Kind: kindReady}, {Kind: "other"}, {},
	} {
		if stream, err := guest.Open(t.Context(), request); err == nil {
			t.Errorf("%+v was accepted", request)
			_ = stream.Close()
		}
	}
	stream, err := guest.Open(t.Context(), neck.Request{Kind: neck.KindDial, Host: egress.GatewayHost, Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(stream, "GET /v1/models HTTP/1.1\r\nHost: "+egress.GatewayHost+"\r\nConnection: close\r\n\r\n")
	answer, _ := io.ReadAll(stream)
	_ = stream.Close()
	if !strings.HasPrefix(string(answer), "HTTP/1.1 200") || asked.Load() != "the-key" {
		t.Errorf("the gateway answers %q, upstream saw key %v", answer, asked.Load())
	}
	if denied, err := guest.Open(t.Context(), neck.Request{Kind: neck.KindName, Host: "evil.example\n"}); err != nil {
		t.Error(err)
	} else {
		_ = denied.Close()
	}
	r.client.Close()
	if err := r.ends(); err != nil {
		t.Fatal(err)
	}
	audit, err := os.ReadFile(filepath.Join(r.config.State, auditLog))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"kind":"dial","host":"evil.example","port":443,"allowed":false`, `"kind":"request"`, `"kind":"name"`, `"path":"/v1/models","allowed":true`} {
		if !strings.Contains(string(audit), want) {
			t.Errorf("the audit log lacks %s:\n%s", want, audit)
		}
	}
	if strings.Contains(string(audit), "the-key") || strings.ContainsAny(string(audit), "\x1b\x00") {
		t.Errorf("the audit log holds what it must not:\n%q", audit)
	}
	for line := range strings.Lines(string(audit)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %q", line)
		}
	}
}

func TestT28_TheSupervisorLeavesNoCore(t *testing.T) {
	if err := Harden(); err != nil {
		t.Fatal(err)
	}
	var limit unix.Rlimit
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil || dumpable != 0 {
		t.Errorf("dumpable is %d, %v", dumpable, err)
	}
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Max != 0 {
		t.Errorf("core limit is %+v, %v", limit, err)
	}
}

func TestEnvironmentIsCleared(t *testing.T) {
	got := Environment([]string{"PATH=/evil", "LD_PRELOAD=/evil.so", "ANTHROPIC_API_KEY=key", "HTTPS_PROXY=http://proxy:3128", "GODEBUG=x", "SSL_CERT_FILE=/ca"})
	for _, variable := range got {
		if strings.Contains(variable, "evil") || strings.Contains(variable, "key") || strings.HasPrefix(variable, "GODEBUG") {
			t.Errorf("%s went through", variable)
		}
	}
	for _, want := range []string{"HTTPS_PROXY=http://proxy:3128", "SSL_CERT_FILE=/ca"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in %v", want, got)
		}
	}
}

func TestHostsOfABottle(t *testing.T) {
	hosts, err := Hosts(backend.Egress{Allow: []string{"example.com", "example.com:8443", "*.example.org"}}, []backend.SSHEntry{
		{Host: "git", Hostname: "git.example.com"}, {Host: "example.com", Port: 2222},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(hosts)
	var short []string
	for _, host := range hosts {
		ports, _ := json.Marshal(host.Ports)
		short = append(short, host.Host+string(ports))
	}
	if want := "example.com[80,443,8443,2222] *.example.org[80,443] git.example.com[22]"; strings.Join(short, " ") != want {
		t.Errorf("hosts are %s", got)
	}
	for _, bad := range []backend.SSHEntry{{Host: "10.0.0.1"}, {Host: "a b"}, {Host: "*"}} {
		if _, err := Hosts(backend.Egress{}, []backend.SSHEntry{bad}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("ssh to %s: %v", bad.Host, err)
		}
	}
}

func TestConfigurationIsReadStrictly(t *testing.T) {
	config := Config{ID: "id", Credential: "key", Hosts: []backend.PlanHost{{Host: "example.com", Ports: []uint16{443}}}, Backend: json.RawMessage(`{}`)}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ReadConfig(bytes.NewReader(data)); err != nil || got.Credential != "key" || len(got.Hosts) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "{", `{"unknown":1}`, `{"id":1}`} {
		if _, err := ReadConfig(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
