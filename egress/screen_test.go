package egress

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bottleStream is the host's end of a connection that a bottle asks for. As on
// the neck, Close ends one direction.
type bottleStream struct {
	*net.TCPConn
	refused error
}

func (s *bottleStream) Accept() error { return nil }

func (s *bottleStream) Refuse(err error) error {
	s.refused = err
	return s.TCPConn.Close()
}

func (s *bottleStream) Close() error { return s.CloseWrite() }

// tcpPair is a connection and its other end.
func tcpPair(t testing.TB) (inside, outside *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialled.Close(); _ = accepted.Close() })
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

// splice is what the neck does.
func splice(a, b io.ReadWriteCloser) {
	var group sync.WaitGroup
	carry := func(to, from io.ReadWriteCloser) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
			return
		}
		_ = to.Close()
	}
	group.Go(func() { carry(a, b) })
	group.Go(func() { carry(b, a) })
	group.Wait()
	_ = a.Close()
	_ = b.Close()
}

// far is a server that the screen's connections lead to, whatever their address.
type far struct {
	t        testing.TB
	listener net.Listener
	mu       sync.Mutex
	dialled  []string
}

func newFar(t testing.TB) *far {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return &far{t: t, listener: listener}
}

func (f *far) connect(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	f.mu.Lock()
	f.dialled = append(f.dialled, address.String())
	f.mu.Unlock()
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", f.listener.Addr().String())
}

// everything reads what one connection brings until its end.
func (f *far) everything() chan string {
	heard := make(chan string, 1)
	go func() {
		conn, err := f.listener.Accept()
		if err != nil {
			heard <- "nobody came"
			return
		}
		defer func() { _ = conn.Close() }()
		first := make([]byte, 1)
		if _, err := io.ReadFull(conn, first); err != nil {
			heard <- ""
			return
		}
		_, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, 40}) // as a TLS server that wants none of it
		rest, _ := io.ReadAll(conn)
		heard <- string(first) + string(rest)
	}()
	return heard
}

// screened is a screen with one connection of a bottle on it.
type screened struct {
	*net.TCPConn // the bottle's end
	stream       *bottleStream
	ended        chan error
	event        *Event
	screen       *Screen
	cancel       context.CancelFunc
}

// publicly resolves every name to one public address.
type publicly struct{}

func (publicly) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
}

func noOwn() ([]netip.Addr, error) { return nil, nil }

// open asks for host and port, as a bottle does.
func open(t testing.TB, dialer *Dialer, wait time.Duration, host string, port uint16) *screened {
	t.Helper()
	event := new(Event)
	screen := NewScreen(ScreenOptions{Dialer: dialer, Splice: splice, Log: func(e Event) { *event = e }})
	screen.wait = wait
	t.Cleanup(screen.Close)
	inside, outside := tcpPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := &screened{TCPConn: inside, stream: &bottleStream{TCPConn: outside}, ended: make(chan error, 1), event: event, screen: screen, cancel: cancel}
	go func() {
		err := screen.Serve(ctx, host, port, s.stream)
		_ = outside.Close()
		s.ended <- err
	}()
	t.Cleanup(cancel)
	return s
}

// ends waits until the connection has ended and returns why.
func (s *screened) ends(t testing.TB) error {
	t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- err
		return err
	case <-time.After(2 * time.Minute):
		t.Fatal("the connection does not end")
		return nil
	}
}

func (f *far) dialer(entries ...string) *Dialer {
	return &Dialer{Policy: policy(f.t, entries...), Resolver: publicly{}, Connect: f.connect, Own: noOwn}
}

