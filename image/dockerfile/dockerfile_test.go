package dockerfile_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/dockerfile"
	"github.com/containerd/errdefs"
)

// place is a host with a Dockerfile, a socket that answers, and a buildctl that is a
// shell script.
type place struct {
	dir, socket string
	variables   map[string]string
}

func newPlace(t *testing.T, script string) *place {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "dockerfile") //nolint:usetesting // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &place{dir: dir, socket: filepath.Join(dir, "d.sock")}
	p.variables = map[string]string{"PATH": filepath.Join(dir, "bin") + ":/usr/bin:/bin", "HOME": dir, "SECRET": "canary"}
	p.write(t, "Dockerfile", "FROM scratch\n", 0o644)
	p.write(t, "bin/buildctl", "#!/bin/sh\n"+script, 0o755)
	listener, err := net.Listen("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return p
}

func (p *place) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

func (p *place) wish() dockerfile.Wish {
	return dockerfile.Wish{
		Dockerfile: backend.Dockerfile{File: filepath.Join(p.dir, "Dockerfile")}, Name: "local.test/x:1",
		Timeout: time.Minute, BuildKit: "unix://" + p.socket,
		Lookup: func(name string) (string, bool) { value, ok := p.variables[name]; return value, ok },
	}
}

func (p *place) plan(t *testing.T, wish dockerfile.Wish) *dockerfile.Plan {
	t.Helper()
	plan, err := dockerfile.Describe(wish)
	if err == nil {
		err = plan.Have(t.Context(), wish)
	}
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// whole takes all of an archive.
func whole(into *bytes.Buffer) func(context.Context, io.Reader) error {
	return func(_ context.Context, archive io.Reader) error {
		_, err := io.Copy(into, archive)
		return err
	}
}

func TestT48_BuildctlIsAskedInItsOwnWordsWithAnEnvironmentThatIsChosen(t *testing.T) {
	p := newPlace(t, `for word in "$@"; do echo "$word"; done; env; echo "#1 a step" >&2`)
	wish := p.wish()
	wish.Target, wish.NoCache = "tools", true
	wish.Args = map[string]string{"B": "2, and = more", "A": "--output=type=local,dest=/"}
	var archive, said bytes.Buffer
	if err := p.plan(t, wish).Build(t.Context(), &said, whole(&archive)); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"--addr=unix://" + p.socket, "build", "--progress=plain", "--frontend=dockerfile.v0", "--local=context=" + p.dir, "--local=dockerfile=" + p.dir,
		"--opt=filename=Dockerfile", "--output=type=oci", "--opt=target=tools", "--opt=build-arg:A=--output=type=local,dest=/", "--opt=build-arg:B=2, and = more", "--no-cache",
	}, "\n") + "\n"
	if got := archive.String(); !strings.HasPrefix(got, want) || strings.Contains(got, "canary") || !strings.Contains(got, "HOME="+p.dir) {
		t.Errorf("buildctl was called with\n%s", got)
	}
	if said.String() != "#1 a step\n" {
		t.Errorf("it said %q", said.String())
	}
}

func TestABuildThatFailsIsTheErrorAndTheArchiveIsNeverWhole(t *testing.T) {
	p := newPlace(t, `echo half an archive; printf '#5 ERROR\nerror: failed to solve: \033]0;owned\007 exit code: 1\n' >&2; exit 1`)
	var taken error
	err := p.plan(t, p.wish()).Build(t.Context(), io.Discard, func(_ context.Context, archive io.Reader) error {
		_, taken = io.Copy(io.Discard, archive)
		return errors.New("nothing to import")
	})
	if taken == nil || err == nil || !strings.Contains(err.Error(), `BuildKit says "failed to solve: \x1b]0;owned\a exit code: 1"`) {
		t.Errorf("who took it saw %v, the build's error is %v", taken, err)
	}
}

func TestABuildEndsWithWhoWantsItAndLeavesNoProcess(t *testing.T) {
	// The shell waits in a builtin, so that the signal to its group ends all there is.
	const endless = `echo $$ > "$HOME/pid"; echo "#1 begins" >&2; sleep 1000 & wait`
	refusal := errors.New("too large")
	for name, test := range map[string]struct {
		build func(t *testing.T, p *place) error
		want  error
	}{
		"interrupted": {func(t *testing.T, p *place) error {
			ctx, cancel := context.WithCancelCause(t.Context())
			return p.plan(t, p.wish()).Build(ctx, writer(func() { cancel(refusal) }), whole(new(bytes.Buffer)))
		}, refusal},
		"out of time": {func(t *testing.T, p *place) error {
			wish := p.wish()
			wish.Timeout = time.Second
			return p.plan(t, wish).Build(t.Context(), io.Discard, whole(new(bytes.Buffer)))
		}, context.DeadlineExceeded},
		"not taken": {func(t *testing.T, p *place) error {
			began := make(chan struct{})
			return p.plan(t, p.wish()).Build(t.Context(), writer(func() { close(began) }), func(context.Context, io.Reader) error {
				<-began
				return refusal
			})
		}, refusal},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, endless)
			if err := test.build(t, p); !errors.Is(err, test.want) {
				t.Errorf("the build ended with %v", err)
			}
			pid, err := os.ReadFile(filepath.Join(p.dir, "pid"))
			if err == nil {
				_, err = os.Stat("/proc/" + strings.TrimSpace(string(pid)))
			}
			if !errors.Is(err, os.ErrNotExist) {
				t.Errorf("buildctl is still there: %v", err)
			}
		})
	}
}

