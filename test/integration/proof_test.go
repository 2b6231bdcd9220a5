package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

func TestT33_EachLaunchProvesItsFence(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		b := occupied(t, u, runtime, "egress: {mode: open}")
		var listed []backend.Status
		if err := json.Unmarshal([]byte(u.Run("list", "-o", "json").Want(t, 0).Stdout), &listed); err != nil || len(listed) != 1 {
			t.Fatalf("list -o json: %v, %v", listed, err)
		}
		proof := listed[0].Fence
		if proof == nil || len(proof.Denied) != 2 || len(proof.Allowed) != 1 || proof.Micros <= 0 {
			t.Fatalf("the proof is %+v", proof)
		}
		t.Logf("it took %d µs", proof.Micros)
		// What was tried is logged when it has ended, which may be after claude has begun.
		bottletest.Eventually(t, "the tries are in the log", func() bool {
			denied, answered := false, false
			for _, event := range logged(t, u) {
				denied = denied || event.Kind == "fence" && event.Host == proof.Denied[1] && !event.Allowed
				answered = answered || event.Kind == "fence" && event.Host == proof.Allowed[0] && event.Method == "GET"
			}
			return denied && answered
		})
		if requests := u.API.Requests(); len(requests) != 0 {
			t.Errorf("the API was asked: %+v", requests)
		}
		if r := b.stops(); strings.Contains(r.Stderr, "denied:") {
			t.Errorf("the tries are no news:\n%s", r.Stderr)
		}
		does(u, "true")
		bottletest.Contains(t, u.Start(runtime, "--timings").Want(t, 0).Stderr, "prove fence")
	})
}

// withFault is the program with a PID 1 of which one line of the fence is wrong.
func withFault(t *testing.T, u *bottletest.User, line, wrong string) {
	t.Helper()
	source, err := filepath.Abs("../../cmd/bottle-init/fence.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), line) != 1 {
		t.Fatalf("%q is not a line of %s", line, source)
	}
	dir := t.TempDir()
	replaced, overlay := filepath.Join(dir, "fence.go"), filepath.Join(dir, "overlay.json")
	mapping, err := json.Marshal(map[string]any{"Replace": map[string]string{source: replaced}})
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{replaced: []byte(strings.Replace(string(text), line, wrong, 1)), overlay: mapping} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "bin")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", filepath.Join(bin, "bottle-init"), "../../cmd/bottle-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build PID 1: %v: %s", err, output)
	}
	program, err := os.ReadFile(u.Binary)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(bin, "claude-bottle")
	if err := os.WriteFile(binary, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(u.Daemon.Libexec, filepath.Join(dir, "libexec")); err != nil {
		t.Fatal(err)
	}
	u.Binary = binary
}

func TestT33_ABottleWhoseFenceDoesNotHoldIsTakenDown(t *testing.T) {
	for _, fault := range []struct{ name, line, wrong, said string }{
		{"PID 1 only says that it tried", "group.Go(func() error { return b.tryDenied(ctx, tries.Denied) })", "", "no connection to a host that is not allowed was refused here"},
		{"what is denied is open", "Host: name, Port: 443", "Host: \"allowed.example.invalid\", Port: 443", "was not refused by a rule"},
		{"there is a network", `conn, err := dialer.DialContext(ctx, "tcp", address)`,
			`listener, _ := net.Listen("tcp4", "127.0.0.1:0"); conn, err := dialer.DialContext(ctx, "tcp", listener.Addr().String())`, "can be reached past the neck"},
		{"what is allowed is closed", "netip.AddrPortFrom(address, tries.Port)", "netip.AddrPortFrom(address, 1)", "connection refused"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			for _, runtime := range bottletest.Runtimes() {
				t.Run(runtime, func(t *testing.T) {
					u := newUser(t, "2.4")
					withFault(t, u, fault.line, fault.wrong)
					does(u, "echo claude runs", "egress: {allow: [allowed.example.invalid]}")
					r := u.Start(runtime).Want(t, 125)
					bottletest.Contains(t, r.Stderr, "the bottle's fence does not hold", fault.said)
					if strings.Contains(r.Stdout, "claude runs") {
						t.Error("claude was started all the same")
					}
				})
			}
		})
	}
}
