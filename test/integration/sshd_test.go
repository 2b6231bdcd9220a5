package integration

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"golang.org/x/crypto/ssh"
)

// keyPair is a new key: as ssh-keygen writes it, and its public line.
type keyPair struct {
	file   []byte
	locked []byte // the same behind the passphrase sesame
	seed   []byte // the secret itself
	line   string // of the file, with most of the secret in it
	public string
}

// newKeyPair returns a key whose secret holds no byte that a search by lines
// would stumble over.
func newKeyPair(t *testing.T) keyPair {
	t.Helper()
	for {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(private.Seed(), "\n\x00") {
			continue
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			t.Fatal(err)
		}
		locked, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("sesame"))
		if err != nil {
			t.Fatal(err)
		}
		public, err := ssh.NewPublicKey(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		file := pem.EncodeToMemory(block)
		// The lines before it are the same, or public, in every such file.
		return keyPair{file, pem.EncodeToMemory(locked), private.Seed(), strings.Split(string(file), "\n")[4], strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))}
	}
}

// sshd is a real server on this machine, with a host key of its own.
type sshd struct {
	port    string
	hostKey string
}

// startSSHD starts a server at the address that lets the key in, as any user.
// It has a space of processes of its own, so that no session outlives it, and a
// /run of its own, for it insists on a directory there, and any user must be able
// to read the list of keys.
func startSSHD(t *testing.T, address string, allowed keyPair) sshd {
	t.Helper()
	dir, host, port := t.TempDir(), newKeyPair(t), freePort(t, address)
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("config", fmt.Appendf(nil, "ListenAddress %s:%s\nHostKey %s\nAuthorizedKeysFile /run/allowed\nPidFile none\nStrictModes no\nUsePAM no\nUseDNS no\n"+
		"PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nAllowAgentForwarding yes\nMaxStartups 100\n",
		address, port, write("host", host.file)))
	command := exec.Command("/bin/sh", "-c", `mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && echo "$1" > /run/allowed && exec /usr/sbin/sshd -D -e -f "$0"`,
		config, allowed.public)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("sshd at port %s says:\n%s", port, said.String())
		}
	})
	bottletest.Eventually(t, "sshd listens (hack/setup.sh installs it)", func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort(address, port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return sshd{port: port, hostKey: host.public}
}

// freePort is a port that nobody has, of those that the kernel gives to nobody by itself:
// it stays free until it is taken.
func freePort(t *testing.T, address string) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(10_000 + mathrand.IntN(20_000))
		listener, err := net.Listen("tcp", net.JoinHostPort(address, port))
		if err == nil {
			_ = listener.Close()
			return port
		}
	}
	t.Fatalf("no port of %s is free", address)
	return ""
}

// hostGit runs git on this machine, with no configuration of its user's.
func hostGit(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.Command("git", args...)
	command.Env = []string{
		"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b.c", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b.c",
	}
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, output)
	}
	return string(output)
}

// newRepository is a bare repository with one commit on main.
func newRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	work, bare := filepath.Join(dir, "work"), filepath.Join(dir, "bare.git")
	hostGit(t, "init", "-q", "-b", "main", work)
	if err := os.WriteFile(filepath.Join(work, "README"), []byte("the far end\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hostGit(t, "-C", work, "add", "README")
	hostGit(t, "-C", work, "commit", "-q", "-m", "first")
	hostGit(t, "clone", "-q", "--bare", work, bare)
	return bare
}
