package egress

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// sourceDir is a directory that nobody but this user can change anything in or
// above: the system's own for temporary files is sticky, which is enough.
func sourceDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhereSecretsComeFrom(t *testing.T) {
	dir := sourceDir(t)
	write(t, filepath.Join(dir, "token"), "from-a-file\n", 0o600)
	plain := write(t, filepath.Join(dir, "plain"), "#!/bin/sh\necho \"$1-$2-$HOME\"\n", 0o700)
	dated := write(t, filepath.Join(dir, "dated"), "#!/bin/sh\necho '{\"secret\": \"for-an-hour\", \"expires\": \"2999-01-02T15:04:05Z\"}'\n", 0o700)
	sources := Sources{Home: dir, Lookup: func(name string) (string, bool) {
		return "from-the-" + strings.ToLower(name) + "\n", name == "ENVIRONMENT"
	}}
	tests := map[string]struct {
		want    string
		expires bool
	}{
		"env:ENVIRONMENT":               {"from-the-environment", false},
		"file:~/token":                  {"from-a-file", false},
		"file:" + dir + "/token":        {"from-a-file", false},
		"command:" + plain + " one two": {"one-two-" + dir, false},
		"command:" + dated:              {"for-an-hour", true},
	}
	for text, test := range tests {
		if err := sources.Check(text); err != nil {
			t.Errorf("%s: check: %v", text, err)
		}
		got, err := sources.Read(t.Context(), text)
		if err != nil || got.Secret.Reveal() != test.want || got.Expires.IsZero() == test.expires {
			t.Errorf("%s: got %q until %s, %v", text, got.Secret.Reveal(), got.Expires, err)
		}
	}
}

func TestASecretFromTheKernelsKeyring(t *testing.T) {
	const name = "claude-bottle-test"
	id, err := unix.AddKey("user", name, []byte("from-the-keyring"), unix.KEY_SPEC_SESSION_KEYRING)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		_, err = Sources{}.Read(t.Context(), "keyring:"+name)
		if err == nil || !strings.Contains(err.Error(), "no kernel keyring") {
			t.Errorf("a host without keyrings says %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_SESSION_KEYRING, 0, 0) })
	got, err := Sources{}.Read(t.Context(), "keyring:"+name)
	if err != nil || got.Secret.Reveal() != "from-the-keyring" {
		t.Errorf("got %q, %v", got.Secret.Reveal(), err)
	}
	if _, err := (Sources{}).Read(t.Context(), "keyring:claude-bottle-none"); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "keyctl padd user") {
		t.Errorf("a key that is missing: %v", err)
	}
}

func TestT30_SourcesThatAreRefused(t *testing.T) {
	dir := sourceDir(t)
	write(t, filepath.Join(dir, "open"), "for-all-to-read", 0o644)
	write(t, filepath.Join(dir, "short"), "tiny", 0o600)
	write(t, filepath.Join(dir, "lines"), "two-lines\nof-text-here", 0o600)
	write(t, filepath.Join(dir, "large"), strings.Repeat("x", maxSecret+1), 0o600)
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := func(name, text string, mode os.FileMode) string {
		return "command:" + write(t, filepath.Join(dir, name), "#!/bin/sh\n"+text+"\n", mode)
	}
	shared := filepath.Join(dir, "shared")
	if err := os.Mkdir(shared, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o777); err != nil { //nolint:gosec // the point
		t.Fatal(err)
	}
	write(t, filepath.Join(shared, "helper"), "#!/bin/sh\necho long-enough\n", 0o700)
	tests := map[string]string{
		"env:MISSING":                                 "MISSING is not set",
		"file:" + dir + "/none":                       "no such file",
		"file:" + dir + "/open":                       "chmod 600",
		"file:" + dir + "/short":                      "8 to 8192",
		"file:" + dir + "/lines":                      "one line",
		"file:" + dir + "/large":                      "8 to 8192",
		"file:" + dir + "/fifo":                       "not a regular file",
		"file:" + dir:                                 "not a regular file",
		"command:" + dir + "/none":                    "no such file",
		"command:" + dir + "/short":                   "not a program",
		"command:" + dir + "/shared/helper":           "can be changed by others",
		script("writable", "echo long-enough", 0o722): "can be changed by others",
		script("fails", "echo canary-out; echo why >&2; exit 3", 0o700):                                   "exit status 3, saying why",
		script("flood", "yes long-enough", 0o700):                                                         "says more than",
		script("broken", `echo '{"secret": canary'`, 0o700):                                               "does not print JSON",
		script("expired", `echo '{"secret": "canary-canary", "expires": "2001-01-02T15:04:05Z"}'`, 0o700): "has expired",
		script("silent", "true", 0o700):                                                                   "8 to 8192",
	}
	for text, want := range tests {
		_, err := Sources{Home: dir, Lookup: func(string) (string, bool) { return "", false }}.Read(t.Context(), text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestACommandThatDoesNotEndIsEndedWithItsChildren(t *testing.T) {
	dir := sourceDir(t)
	pid := filepath.Join(dir, "pid")
	path := write(t, filepath.Join(dir, "hangs"), "#!/bin/sh\nsleep 1000 &\necho $! > "+pid+".new\nmv "+pid+".new "+pid+"\nwait\n", 0o700)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		_, _, err := runCommand(ctx, []string{path}, dir)
		ended <- err
	}()
	for {
		if _, err := os.Stat(pid); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("ended early: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	cancel(errors.New("the user gave up"))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "the user gave up") {
		t.Errorf("got %v", err)
	}
	data, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	status := "/proc/" + strings.TrimSpace(string(data)) + "/stat"
	for {
		stat, err := os.ReadFile(status)
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return // gone, or dead and not yet reaped by init
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the child of the command lives on")
		case <-time.After(time.Millisecond):
		}
	}
}
