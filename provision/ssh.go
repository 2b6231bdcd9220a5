package provision

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// maxKeyBytes bounds a private key file.
const maxKeyBytes = 64 << 10

const defaultSSHPort = 22

// defaultSSHUser is who logs in where the agent signs, for it signs for one user:
// forges know but this one.
const defaultSSHUser = "git"

// keyDirectory is where keys lie, below backend.SSHPath.
const keyDirectory = "keys/"

// word is what may stand in an ssh configuration without quotes: no space, no
// option, no pattern.
var word = pattern.Lazy(`^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$`)

// sshThings are the entries of the bottle file with their keys, and what goes in
// for them: the configuration that goes with all, and each key that is copied as
// a stream of its own, so that the preflight names it.
func sshThings(spec backend.Spec) ([]backend.PlanSSH, []backend.Input, error) {
	var planned []plannedKey
	var inputs []backend.Input
	name := spec.Manifest.Bottle.Name
	for i, entry := range spec.Manifest.Bottle.SSH {
		if err := checkSSHEntry(entry); err != nil {
			return nil, nil, fmt.Errorf("bottle %s: ssh entry %d: %w", name, i+1, err)
		}
		if slices.ContainsFunc(planned, func(known plannedKey) bool { return known.Host == entry.Host }) {
			return nil, nil, fmt.Errorf("bottle %s: ssh entry %d: there is another entry for host %s: %w", name, i+1, entry.Host, errdefs.ErrInvalidArgument)
		}
		one, err := planSSH(entry, spec.Home)
		if err != nil {
			return nil, nil, fmt.Errorf("bottle %s: ssh %s: %w", name, entry.Host, err)
		}
		planned = append(planned, one)
		if !entry.Copy {
			continue
		}
		input, err := keyInput(one)
		if err != nil {
			return nil, nil, err
		}
		inputs = append(inputs, input)
	}
	config, err := sshConfig(planned)
	if err != nil {
		return nil, nil, err
	}
	plans := make([]backend.PlanSSH, len(planned))
	for i, one := range planned {
		plans[i] = one.PlanSSH
	}
	return plans, append(inputs, config), nil
}

func checkSSHEntry(entry backend.SSHEntry) error {
	if !word().MatchString(entry.Host) {
		return fmt.Errorf("host %q is not a host name: %w", entry.Host, errdefs.ErrInvalidArgument)
	}
	if entry.Hostname != "" && !word().MatchString(entry.Hostname) {
		return fmt.Errorf("hostname %q is not a host name: %w", entry.Hostname, errdefs.ErrInvalidArgument)
	}
	if entry.User != "" && !word().MatchString(entry.User) {
		return fmt.Errorf("user %q is not a user name: %w", entry.User, errdefs.ErrInvalidArgument)
	}
	if entry.KnownHostKey == "" && !entry.Copy {
		target, port := sshTarget(entry)
		return fmt.Errorf("knownHostKey is missing, and the agent signs for a host with that key alone: `ssh-keyscan -p %d %s` prints it, "+
			"compare it with what the host's owner says, and put TYPE BASE64 here: %w", port, target, errdefs.ErrInvalidArgument)
	}
	return nil
}

// plannedKey is an entry with what is read of its key.
type plannedKey struct {
	backend.PlanSSH
	public ssh.PublicKey
}

// planSSH reads one private key. Its bytes are not hashed for show.
func planSSH(entry backend.SSHEntry, home string) (plannedKey, error) {
	path := entry.IdentityFile
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		path = filepath.Join(home, rest)
	}
	if !filepath.IsAbs(path) {
		return plannedKey{}, fmt.Errorf("identityFile %q: give an absolute path, or one that begins with ~/: %w", entry.IdentityFile, errdefs.ErrInvalidArgument)
	}
	key, err := readKey(path)
	if err != nil {
		return plannedKey{}, err
	}
	public, locked, err := publicOf(key, path)
	if err != nil {
		return plannedKey{}, err
	}
	if locked && entry.Copy {
		return plannedKey{}, fmt.Errorf("%s has a passphrase, which nobody can type inside: leave `copy` out, or use a deploy key without one: %w", path, errdefs.ErrInvalidArgument)
	}
	plan, err := PlanSSH(entry, backend.PlanSSH{From: path, Fingerprint: ssh.FingerprintSHA256(public), Locked: locked})
	if err != nil {
		return plannedKey{}, err
	}
	return plannedKey{backend.NewPlanSSH(plan, key), public}, nil
}

