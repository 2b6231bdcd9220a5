package bottletest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi" //nolint:gosec // git http-backend is a CGI program, and nobody but tests talks to it
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// GitServer is git http-backend behind TLS, as a forge is: whoever comes without
// the one user and token is refused. It remembers what it was asked.
type GitServer struct {
	*httptest.Server
	// CA is a file with the certificate that its own is signed by; Root is the
	// directory of its repositories; Token is what it takes.
	CA, Root, Token string

	mu       sync.Mutex
	requests []*http.Request
}

// NewGitServer starts a server that takes token as the password of any user.
func NewGitServer(t testing.TB, token string) *GitServer {
	t.Helper()
	dir := t.TempDir()
	s := &GitServer{CA: filepath.Join(dir, "ca.pem"), Root: filepath.Join(dir, "git"), Token: token}
	backend := &cgi.Handler{
		Path: filepath.Join(gitLine(t, "", "--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + s.Root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=forge", "HOME=" + dir, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/echo/", echo)
	mux.HandleFunc("/echo/elsewhere/info/refs", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://evil.example/stolen", http.StatusFound)
	})
	mux.Handle("/", backend)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Clone(r.Context()))
		s.mu.Unlock()
		if _, password, ok := r.BasicAuth(); (!ok || password != s.Token) && r.Header.Get("X-Token") != s.Token {
			w.Header().Set("WWW-Authenticate", `Basic realm="forge"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{signed(t, s.CA)}}
	s.Config.ErrorLog = log.New(os.Stderr, "git server: ", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// echo sends everything back that it was sent, in headers and body.
func echo(w http.ResponseWriter, r *http.Request) {
	for name, values := range r.Header {
		w.Header()["X-Echo-"+name] = values
		_, _ = fmt.Fprintf(w, "%s: %s\n", name, strings.Join(values, ","))
	}
}

// Requests are all that arrived, the refused ones too.
func (s *GitServer) Requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.requests...)
}

// Repository makes owner/name with one commit on main, and returns its path.
func (s *GitServer) Repository(t testing.TB, name string) string {
	t.Helper()
	path, work := filepath.Join(s.Root, name+".git"), t.TempDir()
	gitLine(t, "", "init", "--quiet", "--bare", "--initial-branch=main", path)
	gitLine(t, "", "init", "--quiet", "--initial-branch=main", work)
	if err := os.WriteFile(filepath.Join(work, "lamp.txt"), []byte("brass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gitLine(t, work, "add", ".")
	gitLine(t, work, "commit", "--quiet", "-m", "first")
	gitLine(t, work, "push", "--quiet", path, "main")
	return path
}

// Git runs the host's git in a directory and returns what it says.
func Git(t testing.TB, dir string, args ...string) string { return gitLine(t, dir, args...) }

func gitLine(t testing.TB, dir string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", args...)
	command.Dir = dir
	command.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=user", "GIT_AUTHOR_EMAIL=user@example.org",
		"GIT_COMMITTER_NAME=user", "GIT_COMMITTER_EMAIL=user@example.org",
	}
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, output)
	}
	return strings.TrimSpace(string(output))
}

// signed makes an authority, writes its certificate to path, and returns one
// for this host, and for the names, that it has signed.
func signed(t testing.TB, path string, names ...string) tls.Certificate {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	must(err)
	must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER}), 0o600))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "forge"}, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, authorityKey)
	must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