// writer calls back at the first word.
type writer func()

func (w writer) Write(data []byte) (int, error) { w(); return len(data), nil }

func TestT44_ADockerfileThatChangesAfterThePlanIsNotBuilt(t *testing.T) {
	p := newPlace(t, "exit 1")
	plan := p.plan(t, p.wish())
	p.write(t, "Dockerfile", "FROM other\n", 0o644)
	if err := plan.Build(t.Context(), io.Discard, whole(new(bytes.Buffer))); !errdefs.IsAborted(err) || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("it was built: %v", err)
	}
	if again := p.plan(t, p.wish()); again.Recipe == plan.Recipe {
		t.Error("another Dockerfile has the same recipe")
	}
}

// TestT18_WhatAForeignFileNamesStaysWhereItWas: a link that comes after the plan is not
// followed.
func TestT18_WhatAForeignFileNamesStaysWhereItWas(t *testing.T) {
	p := newPlace(t, "exit 1")
	wish := p.wish()
	wish.Within, wish.Context = p.dir, filepath.Join(p.dir, "context")
	p.write(t, "context/file", "", 0o644)
	plan := p.plan(t, wish)
	if err := errors.Join(os.RemoveAll(wish.Context), os.Symlink("/root", wish.Context)); err != nil {
		t.Fatal(err)
	}
	err := plan.Build(t.Context(), io.Discard, whole(new(bytes.Buffer)))
	if !errdefs.IsAborted(err) || !strings.Contains(err.Error(), "leads to /root since it was looked at") {
		t.Errorf("it was built: %v", err)
	}
}

func TestWithoutBuildKitTheErrorSaysHowToGetOne(t *testing.T) {
	p := newPlace(t, "exit 1")
	for name, test := range map[string]struct {
		change func(wish *dockerfile.Wish)
		want   string
	}{
		"nobody listens": {func(w *dockerfile.Wish) { w.BuildKit = "unix:///nowhere/d.sock" }, "no buildkitd answers at unix:///nowhere/d.sock"},
		"by the variable": {func(w *dockerfile.Wish) { w.BuildKit = ""; p.variables["BUILDKIT_HOST"] = "/nowhere/d.sock" },
			"no buildkitd answers at unix:///nowhere/d.sock"},
		"no client":    {func(*dockerfile.Wish) { p.variables["PATH"] = "/nowhere:." }, "buildctl, BuildKit's client, is not on $PATH"},
		"hostile word": {func(w *dockerfile.Wish) { w.BuildKit = "--tlskey=x" }, "give one such as"},
	} {
		wish := p.wish()
		test.change(&wish)
		_, err := dockerfile.Find(t.Context(), wish.BuildKit, wish.Lookup)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if name != "hostile word" && !strings.Contains(err.Error(), "buildkitd and buildctl are in the archives of https://github.com/moby/buildkit/releases") {
			t.Errorf("%s: the error names no remedy: %v", name, err)
		}
	}
}

func TestT48_ABuildctlThatOthersCanWriteIsNotRun(t *testing.T) {
	p := newPlace(t, "exit 1")
	if err := os.Chmod(filepath.Join(p.dir, "bin"), 0o777); err != nil { //nolint:gosec // that is the point
		t.Fatal(err)
	}
	if _, err := dockerfile.Find(t.Context(), p.wish().BuildKit, p.wish().Lookup); !errdefs.IsPermissionDenied(err) {
		t.Errorf("it is taken: %v", err)
	}
}

func TestAWishThatCantBeIsRefusedByName(t *testing.T) {
	p := newPlace(t, "exit 1")
	for want, change := range map[string]func(w *dockerfile.Wish){
		"is no directory":        func(w *dockerfile.Wish) { w.Context = w.File },
		"no such file":           func(w *dockerfile.Wish) { w.File += "x" },
		"no regular file":        func(w *dockerfile.Wish) { w.File = p.dir },
		"build argument \"A=B\"": func(w *dockerfile.Wish) { w.Args = map[string]string{"A=B": ""} },
		"is no stage's name":     func(w *dockerfile.Wish) { w.Target = "a\x1bb" },
	} {
		wish := p.wish()
		change(&wish)
		if _, err := dockerfile.Describe(wish); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s: %v", want, err)
		}
	}
}
