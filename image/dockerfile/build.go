package dockerfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// endBound is how long buildctl may take to cancel a build before it is killed.
const endBound = 10 * time.Second

var errTaken = errors.New("nobody takes the archive any more")

// Build has the plan done. The archive of the OCI that comes goes to take as a stream,
// which fails when the build does; what BuildKit says goes to out: foreign text.
func (p *Plan) Build(ctx context.Context, out io.Writer, take func(ctx context.Context, archive io.Reader) error) error {
	if err := p.stays(); err != nil {
		return err
	}
	if sum, err := hashFile(p.Dockerfile); err != nil {
		return err
	} else if sum != p.SHA256 {
		return fmt.Errorf("%s has changed since it was looked at: build again: %w", backend.Printable(p.Dockerfile), errdefs.ErrAborted)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.Timeout, fmt.Errorf("the build took longer than %s: give more with --timeout: %w", p.Timeout, context.DeadlineExceeded))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := p.run(ctx, writer, out)
		_ = writer.CloseWithError(err) // it never fails
		ended <- err
	}()
	taken := take(ctx, reader)
	if taken == nil {
		_, taken = io.Copy(io.Discard, reader) // padding, and then how the build has ended
	} else {
		stop(errTaken) // nobody wants the rest
	}
	_ = reader.CloseWithError(errTaken) // it never fails
	built := <-ended
	if built != nil && !errors.Is(built, errTaken) {
		return built // take has failed for it, if it has
	}
	return taken
}

// stays refuses paths of a foreign file that lead elsewhere than when it was read: they led
// through no link then.
func (p *Plan) stays() error {
	for _, path := range []string{p.Dockerfile, p.Context} {
		if p.within == "" {
			return nil
		}
		if resolved, err := filepath.EvalSymlinks(path); err != nil {
			return fmt.Errorf("find %s again: %w", backend.Printable(path), err)
		} else if resolved != path {
			return fmt.Errorf("%s leads to %s since it was looked at: build again: %w", backend.Printable(path), backend.Printable(resolved), errdefs.ErrAborted)
		}
	}
	return nil
}

// run runs buildctl to its end. It dies with this process, and so does the build.
func (p *Plan) run(ctx context.Context, archive, out io.Writer) error {
	// The signal that a parent's death sends is that of the thread's which has begun it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command := exec.CommandContext(ctx, p.BuildKit.Program, p.arguments()...) //nolint:gosec // a checked program
	command.Env = p.environment()
	command.Dir = "/"
	said := backend.NewEnding(out)
	command.Stdout, command.Stderr = archive, said
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.WaitDelay = endBound
	err := command.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case said.LastLine() == "":
		return fmt.Errorf("run %s: %w", p.BuildKit.Program, err)
	}
	return fmt.Errorf("build %s: BuildKit says %q: %w", backend.Printable(p.Dockerfile), strings.TrimPrefix(said.LastLine(), "error: "), err)
}

// arguments are buildctl's. No entitlement, secret or SSH agent is among them: a
// Dockerfile that asks for one is refused by BuildKit.
func (p *Plan) arguments() []string {
	arguments := []string{
		"--addr=" + p.BuildKit.Address, "build", "--progress=plain", "--frontend=dockerfile.v0",
		"--local=context=" + p.Context, "--local=dockerfile=" + filepath.Dir(p.Dockerfile), "--opt=filename=" + filepath.Base(p.Dockerfile),
		"--output=type=oci",
	}
	if p.Target != "" {
		arguments = append(arguments, "--opt=target="+p.Target)
	}
	for _, arg := range p.Args {
		arguments = append(arguments, "--opt=build-arg:"+arg)
	}
	if p.NoCache {
		arguments = append(arguments, "--no-cache")
	}
	return arguments
}

// environment is what buildctl needs to find logins of registries, and helpers by which
// it reaches a daemon that is elsewhere.
func (p *Plan) environment() []string {
	list := []string{}
	for _, name := range []string{"PATH", "HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "KUBECONFIG"} {
		if value, ok := p.lookup(name); ok {
			list = append(list, name+"="+value)
		}
	}
	return list
}
