package integration

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestPortForwardReachesAServerInside: several connections at a time, to the end of
// each, and none once it has ended.
func TestPortForwardReachesAServerInside(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		s := newShell(t, u, runtime, "serves")
		s.does(`i=0; while [ $i -lt 50000 ]; do i=$((i+1)); echo $i; done > /workspace/numbers; httpd -p 127.0.0.1:8080 -h /workspace`)
		command := u.Command("port-forward", "serves", "0:8080", ":81")
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		command.Stderr = &said
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = command.Process.Kill() }()
		lines := bufio.NewScanner(out)
		addresses := make([]string, 2)
		for i, port := range []string{"8080", "81"} {
			lines.Scan()
			address, to, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "Forwarding from "), " -> ")
			if !ok || to != port {
				_ = command.Wait()
				t.Fatalf("it printed %q: %s", lines.Text(), said.String())
			}
			addresses[i] = address
		}
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				got := fetched(addresses[0])
				if !strings.HasPrefix(got, "1\n2\n") || !strings.HasSuffix(got, "\n50000\n") || len(got) != 288_894 {
					t.Errorf("the server said %d bytes: %.50q", len(got), got)
				}
			})
		}
		clients.Wait()
		if got := fetched(addresses[1]); !strings.Contains(got, "EOF") && !strings.Contains(got, "reset") {
			t.Errorf("where nobody listens it said %.50q", got)
		}
		_ = command.Process.Signal(syscall.SIGINT)
		_ = command.Wait()
		if code := command.ProcessState.ExitCode(); code != 128+int(syscall.SIGINT) {
			t.Errorf("it ended with %d", code)
		}
		bottletest.Contains(t, said.String(), "nothing listens on port 81")
		bottletest.Contains(t, u.Run("port-forward", "serves", "http").Want(t, 2).Stderr, "LOCAL:PORT")
		bottletest.Contains(t, u.Run("port-forward", "nobody", "80").Want(t, 1).Stderr, "nobody")
	})
}

// fetched is what a server says there, or why it says nothing.
func fetched(address string) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + address + "/numbers") //nolint:noctx // ends with the bottle
	if err != nil {
		return err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return string(said)
}
