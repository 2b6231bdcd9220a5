package provision

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// maxKeyBytes bounds a private key file.
const maxKeyBytes = 64 << 10

const defaultSSHPort = 22

// word is what may stand in an ssh configuration without quotes: no space, no
// option, no pattern.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$`)

// sshInputs are one key for each entry, and the configuration that goes with
// them. Each entry becomes its own stream, so that the preflight names it.
func sshInputs(spec backend.Spec) ([]backend.Input, error) {
	var inputs []backend.Input
	var config, known strings.Builder
	for i, entry := range spec.Manifest.Bottle.SSH {
		if err := checkSSHEntry(entry); err != nil {
			return nil, fmt.Errorf("bottle %s: ssh entry %d: %w", spec.Manifest.Bottle.Name, i+1, err)
		}
		input, err := keyInput(entry, spec.Home)
		if err != nil {
			return nil, fmt.Errorf("bottle %s: ssh %s: %w", spec.Manifest.Bottle.Name, entry.Host, err)
		}
		inputs = append(inputs, input)
		writeSSHConfig(&config, &known, entry)
	}
	files, err := built(backend.Input{
		Kind: backend.InputSSH, Name: "ssh config", Place: backend.PlaceSSH, Files: 2, Bytes: int64(config.Len() + known.Len()),
	}, func(b *archive.Builder) {
		b.File("config", 0o600, []byte(config.String()))
		b.File("known_hosts", 0o600, []byte(known.String()))
	})
	return append(inputs, files), err
}

func checkSSHEntry(entry backend.SSHEntry) error {
	if !word.MatchString(entry.Host) {
		return fmt.Errorf("host %q is not a host name: %w", entry.Host, errdefs.ErrInvalidArgument)
	}
	if entry.Hostname != "" && !word.MatchString(entry.Hostname) {
		return fmt.Errorf("hostname %q is not a host name: %w", entry.Hostname, errdefs.ErrInvalidArgument)
	}
	if entry.User != "" && !word.MatchString(entry.User) {
		return fmt.Errorf("user %q is not a user name: %w", entry.User, errdefs.ErrInvalidArgument)
	}
	if entry.KnownHostKey != "" {
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(entry.KnownHostKey)); err != nil || strings.ContainsAny(entry.KnownHostKey, "\r\n") {
			return fmt.Errorf("knownHostKey is not `TYPE BASE64`, as ssh-keyscan prints it after the host: %w", errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// keyInput reads one private key. Its bytes are not hashed for show.
func keyInput(entry backend.SSHEntry, home string) (backend.Input, error) {
	path := entry.IdentityFile
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		path = filepath.Join(home, rest)
	}
	if !filepath.IsAbs(path) {
		return backend.Input{}, fmt.Errorf("identityFile %q: give an absolute path, or one that begins with ~/: %w", entry.IdentityFile, errdefs.ErrInvalidArgument)
	}
	key, err := readKey(path)
	if err != nil {
		return backend.Input{}, err
	}
	fingerprint, err := fingerprintOf(key, path)
	if err != nil {
		return backend.Input{}, err
	}
	builder := archive.NewBuilder()
	builder.File("keys/"+entry.Host, 0o400, key)
	stream, err := builder.Bytes()
	if err != nil {
		return backend.Input{}, fmt.Errorf("pack key: %w", err)
	}
	return backend.NewSecretInput(backend.Input{
		Kind: backend.InputSSH, Name: "ssh key for " + entry.Host, From: path, Place: backend.PlaceSSH,
		Files: 1, Bytes: int64(len(key)), Note: fingerprint,
	}, stream), nil
}

func readKey(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyBytes {
		return nil, fmt.Errorf("read key: %s is not a key file: %w", path, errdefs.ErrInvalidArgument)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read key: %s can be read by others: chmod 600 it: %w", path, errdefs.ErrFailedPrecondition)
	}
	return io.ReadAll(io.LimitReader(file, maxKeyBytes))
}

// fingerprintOf shows which key it is. One with a passphrase is told by the .pub
// file beside it, for it can't be used inside without the passphrase anyway.
func fingerprintOf(key []byte, path string) (string, error) {
	signer, err := ssh.ParsePrivateKey(key)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return "", fmt.Errorf("%s has a passphrase, which nobody can type inside: use a deploy key without one: %w", path, errdefs.ErrInvalidArgument)
	case err != nil:
		return "", fmt.Errorf("%s is not a private key: %w", path, errdefs.ErrInvalidArgument)
	}
	return ssh.FingerprintSHA256(signer.PublicKey()), nil
}

// writeSSHConfig appends one host. A host without a pinned key is trusted on
// first use, within the one life of the bottle.
func writeSSHConfig(config, known *strings.Builder, entry backend.SSHEntry) {
	target, port := sshTarget(entry)
	fmt.Fprintf(config, "Host %s\n  HostName %s\n  Port %d\n  IdentityFile ~/.ssh/keys/%s\n  IdentitiesOnly yes\n", entry.Host, target, port, entry.Host)
	if entry.User != "" {
		fmt.Fprintf(config, "  User %s\n", entry.User)
	}
	if entry.KnownHostKey == "" {
		config.WriteString("  StrictHostKeyChecking accept-new\n\n")
		return
	}
	config.WriteString("  StrictHostKeyChecking yes\n\n")
	name := target
	if port != defaultSSHPort {
		name = fmt.Sprintf("[%s]:%d", target, port)
	}
	fmt.Fprintf(known, "%s %s\n", name, entry.KnownHostKey)
}

func sshTarget(entry backend.SSHEntry) (string, uint16) {
	target, port := entry.Hostname, entry.Port
	if target == "" {
		target = entry.Host
	}
	if port == 0 {
		port = defaultSSHPort
	}
	return target, port
}
