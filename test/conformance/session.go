package conformance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

func testExitCodes(t *testing.T, s *suite) {
	bottle, _ := s.launch(t, s.spec(t, "coded", "read word; cat; echo aside >&2; exit $word"))
	for _, code := range []string{"0", "7", "125"} {
		got, err := runs(t, bottle, code+"\ntyped\n", "claude")
		if err != nil || got.out != "typed\n" || got.err != "aside\n" || got.code != map[string]int{"0": 0, "7": 7, "125": 125}[code] {
			t.Errorf("%s: %+v, %v", code, got, err)
		}
	}
	large := strings.Repeat("0123456789abcde\n", 1<<15)
	if got, err := runs(t, bottle, "0\n"+large, "claude"); err != nil || got.out != large {
		t.Errorf("of %d bytes %d came, %v", len(large), len(got.out), err)
	}
	if got, err := runs(t, bottle, "", "nothing-of-that-name"); got.code != 127 || !errdefs.IsNotFound(err) {
		t.Errorf("what isn't there: %+v, %v", got, err)
	}
	if got, err := runs(t, bottle, "", "/etc/passwd"); got.code != 126 || !errdefs.IsPermissionDenied(err) {
		t.Errorf("what is no program: %+v, %v", got, err)
	}
	if got, err := runs(t, bottle, ""); got.code != 125 || !errdefs.IsInvalidArgument(err) {
		t.Errorf("nothing: %+v, %v", got, err)
	}
	closes(t, bottle)
	if got, err := runs(t, bottle, "0\n", "claude"); err == nil || got.code != 125 {
		t.Errorf("after the end: %+v, %v", got, err)
	}
}

func testTerminal(t *testing.T, s *suite) {
	bottle, _ := s.launch(t, s.spec(t, "shown", "stty size; test -t 0 && test -t 1 && test -t 2 && echo all three; read line; echo got $line; exit 5"))
	var screen page
	in, keys := keyboard(t)
	sizes := make(chan backend.Size, 1)
	sizes <- backend.Size{Columns: 100, Rows: 30}
	done := make(chan said, 1)
	go func() {
		code, err := bottle.ExecClaude(t.Context(), []string{"claude"}, backend.Terminal{In: in, Out: &screen, Err: &screen, TTY: true, Size: sizes})
		if err != nil {
			t.Error(err)
		}
		done <- said{code: code}
	}()
	screen.shows(t, "30 100")
	screen.shows(t, "all three")
	_, _ = keys.Write([]byte("hello\r"))
	screen.shows(t, "got hello")
	if got := <-done; got.code != 5 {
		t.Errorf("it ends with %d", got.code)
	}
	closes(t, bottle)
}

// testContext ends claude by its context. The code may still be claude's own, for the
// signal that ended it.
func testContext(t *testing.T, s *suite) {
	bottle, _ := s.launch(t, s.spec(t, "left", "echo ready; cat"))
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	var out page
	in, _ := keyboard(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		code, err := bottle.ExecClaude(ctx, []string{"claude"}, backend.Terminal{In: in, Out: &out, Err: &out})
		if bySignal := err == nil && code > 128; !bySignal && (code != 125 || !errors.Is(err, cause)) {
			t.Errorf("it ends with %d, %v", code, err)
		}
	}()
	out.shows(t, "ready")
	cancel(cause)
	<-done
	closes(t, bottle)
}

func testCopyIn(t *testing.T, s *suite) {
	bottle, _ := s.launch(t, s.spec(t, "filled", `cat file tree/below; cat "$HOME/mine"`))
	for name, text := range map[string]string{"file": "one\n", "tree/below": "two\n", "mine": "three\n"} {
		path := filepath.Join(s.home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"file": backend.WorkspacePath + "/file", "tree": backend.WorkspacePath + "/tree", "mine": backend.HomePath + "/mine"} {
		if err := bottle.CopyIn(t.Context(), filepath.Join(s.home, from), to); err != nil {
			t.Errorf("%s: %v", from, err)
		}
	}
	if got, err := runs(t, bottle, "", "claude"); err != nil || got.out != "one\ntwo\nthree\n" {
		t.Errorf("inside there is %+v, %v", got, err)
	}
	for _, outside := range []string{"/etc/file", backend.WorkspacePath + "/../etc/file", "file"} {
		if err := bottle.CopyIn(t.Context(), filepath.Join(s.home, "file"), outside); !errdefs.IsInvalidArgument(err) {
			t.Errorf("to %s: %v", outside, err)
		}
	}
	if err := bottle.CopyIn(t.Context(), filepath.Join(s.home, "nothing"), backend.WorkspacePath+"/nothing"); !errdefs.IsNotFound(err) && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what isn't there: %v", err)
	}
	closes(t, bottle)
}
