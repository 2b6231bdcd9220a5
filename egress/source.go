package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Bounds of a secret, in bytes: a shorter one would be found by chance in many
// an answer, a longer one fits into no header.
const (
	minSecret = 8
	maxSecret = 8 << 10
)

// source is where a secret comes from: its kind, and the rest.
type source struct{ kind, rest string }

// parseSource reads env:VAR, file:PATH, command:PATH ARGUMENT... and keyring:NAME.
func parseSource(text string) (source, error) {
	kind, rest, _ := strings.Cut(text, ":")
	rest = strings.TrimSpace(rest)
	s := source{kind, rest}
	bad := func(what string) (source, error) {
		return s, fmt.Errorf("secret %q: %s: %w", text, what, errdefs.ErrInvalidArgument)
	}
	switch {
	case kind != "env" && kind != "file" && kind != "command" && kind != "keyring":
		// It may be the secret itself, which no message should repeat.
		return s, fmt.Errorf("secret says where it comes from, it is not the secret itself: give env:VAR, file:PATH, command:/PATH or keyring:NAME: %w", errdefs.ErrInvalidArgument)
	case rest == "":
		return bad("nothing stands behind the colon")
	case kind == "env" && strings.ContainsAny(rest, "= \t"):
		return bad("this is not the name of a variable")
	case kind == "file" && !filepath.IsAbs(rest) && !strings.HasPrefix(rest, "~/"):
		return bad("give an absolute path, or one that begins with ~/")
	case kind == "command" && !filepath.IsAbs(rest):
		return bad("give the absolute path of the program, then its arguments")
	}
	return s, nil
}

// Sources reads the secrets of routes on this host.
type Sources struct {
	// Lookup reads the environment.
	Lookup func(string) (string, bool)
	// Home stands for ~, absolute.
	Home string
}

// Check says what Read would miss, without running anything. What is missing is
// a FailedPrecondition error that names it.
func (s Sources) Check(text string) error {
	from, err := parseSource(text)
	if err != nil {
		return err
	}
	if from.kind == "command" {
		return checkProgram(strings.Fields(from.rest)[0])
	}
	_, err = s.Read(context.Background(), text) //nolint:forbidigo // nothing here waits
	return err
}

// Read fetches the secret.
func (s Sources) Read(ctx context.Context, text string) (backend.RouteSecret, error) {
	from, err := parseSource(text)
	if err != nil {
		return backend.RouteSecret{}, err
	}
	var read backend.RouteSecret
	value := ""
	switch from.kind {
	case "env":
		found, ok := s.Lookup(from.rest)
		if !ok || strings.TrimSpace(found) == "" {
			return read, fmt.Errorf("%s is not set on this host: export it: %w", from.rest, errdefs.ErrFailedPrecondition)
		}
		value = found
	case "file":
		value, err = readPrivate(s.expand(from.rest))
	case "keyring":
		value, err = readKey(from.rest)
	case "command":
		value, read.Expires, err = runCommand(ctx, strings.Fields(from.rest), s.Home)
	}
	if err != nil {
		return read, err
	}
	value = strings.TrimSpace(value)
	if len(value) < minSecret || len(value) > maxSecret || !printable(value) {
		return read, fmt.Errorf("the secret from %s is not %d to %d printable ASCII letters on one line: %w", text, minSecret, maxSecret, errdefs.ErrFailedPrecondition)
	}
	read.Secret = backend.NewSecret(value)
	return read, nil
}

func (s Sources) expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(s.Home, rest)
	}
	return path
}

// readPrivate reads a file that nobody but its owner can read.
func readPrivate(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // a FIFO would wait for ever
	if err != nil {
		return "", fmt.Errorf("open secret: %w: %w", err, errdefs.ErrFailedPrecondition)
	}
	defer func() { _ = file.Close() }()
	var status unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &status); err != nil {
		return "", fmt.Errorf("look at %s: %w", path, err)
	}
	switch {
	case status.Mode&unix.S_IFMT != unix.S_IFREG:
		return "", fmt.Errorf("%s is not a regular file: %w", path, errdefs.ErrFailedPrecondition)
	case status.Mode&0o077 != 0:
		return "", fmt.Errorf("%s can be read or written by others (mode %#o): run chmod 600 %s: %w", path, status.Mode&0o777, path, errdefs.ErrFailedPrecondition)
	case status.Uid != 0 && int(status.Uid) != os.Geteuid():
		return "", fmt.Errorf("%s belongs to uid %d, neither to you nor to root: %w", path, status.Uid, errdefs.ErrFailedPrecondition)
	}
	data, err := io.ReadAll(io.LimitReader(file, 2*maxSecret))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	return string(data), nil
}

// readKey reads a key of type user from the kernel's keyrings: the session's,
// then the user's.
func readKey(name string) (string, error) {
	for _, ring := range []int{unix.KEY_SPEC_SESSION_KEYRING, unix.KEY_SPEC_USER_KEYRING} {
		id, err := unix.KeyctlSearch(ring, "user", name, 0)
		switch {
		case errors.Is(err, unix.ENOKEY), errors.Is(err, unix.EKEYEXPIRED), errors.Is(err, unix.EKEYREVOKED):
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
			return "", fmt.Errorf("this host has no kernel keyring (%w): choose env:, file: or command:: %w", err, errdefs.ErrFailedPrecondition)
		case err != nil:
			return "", fmt.Errorf("search keyring for %s: %w: %w", backend.Printable(name), err, errdefs.ErrFailedPrecondition)
		}
		buffer := make([]byte, maxSecret+1)
		size, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, buffer, 0)
		if err != nil {
			return "", fmt.Errorf("read key %s: %w: it must be in reach of this session: keyctl link @u @s: %w", backend.Printable(name), err, errdefs.ErrFailedPrecondition)
		}
		return string(buffer[:min(size, len(buffer))]), nil
	}
	return "", fmt.Errorf("the kernel keyring has no key %s of type user: add it: keyctl padd user %s @s: %w", backend.Printable(name), backend.Printable(name), errdefs.ErrFailedPrecondition)
}
