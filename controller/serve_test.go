package controller

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"go.uber.org/goleak"
)

func TestOnlyALoopbackAddressIsListenedOn(t *testing.T) {
	for _, address := range []string{"", ":9120", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "localhost:0", "127.0.0.1"} {
		if listener, err := ListenLoopback(address); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q gives %v, %v", address, listener, err)
		}
	}
	listener, err := ListenLoopback("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, client *http.Client, path string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://controller"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(said)
}

// TestTheSocketAnswersRootAlone, replaces what a dead controller left, and goes at the end.
func TestTheSocketAnswersRootAlone(t *testing.T) {
	defer goleak.VerifyNone(t)
	path := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "controller.sock")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	left, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = left.(unixListener).UnixListener.Close() }()
	listener, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := New(Options{Backend: newFake()})
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, listener, c.Handler()) }()
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/controller.sock", dir.Fd()))
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	if status, said := get(t, client, "/healthz"); status != http.StatusOK || said != "ok\n" {
		t.Errorf("its health is %d %q", status, said)
	}
	c.metrics.listed(newFake("a", "b").bottles)
	c.metrics.reconciled(time.Second, errTest)
	_, said := get(t, client, "/metrics")
	for _, line := range []string{
		`claude_bottle_bottles{phase="Running"} 2`, `claude_bottle_bottles{phase="Kept"} 0`, `claude_bottle_reconciles_total{result="error"} 1`,
		"claude_bottle_queue_depth 0", "claude_bottle_reconcile_seconds_count 1",
	} {
		if !strings.Contains(said, line+"\n") {
			t.Errorf("%s is missing in\n%s", line, said)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	c.queue.ShutDown()
}

// TestTheWatchdogStarvesWhenAWorkerDoesNotComeBack: the service manager then starts
// another controller.
func TestTheWatchdogStarvesWhenAWorkerDoesNotComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	variables := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000"}
	notifier := NewNotifier(func(name string) (string, bool) { value, ok := variables[name]; return value, ok })
	heard := func(want string) {
		t.Helper()
		buffer := make([]byte, 100)
		n, err := manager.Read(buffer)
		if err != nil || string(buffer[:n]) != want {
			t.Errorf("heard was %q, %v", buffer[:n], err)
		}
	}
	notifier.Notify(t.Context(), "READY=1")
	heard("READY=1")
	fed := 0
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Backend: newFake()})
		c.begin("stuck", time.Now())
		if err := c.Healthy(); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Minute)
		if err := c.Healthy(); !errdefs.IsUnavailable(err) {
			t.Errorf("its health is %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go notifier.KeepAlive(ctx, func() error { fed++; return c.Healthy() })
		time.Sleep(100 * time.Second)
		cancel()
		c.end("stuck", nil)
		synctest.Wait()
		c.queue.ShutDown()
		time.Sleep(time.Minute)
	})
	if fed != 4 {
		t.Errorf("it was asked for its health %d times in 100 s", fed)
	}
	notifier.Notify(t.Context(), "STOPPING=1")
	heard("STOPPING=1") // and no WATCHDOG=1 before
	NewNotifier(func(string) (string, bool) { return "", false }).Notify(t.Context(), "READY=1")
}