// PlanSSH is an entry as planned, of which key says what is known of its key. An entry
// that can't be is an InvalidArgument error.
func PlanSSH(entry backend.SSHEntry, key backend.PlanSSH) (backend.PlanSSH, error) {
	if err := checkSSHEntry(entry); err != nil {
		return backend.PlanSSH{}, err
	}
	target, port := sshTarget(entry)
	plan := backend.PlanSSH{
		Host: entry.Host, Hostname: target, Port: port, User: entry.User, From: key.From, Fingerprint: key.Fingerprint,
		Copied: entry.Copy, Locked: key.Locked,
	}
	if plan.User == "" && !entry.Copy {
		plan.User = defaultSSHUser
	}
	if entry.KnownHostKey != "" {
		hostKey, err := parseHostKey(entry.KnownHostKey)
		if err != nil {
			return backend.PlanSSH{}, err
		}
		plan.HostKey, plan.HostFingerprint = authorized(hostKey), ssh.FingerprintSHA256(hostKey)
	}
	return plan, nil
}

// parseHostKey reads a knownHostKey.
func parseHostKey(text string) (ssh.PublicKey, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(options) > 0 || len(rest) > 0 || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("knownHostKey is not `TYPE BASE64`, as ssh-keyscan prints it after the host: %w", errdefs.ErrInvalidArgument)
	}
	if _, ok := key.(*ssh.Certificate); ok {
		return nil, fmt.Errorf("knownHostKey is a certificate: give the host's plain key: %w", errdefs.ErrInvalidArgument)
	}
	return key, nil
}

// authorized is a public key as one line without its end.
func authorized(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// keyInput is a key that is copied.
func keyInput(planned plannedKey) (backend.Input, error) {
	key := planned.Key()
	builder := archive.NewBuilder()
	builder.File(keyDirectory+planned.Host, 0o400, key)
	stream, err := builder.Bytes()
	if err != nil {
		return backend.Input{}, fmt.Errorf("pack key: %w", err)
	}
	return backend.NewSecretInput(backend.Input{
		Kind: backend.InputSSH, Name: "ssh key for " + planned.Host, From: planned.From, Place: backend.PlaceSSH,
		Files: 1, Bytes: int64(len(key)), Note: planned.Fingerprint,
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

// publicOf is the public half of a key, by which it is known. That of a locked
// one is readable in OpenSSH's own format.
func publicOf(key []byte, path string) (public ssh.PublicKey, locked bool, err error) {
	signer, err := ssh.ParsePrivateKey(key)
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing) && missing.PublicKey != nil:
		return missing.PublicKey, true, nil
	case errors.As(err, &missing):
		return nil, true, fmt.Errorf("%s has a passphrase in an old format: `ssh-keygen -p -f %s` writes it anew: %w", path, path, errdefs.ErrInvalidArgument)
	case err != nil:
		return nil, false, fmt.Errorf("%s is not a private key of a kind that works here: %w", path, errdefs.ErrInvalidArgument)
	}
	return signer.PublicKey(), false, nil
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

// copiedWarnings name the keys that the agent will be able to read.
func copiedWarnings(planned []backend.PlanSSH) []string {
	var found []string
	for _, entry := range planned {
		if entry.Copied {
			found = append(found, fmt.Sprintf("ssh %s: the key is copied in, into memory: the agent can read it while the bottle lives, and send it away. "+
				"Leave `copy` out, or use a deploy key.", entry.Host))
		}
	}
	return found
}
