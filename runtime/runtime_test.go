package runtime

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func listenAt(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// private is a directory that is root's alone, as are all above it.
func private(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("these are checks of what is root's")
	}
	dir, err := os.MkdirTemp("/run", "cb-test-") //nolint:usetesting // root's alone, with all above it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestT43_SocketsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		make func(t *testing.T, dir string) string
		kind error
		want string
	}{
		"absent": {func(_ *testing.T, dir string) string { return filepath.Join(dir, "no.sock") }, errdefs.ErrUnavailable, "does not exist: start containerd"},
		"a file": {func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "file")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, errdefs.ErrInvalidArgument, "is no socket"},
		"world-writable": {func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "w.sock")
			listenAt(t, path, 0o666)
			return path
		}, errdefs.ErrFailedPrecondition, "makes everybody root: chmod 660"},
		"in a directory that others can write to": {func(t *testing.T, dir string) string {
			open := filepath.Join(dir, "open")
			if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(open, "c.sock")
			listenAt(t, path, 0o600)
			return path
		}, errdefs.ErrFailedPrecondition, "which others than root can write to"},
		"in /tmp itself": {func(t *testing.T, _ string) string {
			path := filepath.Join(os.TempDir(), filepath.Base(t.TempDir())+"-cb.sock")
			listenAt(t, path, 0o600)
			return path
		}, errdefs.ErrFailedPrecondition, "which others than root can write to"},
		"in somebody's directory": {func(t *testing.T, dir string) string {
			theirs := filepath.Join(dir, "theirs")
			if err := errors.Join(os.Mkdir(theirs, 0o700), os.Chown(theirs, 1000, 1000)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(theirs, "c.sock")
			listenAt(t, path, 0o600)
			return path
		}, errdefs.ErrFailedPrecondition, "which others than root can write to"},
	} {
		t.Run(name, func(t *testing.T) {
			path := test.make(t, private(t))
			err := checkSocket(path)
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestT43_RootsOwnSocketIsTaken(t *testing.T) {
	dir := private(t)
	for _, mode := range []os.FileMode{0o600, 0o660} {
		path := filepath.Join(dir, mode.String())
		listenAt(t, path, mode)
		if err := checkSocket(path); err != nil {
			t.Errorf("mode %s: %v", mode, err)
		}
	}
}

func TestF8_ASocketThatRefusesIsToldFromOneThatIsAbsent(t *testing.T) {
	path := filepath.Join(private(t), "c.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Close(fd)); err != nil {
		t.Fatal(err)
	}
	if err := dialable(path, 1e9); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "nobody listens on containerd socket "+path) {
		t.Errorf("got %v", err)
	}
}

func TestTheGivenAddressIsTakenAndChecked(t *testing.T) {
	env := func(value string) func(string) (string, bool) {
		return func(name string) (string, bool) { return value, name == "CONTAINERD_ADDRESS" && value != "" }
	}
	for _, test := range []struct{ flag, env, want string }{
		{"/a.sock", "/b.sock", "/a.sock"},
		{"", "/b.sock", "/b.sock"},
		{"unix:///a.sock", "", "/a.sock"},
		{"/x/../a.sock", "", "/a.sock"},
		{"", "", ""},
	} {
		if got, err := GivenAddress(test.flag, env(test.env)); err != nil || got != test.want {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
	for _, bad := range []string{"a.sock", "tcp://127.0.0.1:1", "unix://a", " "} {
		if _, err := GivenAddress(bad, env("")); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "--address") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestT1_RuncBelowTheFloorIsRefused(t *testing.T) {
	for version, ok := range map[string]bool{
		"1.1.5": false, "1.1.5+ds1": false, "1.0.0-rc95": false, "0.1.1": false, "1.2.7": false, "1.2.8": true, "1.2.99": true,
		"1.3.0": false, "1.3.5": false, "1.3.6": true, "1.3.6-rc.1": false, "1.4.0-rc.3": false, "1.4.0": false, "1.4.2": false,
		"1.4.3": true, "1.4.3-rc.1": false, "1.4.3+dev": true, "1.4.4-rc.1": true, "1.5.0-rc.1": true, "1.5.2": true, "2.0.0": true,
	} {
		got, err := runcVersion("runc version " + version + "\ncommit: x\nspec: 1.2.0\n")
		if got != version || (err == nil) != ok {
			t.Errorf("%s: %q, %v", version, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "--allow-vulnerable-runc") {
			t.Errorf("%s: %q names no remedy", version, err)
		}
	}
	for _, output := range []string{"", "crun version 1.2", "runc version", "runc version x.y.z"} {
		if _, err := runcVersion(output); !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%q: %v", output, err)
		}
	}
}

func TestT1_WhoDecidesOnTheRuntime(t *testing.T) {
	const (
		auto, gvisor, runc = backend.RuntimeAuto, backend.RuntimeGVisor, backend.RuntimeRunc
		refused            = backend.RuntimePolicy("refused")
	)
	for _, test := range []struct{ want, require, picked backend.RuntimePolicy }{
		{"", "", gvisor}, {auto, "", gvisor}, {gvisor, "", gvisor}, {runc, "", runc},
		{"", gvisor, gvisor}, {auto, gvisor, gvisor}, {gvisor, gvisor, gvisor}, {runc, gvisor, refused},
		{runc, runc, runc}, {"docker", "", refused},
	} {
		row, reason, err := pick(Policy{Want: test.want, Require: test.require})
		switch {
		case test.picked == refused:
			if err == nil {
				t.Errorf("%+v: picked %s", test, row.policy)
			}
		case err != nil || row.policy != test.picked || reason == "":
			t.Errorf("%+v: picked %s because %q, %v", test, row.policy, reason, err)
		}
	}
}

func TestT48_BinariesThatOthersCanChangeAreNotRun(t *testing.T) {
	dir := private(t)
	path := filepath.Join(dir, "runsc")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := CheckTrusted(path); err != nil {
		t.Errorf("root's own: %v", err)
	}
	for name, change := range map[string]func() error{
		"owner":           func() error { return os.Chown(path, 1000, 0) },
		"mode":            func() error { return os.Chmod(path, 0o777) },
		"group":           func() error { return os.Chmod(path, 0o775) },
		"directory":       func() error { return os.Chmod(dir, 0o777) },
		"directory owner": func() error { return os.Chown(dir, 1000, 0) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := CheckTrusted(path); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if err := errors.Join(os.Chown(path, 0, 0), os.Chmod(path, 0o755), os.Chown(dir, 0, 0), os.Chmod(dir, 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := errors.Join(os.Symlink(path, link), os.Chmod(path, 0o757)); err != nil {
		t.Fatal(err)
	}
	if err := CheckTrusted(link); !errdefs.IsPermissionDenied(err) {
		t.Errorf("through a link: %v", err)
	}
	c := &Client{options: Options{Libexec: dir}}
	if found, err := c.findBinary("runsc"); !errdefs.IsPermissionDenied(err) {
		t.Errorf("found %s, %v", found, err)
	}
	if found, err := c.findBinary("no-such-runtime"); !errdefs.IsNotFound(err) {
		t.Errorf("found %s, %v", found, err)
	}
}

func TestVerdictsAreOfOneBinary(t *testing.T) {
	dir := t.TempDir()
	c := &Client{options: Options{Root: dir, InitPath: filepath.Join(dir, "init")}}
	h := Handle{Name: "gvisor", Shim: ShimRunc, Binary: filepath.Join(dir, "runsc")}
	for _, path := range []string{c.options.InitPath, h.Binary} {
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := c.cached(h); ok {
		t.Error("known before it was found")
	}
	want := verdict{Version: "1", Kernel: "gVisor"}
	if err := c.remember(h, want); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.cached(h); !ok || got != want {
		t.Errorf("got %v, %v", got, ok)
	}
	other := h
	other.Shim = ShimRunsc
	if _, ok := c.cached(other); ok {
		t.Error("the verdict holds for another shim")
	}
	if err := errors.Join(os.Remove(h.Binary), os.WriteFile(h.Binary, []byte("new"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.cached(h); ok {
		t.Error("the verdict holds for another binary")
	}
	if err := os.WriteFile(c.verdictFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.cached(h); ok {
		t.Error("a cut file is read")
	}
	if err := c.remember(h, want); err != nil {
		t.Errorf("a cut file stays: %v", err)
	}
}
