package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// maxFile bounds a file that is read here, in bytes.
const maxFile = 1 << 20

// parsed is a file's meaning, and which file it was.
type parsed[T any] struct {
	value T
	file  backend.ManifestFile
}

func readAgent(path string) (parsed[backend.AgentFile], error) {
	return readAgentBy(path, openFollowing)
}

// readProjectAgent reads an agent file of a repository, which can't be a link
// that leads out of it.
func readProjectAgent(cwd, path string) (parsed[backend.AgentFile], error) {
	return readAgentBy(path, func(path string) (*os.File, error) {
		root, err := os.OpenRoot(cwd)
		if err != nil {
			return nil, err
		}
		defer func() { _ = root.Close() }()
		relative, err := filepath.Rel(cwd, path)
		if err != nil {
			return nil, err
		}
		return root.OpenFile(relative, os.O_RDONLY|unix.O_NONBLOCK, 0)
	})
}

func readAgentBy(path string, open opener) (parsed[backend.AgentFile], error) {
	var read parsed[backend.AgentFile]
	data, err := readFileBy(path, open)
	if err != nil {
		return read, err
	}
	read.file = describe(KindAgent, path, data)
	front, body, err := split(path, data)
	if err != nil {
		return read, err
	}
	if err := decode(path, front, &read.value); err != nil {
		return read, err
	}
	read.value.Name = nameOf(path)
	read.value.Prompt = strings.TrimSpace(body)
	return read, checkAgent(path, read.value)
}

func checkAgent(path string, agent backend.AgentFile) error {
	if agent.Bottle != "" {
		if err := backend.ValidateName("bottle", agent.Bottle); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	for _, skill := range agent.Skills {
		if err := backend.ValidateName("skill", skill); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if strings.HasPrefix(agent.Model, "-") || strings.ContainsFunc(agent.Model, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%s: model %q is no model's name: %w", path, agent.Model, errdefs.ErrInvalidArgument)
	}
	return nil
}

func readBottle(path string) (parsed[backend.BottleFile], error) {
	var read parsed[backend.BottleFile]
	data, err := readFile(path)
	if err != nil {
		return read, err
	}
	read.file = describe(KindBottle, path, data)
	front, _, err := split(path, data)
	if err != nil {
		return read, err
	}
	if err := decodeBottle(path, front, &read.value); err != nil {
		return read, err
	}
	read.value.Name = nameOf(path)
	switch read.value.Runtime {
	case "", backend.RuntimeAuto, backend.RuntimeGVisor, backend.RuntimeRunc:
	default:
		return read, fmt.Errorf("%s: runtime %q: auto, gvisor or runc: %w", path, read.value.Runtime, errdefs.ErrInvalidArgument)
	}
	switch read.value.DLP {
	case "", backend.DLPWarn, backend.DLPBlock:
	default:
		return read, fmt.Errorf("%s: dlp %q: warn or block: %w", path, read.value.DLP, errdefs.ErrInvalidArgument)
	}
	return read, nil
}

// host reads the host's configuration. A file that others than root can write is
// no authority: it is refused, not ignored.
func (l *loader) host() (backend.HostFile, error) {
	var host backend.HostFile
	path := l.options.HostFile
	data, err := readFile(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return host, nil
	}
	if err != nil {
		return host, err
	}
	for _, checked := range []string{path, filepath.Dir(path)} {
		var stat unix.Stat_t
		if err := unix.Stat(checked, &stat); err != nil {
			return host, fmt.Errorf("check %s: %w", checked, err)
		}
		if stat.Uid != 0 || stat.Mode&0o022 != 0 {
			return host, fmt.Errorf("%s must belong to root and be writable by nobody else: chown root: it, chmod go-w it: %w", checked, errdefs.ErrPermissionDenied)
		}
	}
	l.files = append(l.files, describe(KindHost, path, data))
	if err := decode(path, data, &host); err != nil {
		return host, err
	}
	switch host.RequireRuntime {
	case "", backend.RuntimeGVisor, backend.RuntimeRunc:
		return host, checkUsers(path, host)
	default:
		return host, fmt.Errorf("%s: requireRuntime %q: gvisor or runc: %w", path, host.RequireRuntime, errdefs.ErrInvalidArgument)
	}
}

// opener opens a file for reading, and does not wait for a FIFO's other side.
type opener func(path string) (*os.File, error)

func openFollowing(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

func readFile(path string) ([]byte, error) { return readFileBy(path, openFollowing) }

// readFileBy reads a regular file that is not too large.
func readFileBy(path string, open opener) ([]byte, error) {
	file, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: %w", path, errdefs.ErrInvalidArgument)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %s: %w", path, backend.Bytes(maxFile), errdefs.ErrInvalidArgument)
	}
	return data, nil
}

// split takes a file apart into its front matter and its body. The front matter
// keeps its line numbers.
func split(path string, data []byte) (front []byte, body string, err error) {
	text := bytes.TrimPrefix(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\xef\xbb\xbf"))
	if !bytes.HasPrefix(text, []byte("---\n")) {
		return nil, "", fmt.Errorf("%s:1: the file must begin with a line `---`, YAML, and another line `---`: %w", path, errdefs.ErrInvalidArgument)
	}
	rest := text[len("---"):] // the newline stands for the first line
	if end := bytes.Index(rest, []byte("\n---\n")); end >= 0 {
		return rest[:end+1], string(rest[end+len("\n---\n"):]), nil
	}
	if trimmed, ok := bytes.CutSuffix(rest, []byte("\n---")); ok {
		return trimmed, "", nil
	}
	return nil, "", fmt.Errorf("%s: the YAML at its head is not ended by a line `---`: %w", path, errdefs.ErrInvalidArgument)
}

func describe(kind Kind, path string, data []byte) backend.ManifestFile {
	sum := sha256.Sum256(data)
	return backend.ManifestFile{Kind: string(kind), Path: path, SHA256: hex.EncodeToString(sum[:])}
}

func nameOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".md") }

func expandHome(path, home string) string {
	if path == "~" {
		return home
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return path
}

// Check reads one file by itself, as an editor's last step.
func Check(path string) error {
	switch filepath.Base(filepath.Dir(path)) {
	case "agents":
		_, err := readAgent(path)
		return err
	case "bottles":
		read, err := readBottle(path)
		if err != nil {
			return err
		}
		if _, err := Limits(read.value.Resources); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	default:
		return fmt.Errorf("%s lies neither in agents/ nor in bottles/: %w", path, errdefs.ErrInvalidArgument)
	}
}
