package egress

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Bounds of a command that prints a secret.
const (
	commandTimeout = 30 * time.Second
	commandOutput  = 64 << 10 // bytes
)

// checkProgram wants a program that nobody but root and this user could have
// put there: neither the file nor a directory above it is another's.
func checkProgram(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("find program: %w: %w", err, errdefs.ErrFailedPrecondition)
	}
	for at := real; ; at = filepath.Dir(at) {
		var status unix.Stat_t
		if err := unix.Lstat(at, &status); err != nil {
			return fmt.Errorf("look at %s: %w: %w", at, err, errdefs.ErrFailedPrecondition)
		}
		if at == real && (status.Mode&unix.S_IFMT != unix.S_IFREG || status.Mode&0o111 == 0) {
			return fmt.Errorf("%s is not a program: %w", at, errdefs.ErrFailedPrecondition)
		}
		sticky := status.Mode&unix.S_IFMT == unix.S_IFDIR && status.Mode&unix.S_ISVTX != 0 // others can't replace what is ours
		if status.Uid != 0 && int(status.Uid) != os.Geteuid() || status.Mode&0o022 != 0 && !sticky {
			return fmt.Errorf("%s can be changed by others than you and root: a program that knows a secret must not: %w", at, errdefs.ErrPermissionDenied)
		}
		if at == "/" {
			return nil
		}
	}
}

// runCommand runs a program without a shell, in an environment of PATH and HOME,
// and reads the secret from its output: one line of text, or JSON with secret
// and expires.
func runCommand(ctx context.Context, argv []string, home string) (string, time.Time, error) {
	if err := checkProgram(argv[0]); err != nil {
		return "", time.Time{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, commandTimeout, fmt.Errorf("no answer within %s: %w", commandTimeout, context.DeadlineExceeded))
	defer cancel()
	command := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the bottle file is the user's own
	command.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + home}
	command.Dir = "/"
	// A group of its own, so that its end is its children's, too.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
	var output, errs bounded
	command.Stdout, command.Stderr = &output, &errs
	err := command.Run()
	if output.full {
		return "", time.Time{}, fmt.Errorf("%s says more than %s: %w", argv[0], backend.Bytes(commandOutput), errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", time.Time{}, fmt.Errorf("run %s: %w%s: %w", argv[0], err, errs.tail(), errdefs.ErrUnavailable)
	}
	return readAnswer(argv[0], output.text.Bytes())
}

func readAnswer(program string, output []byte) (string, time.Time, error) {
	output = bytes.TrimSpace(output)
	if !bytes.HasPrefix(output, []byte("{")) {
		return string(output), time.Time{}, nil
	}
	var answer struct {
		Secret  string    `json:"secret"`
		Expires time.Time `json:"expires"`
	}
	// The decoder's own error could quote the secret.
	if json.Unmarshal(output, &answer) != nil {
		return "", time.Time{}, fmt.Errorf(`%s does not print JSON as {"secret": "...", "expires": "2026-01-02T15:04:05Z"}: %w`, program, errdefs.ErrFailedPrecondition)
	}
	if !answer.Expires.IsZero() && !answer.Expires.After(time.Now()) {
		return "", time.Time{}, fmt.Errorf("the secret from %s has expired at %s: %w", program, answer.Expires.Format(time.RFC3339), errdefs.ErrFailedPrecondition)
	}
	return answer.Secret, answer.Expires, nil
}

// bounded takes so much and then no more, which ends the program that writes.
type bounded struct {
	text bytes.Buffer
	full bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > commandOutput {
		b.full = true
		return 0, fmt.Errorf("keep output: %w", errdefs.ErrResourceExhausted)
	}
	return b.text.Write(p)
}

// tail is what the program said of its failure, to stand in an error.
func (b *bounded) tail() string {
	const most = 300
	text := strings.TrimSpace(string(b.text.Bytes()[max(0, b.text.Len()-most):]))
	if text == "" {
		return ""
	}
	return ", saying " + backend.Printable(text)
}
