// Package hostgit runs the host's own git with everything switched off by which a
// repository can make it run programs or open connections, as the user who owns
// the repository. It is for repositories of the user's and for scratch
// directories; never for a directory that a bottle can write.
package hostgit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// timeout bounds one call, unless Git says otherwise.
const timeout = time.Minute

// maxOutput bounds what Run returns, in bytes.
const maxOutput = 256 << 20

// Git is a way to call git in one directory.
type Git struct {
	// Dir is where git runs.
	Dir string
	// Home is where the user's own settings lie; "" has none.
	Home string
	// Owner is who runs it; nil is whoever runs this process.
	Owner *Owner
	// Env are further variables, NAME=value.
	Env []string
	// Config are further settings, key=value, for this call alone.
	Config []string
	// Timeout bounds one call; 0 is a minute.
	Timeout time.Duration
	// Memory bounds the address space of git, in bytes; 0 does not.
	Memory uint64
}

// Owner is the user that a directory belongs to.
type Owner struct{ UID, GID uint32 }

// OwnerOf returns the owner of a directory, or nil when that is whoever runs this
// process.
func OwnerOf(dir string) (*Owner, error) {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return nil, fmt.Errorf("look at %s: %w", dir, err)
	}
	if int(stat.Uid) == os.Geteuid() {
		return nil, nil //nolint:nilnil // nobody else
	}
	return &Owner{UID: stat.Uid, GID: stat.Gid}, nil
}

// settings are what no repository may decide.
func settings() []string {
	return []string{
		"core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "core.editor=false", "core.askPass=false",
		"protocol.allow=never", "safe.directory=*", "gc.auto=0", "maintenance.auto=false",
		"submodule.recurse=false", "fetch.recurseSubmodules=false", "credential.helper=", "diff.external=",
	}
}

// Run calls git and returns what it prints.
func (g Git) Run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	var stdout bytes.Buffer
	if err := g.Stream(ctx, stdin, &bounded{to: &stdout, left: maxOutput}, args...); err != nil {
		return nil, err
	}
	return stdout.Bytes(), nil
}

// Stream calls git with both ends connected. An error holds the first line that
// git said about it; an exit code other than 0 is an *exec.ExitError.
func (g Git) Stream(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	binary, err := find()
	if err != nil {
		return err
	}
	bound := g.Timeout
	if bound == 0 {
		bound = timeout
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	line := g.commandLine(binary, args)
	command := exec.CommandContext(ctx, line[0], line[1:]...) //nolint:gosec // a checked binary
	command.Dir = g.Dir
	command.Env = g.environment()
	command.Stdin, command.Stdout = stdin, stdout
	var stderr bytes.Buffer
	command.Stderr = &bounded{to: &stderr, left: 64 << 10, quiet: true}
	command.WaitDelay = time.Second
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	if g.Owner != nil {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: g.Owner.UID, Gid: g.Owner.GID}
	}
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return &Error{Verb: args[0], Said: said, Err: err}
	}
	return nil
}

// commandLine is git with its arguments. A bound on memory is set by a shell that
// then becomes git: it holds from git's first byte on.
func (g Git) commandLine(binary string, args []string) []string {
	line := append([]string{binary}, g.arguments(args)...)
	if g.Memory == 0 {
		return line
	}
	const kilobyte = 1 << 10
	return append([]string{"/bin/sh", "-c", `ulimit -v "$0" && exec "$@"`, strconv.FormatUint(g.Memory/kilobyte, 10)}, line...)
}

// Error is a call of git that failed.
type Error struct {
	Verb string
	// Said is the first line that git wrote to its standard error: foreign text.
	Said string
	Err  error
}

// Error implements error. What git said is quoted.
func (e *Error) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("run git %s: %v", e.Verb, e.Err)
	}
	return fmt.Sprintf("run git %s: %v: %+q", e.Verb, e.Err, e.Said)
}

// Unwrap returns what ended the call.
func (e *Error) Unwrap() error { return e.Err }

func (g Git) arguments(args []string) []string {
	list := make([]string, 0, 64)
	for _, setting := range append(settings(), g.Config...) {
		list = append(list, "-c", setting)
	}
	return append(append(list, "--no-optional-locks", "--no-pager"), args...)
}

func (g Git) environment() []string {
	home := g.Home
	if home == "" {
		home = "/nonexistent"
	}
	return append([]string{
		"PATH=/usr/bin:/bin", "HOME=" + home, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1",
		"GIT_ALLOW_PROTOCOL=none", // stronger than protocol.NAME.allow of a repository
		"GIT_ATTR_NOSYSTEM=1", "GIT_NO_REPLACE_OBJECTS=1",
	}, g.Env...)
}

// find finds a git that only root can have put there.
func find() (string, error) {
	for _, candidate := range []string{"/usr/bin/git", "/usr/local/bin/git", "/bin/git"} {
		var stat unix.Stat_t
		if unix.Stat(candidate, &stat) == nil && stat.Uid == 0 && stat.Mode&0o022 == 0 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("git is not installed on this host: repositories can't be copied or fetched without it: apt-get install git: %w", errdefs.ErrFailedPrecondition)
}

// bounded passes on as much as fits. Too much is an error, or is dropped.
type bounded struct {
	to    io.Writer
	left  int
	quiet bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	take := p
	if len(take) > b.left {
		if !b.quiet {
			return 0, fmt.Errorf("git prints more than it should: %w", errdefs.ErrResourceExhausted)
		}
		take = take[:b.left]
	}
	b.left -= len(take)
	if _, err := b.to.Write(take); err != nil {
		return 0, err
	}
	return len(p), nil
}
