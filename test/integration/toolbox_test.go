package integration

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// toolLimit bounds a bottle in which real tools talk to real registries.
const toolLimit = 20 * time.Minute

// onEachRuntime runs a test with the tools of the default image. What a tool
// says goes the same way whatever the version of containerd, so one is enough.
func onEachRuntime(t *testing.T, test func(t *testing.T, u *bottletest.User, runtime string)) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, "2.4")
			ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
			switch _, err := u.Daemon.Client().GetImage(ctx, bottletest.DefaultImage); {
			case errdefs.IsNotFound(err):
				u.Daemon.ImportImage(t, bottletest.Namespace, filepath.Join(u.Daemon.Libexec, "images", "default.tar"))
			case err != nil:
				t.Fatal(err)
			}
			test(t, u, runtime)
		})
	}
}

// script runs shell commands in place of claude, in a bottle of the default
// image, and returns all that they say. The working directory goes in.
func script(t *testing.T, u *bottletest.User, runtime, egress, commands string) string {
	t.Helper()
	const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: "+bottletest.DefaultImage+"\n"+egress+"\nenv: {PATH: \"/workspace/bin:"+path+"\"}\n---\n")
	u.Write("project/bin/claude", "#!/bin/bash\nexec 2>&1 </dev/null\n"+
		"touch kept; echo uid $(id -u), $(grep CapEff /proc/self/status), $(env | grep -ci proxy) proxy variables\n"+commands+"\n")
	if err := os.Chmod(filepath.Join(u.Cwd, "bin", "claude"), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	command := u.Command("start", "tester", "--yes", "--quiet", "--cwd", "--runtime", runtime)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
		if value, ok := os.LookupEnv(name); ok { // the supervisor's, where it is the only way out
			command.Env = append(command.Env, name+"="+value)
		}
	}
	r := u.RunWithin(command, toolLimit)
	if r.Code != 0 {
		t.Errorf("exit code %d: %s", r.Code, r.Stderr)
	}
	t.Log(r.Stdout)
	bottletest.Contains(t, r.Stdout, ", CapEff: 0000000000000000, 0 proxy variables\n")
	if strings.HasPrefix(r.Stdout, "uid 0,") {
		t.Error("the tools run as root")
	}
	return r.Stdout
}

// refusals are the hosts that were not let through, each once, as the audit log
// of the one bottle has them: "name HOST" or "dial HOST:PORT".
func refusals(t *testing.T, u *bottletest.User) []string {
	t.Helper()
	var list []string
	for _, event := range events(t, u) {
		line := event.Kind + " " + event.Host
		if event.Port != 0 {
			line += fmt.Sprintf(":%d", event.Port)
		}
		if !event.Allowed && event.Kind != egress.KindFence && !slices.Contains(list, line) {
			list = append(list, line)
		}
	}
	return list
}

// nothingRefused says that the tools got by with what the bottle file lists.
func nothingRefused(t *testing.T, u *bottletest.User) {
	t.Helper()
	if refused := refusals(t, u); len(refused) > 0 {
		t.Errorf("refused: %q", refused)
	}
}

// reach is what a bottle file says under egress so that these URLs can be
// fetched: the preset, hosts that it lacks, and the addresses that this host's
// resolver knows, for a mirror may well be in a private network.
func reach(t *testing.T, preset string, urls ...string) string {
	t.Helper()
	rules, err := egress.Rules(backend.Egress{Presets: []string{preset}})
	if err != nil {
		t.Fatal(err)
	}
	policy := egress.NewPolicy(rules)
	var allow, private []string
	for _, text := range urls {
		parsed, err := url.Parse(text)
		if err != nil || parsed.Hostname() == "" {
			t.Fatalf("%q of this host's configuration is no URL to fetch from: %v", text, err)
		}
		host, port := parsed.Hostname(), parsed.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[parsed.Scheme]
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			t.Fatalf("%s: port: %v", text, err)
		}
		if _, err := policy.Check(host, uint16(number)); err != nil {
			allow = append(allow, strconv.Quote(net.JoinHostPort(host, port)))
		}
		// Behind a proxy the name may be known to that proxy alone.
		addresses, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip", host)
		if err != nil && os.Getenv("HTTPS_PROXY")+os.Getenv("https_proxy") == "" {
			t.Fatal(err)
		}
		for _, address := range addresses {
			address = address.Unmap()
			private = append(private, fmt.Sprintf("{host: %s, range: %q}", host, netip.PrefixFrom(address, address.BitLen())))
		}
	}
	return fmt.Sprintf("egress: {presets: [%s], allow: [%s], private: [%s]}", preset, strings.Join(allow, ", "), strings.Join(private, ", "))
}

// hostRoots gives the bottle the certificates that this host trusts: a mirror
// may have one that the image has never heard of.
func hostRoots(t *testing.T, u *bottletest.User) {
	t.Helper()
	path := os.Getenv("SSL_CERT_FILE")
	if path == "" {
		path = "/etc/ssl/certs/ca-certificates.crt"
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	u.Write("project/roots.crt", string(data))
}

// hostSays is what a program of this host prints.
func hostSays(t *testing.T, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = t.TempDir()
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return strings.TrimSpace(string(output))
}

// copyIn puts a file of this host into the working directory.
func copyIn(t *testing.T, u *bottletest.User, from, to string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	u.Write("project/"+to, string(data))
	if err := os.Chmod(filepath.Join(u.Cwd, to), mode); err != nil {
		t.Fatal(err)
	}
}

// copyGo copies this host's Go, as much of it as downloads modules, to go.
func copyGo(t *testing.T, u *bottletest.User) {
	t.Helper()
	root := hostSays(t, "go", "env", "GOROOT")
	copyIn(t, u, filepath.Join(root, "bin", "go"), "go/bin/go", 0o755)
	copyIn(t, u, filepath.Join(root, "VERSION"), "go/VERSION", 0o644)
}