func TestConnectionsAreCountedAndLoggedAtTheirEnd(t *testing.T) {
	f := newFar(t)
	go func() {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, "a banner comes first\n")
		data, _ := io.ReadAll(conn)
		_, _ = conn.Write(data)
		_ = conn.Close()
	}()
	s := open(t, f.dialer("ssh://git.example.com"), time.Minute, "GIT.example.com.", 22)
	banner := make([]byte, len("a banner comes first\n"))
	if _, err := io.ReadFull(s, banner); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(s, "wish")
	_ = s.CloseWrite()
	if rest, err := io.ReadAll(s); err != nil || string(rest) != "wish" {
		t.Errorf("came back %q, %v", rest, err)
	}
	if err := s.ends(t); err != nil {
		t.Fatal(err)
	}
	got := *s.event
	if !got.Allowed || got.Kind != "dial" || got.Port != 22 || got.Rule != "git.example.com (egress.allow)" || got.Sent != 4 || got.Received != 25 || got.Reason != "" {
		t.Errorf("logged %+v", got)
	}
}

func TestRefusalsSayWhichRule(t *testing.T) {
	f := newFar(t)
	dialer := f.dialer("api.example.com")
	private := *dialer
	private.Resolver = &answers{list: [][]string{{"10.0.0.1"}}}
	down := *dialer
	down.Resolver = &answers{}
	for _, test := range []struct {
		name    string
		dialer  *Dialer
		host    string
		allowed bool
		rule    string
	}{
		{"not on the list", dialer, "evil.example", false, ruleDefault},
		{"an address", dialer, "127.0.0.1", false, ruleDefault},
		{"private", &private, "api.example.com", false, rulePrivate},
		{"does not resolve", &down, "api.example.com", true, "api.example.com (egress.allow)"},
	} {
		s := open(t, test.dialer, time.Minute, test.host, 443)
		err := s.ends(t)
		if err == nil || s.stream.refused == nil || s.event.Allowed != test.allowed || s.event.Rule != test.rule || s.event.Reason == "" {
			t.Errorf("%s: %v, refused with %v, logged %+v", test.name, err, s.stream.refused, *s.event)
		}
	}
	if len(f.dialled) != 0 {
		t.Errorf("dialled %v", f.dialled)
	}
}

func TestF30_TheEndOfTheLinkEndsASilentConnection(t *testing.T) {
	for _, port := range []uint16{443, 8443} {
		f := newFar(t)
		s := open(t, f.dialer("api.example.com:443", "api.example.com:8443"), time.Hour, "api.example.com", port)
		conn, err := f.listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Write([]byte{recordHandshake})
		s.cancel()
		_ = s.CloseWrite() // as the neck's streams do when their link is gone
		_ = s.ends(t)
		if got, _ := io.ReadAll(conn); len(got) != 0 {
			t.Errorf("port %d: %q went on", port, got)
		}
		_ = conn.Close()
	}
}

func TestPlanHosts(t *testing.T) {
	rules, err := Rules(backend.Egress{
		Allow: []string{"registry.npmjs.org:8443", "*.example.org", "vm"}, Presets: []string{"npm", "anthropic", "pypi"}, Mode: backend.EgressOpen,
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := PlanHosts(rules, []backend.PrivateRange{{Host: "vm", Range: "127.0.0.0/8"}, {Host: "git.example.org", Range: "10.1.0.0/16"}, {Host: "git.example.org", Range: "fd00:1::/32"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, host := range hosts {
		line := host.Host + " " + host.Because
		for _, block := range host.Private {
			line += " " + block
		}
		got = append(got, line)
	}
	want := []string{
		"git.example.org egress.private 10.1.0.0/16 fd00:1::/32",
		"registry.npmjs.org egress.allow, preset npm (v1)",
		"*.example.org egress.allow",
		"vm egress.allow 127.0.0.0/8",
		"pypi.org preset pypi (v1)",
		"files.pythonhosted.org preset pypi (v1)",
		"* egress.mode open",
	}
	if !equal(got, want) {
		t.Errorf("got %q", got)
	}
	if ports := hosts[1].Ports; len(ports) != 3 {
		t.Errorf("ports of the registry are %v", ports)
	}
	if warnings := Warnings(hosts); len(warnings) != 3 {
		t.Errorf("warnings are %q", warnings)
	}
	if hosts, err := PlanHosts(nil, nil); err != nil || len(hosts) != 0 || len(Warnings(hosts)) != 0 {
		t.Errorf("nothing gives %v, %v", hosts, err)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
