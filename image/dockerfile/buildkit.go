package dockerfile

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// BuildKit is a daemon, and the program that speaks to it.
type BuildKit struct {
	// Address is the daemon's, as buildctl has them.
	Address string `json:"address"`
	// Program is buildctl.
	Program string `json:"program"`
}

// withHost names the daemon for buildctl, and for us.
const withHost = "BUILDKIT_HOST"

// dialBound bounds how long a socket may take to answer.
const dialBound = 5 * time.Second

var scheme = pattern.Lazy(`^[a-z][a-z-]*://.`)

// source says where both programs are from.
const source = "buildkitd and buildctl are in the archives of https://github.com/moby/buildkit/releases, and in nerdctl's full one"

// remedy says how to get a daemon.
const remedy = "start one as root (" + source + "), " +
	"name another with --buildkit or $" + withHost + ", such as docker-container://NAME, or write a recipe, which needs none"

// Find finds both. The address is the one that is asked for, else that of the
// environment, else the first of the usual sockets that answers.
func Find(ctx context.Context, asked string, lookup func(string) (string, bool)) (BuildKit, error) {
	value := func(name string) string { text, _ := lookup(name); return text }
	address, err := findDaemon(ctx, asked, value)
	if err != nil {
		return BuildKit{}, err
	}
	program, err := findProgram(value("PATH"))
	return BuildKit{Address: address, Program: program}, err
}

func findDaemon(ctx context.Context, asked string, value func(string) string) (string, error) {
	if asked == "" {
		asked = value(withHost)
	}
	if asked != "" {
		if strings.HasPrefix(asked, "/") {
			asked = "unix://" + asked
		}
		if !scheme().MatchString(asked) {
			return "", fmt.Errorf("BuildKit's address %s: give one such as unix:///run/buildkit/buildkitd.sock, tcp://HOST:PORT or docker-container://NAME: %w", backend.Printable(asked), errdefs.ErrInvalidArgument)
		}
		return asked, answers(ctx, asked)
	}
	sockets := []string{"/run/buildkit/buildkitd.sock", "/run/buildkit-default/buildkitd.sock"}
	if own := value("XDG_RUNTIME_DIR"); filepath.IsAbs(own) {
		sockets = append(sockets, filepath.Join(own, "buildkit", "buildkitd.sock"))
	}
	for _, socket := range sockets {
		if answers(ctx, "unix://"+socket) == nil {
			return "unix://" + socket, nil
		}
	}
	return "", fmt.Errorf("a Dockerfile is built by BuildKit, and no buildkitd answers at %s: %s: %w", strings.Join(sockets, ", "), remedy, errdefs.ErrUnavailable)
}

// answers says whether somebody listens there. Of addresses other than sockets buildctl
// alone knows what they mean.
func answers(ctx context.Context, address string) error {
	path, isSocket := strings.CutPrefix(address, "unix://")
	if !isSocket {
		return nil
	}
	dialer := net.Dialer{Timeout: dialBound}
	connection, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("no buildkitd answers at %s: %w: %s: %w", backend.Printable(address), err, remedy, errdefs.ErrUnavailable)
	}
	return connection.Close()
}

// findProgram finds buildctl on the path, and refuses one that others can write.
func findProgram(path string) (string, error) {
	for _, directory := range filepath.SplitList(path) {
		candidate := filepath.Join(directory, "buildctl")
		if info, err := os.Stat(candidate); !filepath.IsAbs(directory) || err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		for _, checked := range []string{directory, candidate} {
			var stat unix.Stat_t
			if err := unix.Stat(checked, &stat); err != nil {
				return "", fmt.Errorf("look at %s: %w", checked, err)
			}
			if stat.Uid != 0 && int(stat.Uid) != os.Geteuid() || stat.Mode&0o022 != 0 {
				return "", fmt.Errorf("%s is not run: %s can be written by others than root and you: take it off $PATH: %w", candidate, checked, errdefs.ErrPermissionDenied)
			}
		}
		return candidate, nil
	}
	return "", fmt.Errorf("buildctl, BuildKit's client, is not on $PATH: put it there (%s), or write a recipe, which needs none: %w", source, errdefs.ErrFailedPrecondition)
}
