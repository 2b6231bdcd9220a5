package supervise

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// outside is a client as another terminal has it.
func (r *running) outside() *Client {
	r.Helper()
	client, err := Connect(r.Context(), r.config.Run)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(client.Close)
	return client
}

// refusal is why a connection of the bottle is not made; one that is allowed
// fails when its name is looked up, for it has no address.
func refusal(t *testing.T, guest *neck.Guest, host string, port uint16) string {
	t.Helper()
	err := asks(t, guest, neck.Request{Kind: neck.KindDial, Host: host, Port: port})
	switch {
	case err == nil:
		t.Errorf("%s:%d was connected", host, port)
	case errdefs.IsPermissionDenied(err):
		return "denied"
	case errdefs.IsUnavailable(err):
		return "allowed"
	}
	return err.Error()
}

func TestT41_AnotherTerminalChangesWhatIsAllowed(t *testing.T) {
	r := run(t, nil)
	guest := r.pid1()
	client := r.outside()
	ctx := t.Context()
	const host = "new.invalid"
	test := func(decision, rule string) {
		t.Helper()
		if got, err := client.Test(ctx, host, 443); err != nil || got.Decision != decision || got.Rule != rule {
			t.Errorf("test says %+v, %v", got, err)
		}
		if got := refusal(t, guest, host, 443); got != decision {
			t.Errorf("a connection is %s, want %s", got, decision)
		}
	}
	test("denied", "no rule allows it")
	if _, err := client.Allow(ctx, host); err != nil {
		t.Fatal(err)
	}
	test("allowed", host+" (egress allow, this run)")
	if _, err := client.Deny(ctx, host); err != nil {
		t.Fatal(err)
	}
	test("denied", host+" (egress deny, this run)")
	for _, bad := range []string{"", "10.0.0.1", "x.bottle", "*"} {
		if _, err := client.Allow(ctx, bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("allow %q: %v", bad, err)
		}
	}
	if got, err := client.Test(ctx, egress.GatewayHost, 80); err != nil || got.Decision != "allowed" || got.Rule != "the gateway" {
		t.Errorf("the gateway is %+v, %v", got, err)
	}
	if held, err := client.Pending(ctx); err != nil || len(held) != 0 {
		t.Errorf("held is %v, %v", held, err)
	}
	if _, err := client.Approve(ctx, host); !errdefs.IsNotFound(err) {
		t.Errorf("approve: %v", err)
	}
	audit, err := os.ReadFile(filepath.Join(r.config.State, auditLog))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"kind":"change","host":"new.invalid","allowed":true,"rule":"egress allow"`, `"kind":"change","host":"new.invalid","allowed":false,"rule":"egress deny"`} {
		if !strings.Contains(string(audit), want) {
			t.Errorf("%s is missing in:\n%s", want, audit)
		}
	}
}

func TestWhatIsHeldIsAnsweredFromAnotherTerminal(t *testing.T) {
	r := run(t, func(c *Config) {
		c.Ask = &backend.PlanAsk{Ports: []uint16{22, 80, 443}, Timeout: "1h"}
		c.Hosts = append(c.Hosts, backend.PlanHost{Host: "vm.invalid"}, backend.PlanHost{Host: "other.invalid"})
	})
	guest := r.pid1()
	client := r.outside()
	answers := map[string]chan string{}
	for _, host := range []string{"vm.invalid", "other.invalid"} {
		answer := make(chan string, 1)
		answers[host] = answer
		go func() { answer <- refusal(t, guest, host, 443) }()
	}
	var pending []egress.Held
	for deadline := time.Now().Add(time.Minute); len(pending) < 2; time.Sleep(time.Millisecond) {
		var err error
		if pending, err = client.Pending(t.Context()); err != nil || time.Now().After(deadline) {
			t.Fatalf("pending are %v, %v", pending, err)
		}
	}
	if changed, err := client.Approve(t.Context(), "vm.invalid:443"); err != nil || len(changed.Approved) != 1 {
		t.Errorf("approved is %+v, %v", changed, err)
	}
	if got := <-answers["vm.invalid"]; got != "allowed" {
		t.Errorf("approved, and %s", got)
	}
	if _, err := client.Deny(t.Context(), "other.invalid"); err != nil {
		t.Fatal(err)
	}
	if got := <-answers["other.invalid"]; got != "denied" {
		t.Errorf("denied, and %s", got)
	}
}

func TestABottleFileIsTested(t *testing.T) {
	file := backend.BottleFile{
		Egress: backend.Egress{Allow: []string{"a.example:8443"}, Mode: backend.EgressAsk},
		SSH:    []backend.SSHEntry{{Host: "git.example"}},
	}
	for host, want := range map[string]string{"a.example": "asked", "git.example": "asked", "vm": "denied", egress.GatewayHost: "denied", "10.0.0.1": "denied"} {
		if got, err := TryFile(file, host, 443); err != nil || got.Decision != want {
			t.Errorf("%s is %+v, %v", host, got, err)
		}
	}
	if got, err := TryFile(file, "git.example", 22); err != nil || got.Rule != "git.example (ssh)" {
		t.Errorf("SSH is %+v, %v", got, err)
	}
	if _, err := TryFile(backend.BottleFile{Egress: backend.Egress{Mode: "x"}}, "a.example", 443); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a bad file: %v", err)
	}
}

func TestT41_ADeniedHostIsCutOff(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	r := run(t, func(c *Config) {
		c.Hosts = append(c.Hosts, backend.PlanHost{Host: "localhost", Ports: []uint16{port}, Private: []string{"127.0.0.0/8"}})
	})
	stream, err := r.pid1().Open(t.Context(), neck.Request{Kind: neck.KindDial, Host: "localhost", Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	client := r.outside()
	for _, deny := range []struct {
		entry string
		cut   int
	}{{"other.example", 0}, {"localhost", 1}, {"late.example", 0}} {
		if changed, err := client.Deny(t.Context(), deny.entry); err != nil || changed.Cut != deny.cut {
			t.Errorf("deny %s: %+v, %v", deny.entry, changed, err)
		}
	}
	for _, end := range []net.Conn{far, stream} {
		_ = end.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.ReadAll(end); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("an end is still open: %v", err)
		}
	}
}
