package integration

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// TestBadInputNamesTheThingAndTheRemedy: each mistake ends with the code of the
// contract, says what to do, and makes nothing.
func TestBadInputNamesTheThingAndTheRemedy(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "true")
	u.Write("home/.claude-bottle/agents/unskilled.md", "---\nskills: [no-such-skill]\n---\n")
	u.Write("home/.claude-bottle/agents/unbottled.md", "---\nbottle: no-such-bottle\n---\n")
	u.Write("home/.claude-bottle/agents/misspelt.md", "---\nbotle: default\n---\n")
	u.Write("home/.claude-bottle/agents/forwarding.md", "---\nbottle: forwarding\n---\n")
	u.Write("home/.claude-bottle/bottles/forwarding.md", "---\nimage: "+containerdtest.TestImage+"\nenv: {A: \"${NOT_SET_HERE}\"}\n---\n")
	u.Write("home/.claude-bottle/agents/keyless.md", "---\nbottle: keyless\n---\n")
	u.Write("home/.claude-bottle/bottles/keyless.md", "---\nimage: "+containerdtest.TestImage+"\nssh: [{host: git.example.com, identityFile: ~/.ssh/nowhere, copy: true}]\n---\n")
	u.Write("home/.claude-bottle/agents/unpinned.md", "---\nbottle: unpinned\n---\n")
	u.Write("home/.claude-bottle/bottles/unpinned.md", "---\nimage: "+containerdtest.TestImage+"\nssh: [{host: git.example.com, identityFile: ~/.ssh/nowhere}]\n---\n")
	for name, test := range map[string]struct {
		args []string
		env  []string
		code int
		want []string
	}{
		"no verb of egress":    {[]string{"egress", "alow"}, nil, 2, []string{`unknown command "alow" for "claude-bottle egress"`}},
		"no verb":              {[]string{"strt"}, nil, 2, []string{`unknown command "strt"`, "Did you mean this? start", "See 'claude-bottle --help'"}},
		"no agent":             {[]string{"start"}, nil, 125, []string{"takes the name of one agent", "claude-bottle start --help"}},
		"two agents":           {[]string{"start", "a", "b"}, nil, 125, []string{"arguments for claude stand after --"}},
		"unknown agent":        {[]string{"start", "testr", "--yes"}, nil, 125, []string{"agent testr", "did you mean tester?"}},
		"hostile agent":        {[]string{"start", "../../etc/passwd", "--yes"}, nil, 125, []string{"agent name", "a to z"}},
		"unknown flag":         {[]string{"start", "tester", "--no-such-flag"}, nil, 125, []string{"unknown flag: --no-such-flag", "--help"}},
		"unknown runtime":      {[]string{"start", "tester", "--runtime", "docker"}, nil, 125, []string{`--runtime "docker": auto, gvisor or runc`}},
		"unknown format":       {[]string{"list", "-o", "xml"}, nil, 2, []string{"xml", "json"}},
		"unknown backend":      {[]string{"start", "tester", "--yes"}, []string{"CLAUDE_BOTTLE_BACKEND=docker"}, 125, []string{"docker", "containerd"}},
		"unknown backend list": {[]string{"list"}, []string{"CLAUDE_BOTTLE_BACKEND=docker"}, 125, []string{"docker", "containerd"}},
		"missing skill":        {[]string{"start", "unskilled", "--yes"}, nil, 125, []string{"no-such-skill", ".claude-bottle/skills"}},
		"missing bottle":       {[]string{"start", "unbottled", "--yes"}, nil, 125, []string{"no-such-bottle.md", "claude-bottle init"}},
		"unknown key":          {[]string{"start", "misspelt", "--yes"}, nil, 125, []string{"misspelt.md:2: unknown key botle: did you mean bottle?"}},
		"variable not set":     {[]string{"start", "forwarding", "--yes", "--runtime", "runc"}, nil, 125, []string{"NOT_SET_HERE is not set", "export it"}},
		"missing key":          {[]string{"start", "keyless", "--yes", "--runtime", "runc"}, nil, 125, []string{".ssh/nowhere"}},
		"no key of the host":   {[]string{"start", "unpinned", "--yes", "--runtime", "runc"}, nil, 125, []string{"knownHostKey is missing", "`ssh-keyscan -p 22 git.example.com`"}},
		"hostile name":         {[]string{"start", "tester", "--yes", "--name", "../x", "--runtime", "runc"}, nil, 125, []string{"name", "a to z"}},
		"missing image":        {[]string{"start", "tester", "--yes", "--runtime", "runc", "--image", "docker.io/claude-bottle/no-such:1"}, nil, 125, []string{"docker.io/claude-bottle/no-such:1"}},
		"bad image":            {[]string{"start", "tester", "--yes", "--runtime", "runc", "--image", "not an image"}, nil, 125, []string{"not an image"}},
		"bad level":            {[]string{"--log-level", "loud", "list"}, nil, 2, []string{"loud", "debug"}},
		"bad address":          {[]string{"--address", "relative.sock", "list"}, nil, 1, []string{"relative.sock", "absolute"}},
		"no yes":               {[]string{"start", "tester", "--runtime", "runc"}, nil, 125, []string{"--yes"}},
	} {
		t.Run(name, func(t *testing.T) {
			command := u.Command(test.args...)
			command.Env = append(command.Env, test.env...)
			r := u.RunCommand(command)
			if r.Code != test.code {
				t.Errorf("exit code %d, want %d", r.Code, test.code)
			}
			bottletest.Contains(t, r.Stderr, append(test.want, "claude-bottle: ")...)
			if strings.Contains(r.Stderr, "panic") || (strings.Count(r.Stderr, "\n") > 4 && name != "no yes") {
				t.Errorf("it says:\n%s", r.Stderr)
			}
			if left := u.Left(); left != "" {
				t.Errorf("it has made:\n%s", left)
			}
		})
	}
}

// mounted is a command in a mount namespace of its own, in which the script has
// run before.
func mounted(u *bottletest.User, script string, args ...string) *exec.Cmd {
	plain := u.Command(args...)
	command := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script + `; exec "$@"`, "sh"}, plain.Args...)...)
	command.Env, command.Dir = plain.Env, plain.Dir
	return command
}

func TestF32_AReadOnlyRunDirectoryIsNamed(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "true")
	command := mounted(u, "mount -t tmpfs -o ro,mode=700 none "+u.RunRoot, "start", "tester", "--yes", "--runtime", "runc")
	r := u.RunCommand(command).Want(t, 125)
	bottletest.Contains(t, r.Stderr, u.RunRoot, "read-only file system")
}

func TestNotRoot(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "true")
	program := filepath.Join(t.TempDir(), "bin")
	for _, name := range []string{"claude-bottle", "bottle-init"} {
		copyFile(t, filepath.Join(filepath.Dir(u.Binary), name), filepath.Join(program, name))
	}
	open := filepath.Dir(u.Home)
	for dir := open; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for dir := program; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if output, err := exec.Command("chmod", "-R", "a+rX", open).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	command := u.Command("start", "tester", "--yes", "--runtime", "runc")
	command.Path = filepath.Join(program, "claude-bottle")
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	r := u.RunCommand(command).Want(t, 125)
	bottletest.Contains(t, r.Stderr, "root")
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o755)); err != nil {
		t.Fatal(err)
	}
}

// installed is a user whose program has a libexec of its own, with those
// programs in it.
func installed(t *testing.T, version string, programs map[string]string) *bottletest.User {
	t.Helper()
	dir, err := os.MkdirTemp("/opt", "claude-bottle-test-") //nolint:usetesting // root's alone, with all above it
	if err != nil {
		t.Fatal(err)
	}
	daemon := containerdtest.Start(t, containerdtest.Options{Version: version, Path: []string{filepath.Join(dir, "nowhere")}})
	daemon.ImportTestImage(t, bottletest.Namespace)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	bin := filepath.Dir(u.Binary)
	u.Binary = filepath.Join(dir, "bin", "claude-bottle")
	for _, name := range []string{"claude-bottle", "bottle-init"} {
		copyFile(t, filepath.Join(bin, name), filepath.Join(dir, "bin", name))
	}
	for name, from := range programs {
		if strings.HasPrefix(from, "#!") {
			script := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(script, []byte(from), 0o755); err != nil {
				t.Fatal(err)
			}
			from = script
		}
		copyFile(t, from, filepath.Join(dir, "libexec", name))
	}
	does(u, "true")
	return u
}

func tool(t *testing.T, name string) string {
	t.Helper()
	libexec, err := containerdtest.Libexec()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(libexec, name)
}

func TestT1_WithoutGVisorNothingStartsUnasked(t *testing.T) {
	if _, err := exec.LookPath("runsc"); err == nil {
		t.Skip("this host has a runsc of its own on the PATH")
	}
	u := installed(t, "2.4", map[string]string{"runc": tool(t, "runc")})
	for _, args := range [][]string{nil, {"--runtime", "auto"}, {"--runtime", "gvisor"}} {
		r := u.Run(append([]string{"start", "tester", "--yes"}, args...)...).Want(t, 125)
		bottletest.Contains(t, r.Stderr, "gVisor can't be used", "runsc is not installed", "--runtime runc")
	}
	u.Run("start", "tester", "--yes", "--runtime", "runc").Want(t, 0)
	does(u, "true", "runtime: runc")
	u.Run("start", "tester", "--yes").Want(t, 0)
	bottletest.Contains(t, u.Run("start", "tester", "--dry-run", "-o", "json").Want(t, 0).Stdout, "asked for")
}

func TestT1_AProbeTellsWhatIsNotGVisor(t *testing.T) {
	runc := tool(t, "runc")
	u := installed(t, "2.4", map[string]string{"runsc": "#!/bin/sh\nexec " + runc + " \"$@\"\n"})
	r := u.Run("start", "tester", "--yes").Want(t, 125)
	bottletest.Contains(t, r.Stderr, "not in gVisor")
	broken := installed(t, "2.4", map[string]string{"runsc": "#!/bin/sh\n[ \"$1\" = --version ] && exec echo runsc version 1\nexit 1\n"})
	r = broken.Run("start", "tester", "--yes").Want(t, 125)
	bottletest.Contains(t, r.Stderr, "gVisor can't be used", "probe sandbox")
}

func TestT1_AVulnerableRuncNeedsItsOwnWord(t *testing.T) {
	runc := tool(t, "runc")
	u := installed(t, "2.4", map[string]string{"runc": "#!/bin/sh\n[ \"$1\" = --version ] && exec echo runc version 1.1.5\nexec " + runc + " \"$@\"\n"})
	r := u.Run("start", "tester", "--yes", "--runtime", "runc").Want(t, 125)
	bottletest.Contains(t, r.Stderr, "runc 1.1.5 has known ways out", "--allow-vulnerable-runc")
	u.Run("start", "tester", "--yes", "--runtime", "runc", "--allow-vulnerable-runc").Want(t, 0)
	bottletest.Contains(t, u.Run("start", "tester", "--dry-run", "--runtime", "runc", "--allow-vulnerable-runc").Want(t, 0).Stdout, "accepted by --allow-vulnerable-runc")
}

func TestTheShimOfGVisorByExplicitChoice(t *testing.T) {
	daemon := containerdtest.Start(t, containerdtest.Options{Version: "2.4", Path: []string{filepath.Dir(tool(t, "runsc"))}})
	daemon.ImportTestImage(t, bottletest.Namespace)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	does(u, "cat /proc/version; exit 9")
	command := u.Command("start", "tester", "--yes", "--runtime", "gvisor")
	command.Env = append(command.Env, "CLAUDE_BOTTLE_SHIM=io.containerd.runsc.v1")
	r := u.RunCommand(command).Want(t, 9)
	bottletest.Contains(t, r.Stdout, "Linux version 4.4.0")
}

func TestT43_F8_EachWayThatASocketFailsIsToldApart(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "true")
	dir, err := os.MkdirTemp("/run", "cb-test-") //nolint:usetesting // root's alone, with all above it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	open := filepath.Join(dir, "open.sock")
	listener, err := net.Listen("unix", open)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	refusing := filepath.Join(dir, "refusing.sock")
	gone, err := net.ListenUnix("unix", &net.UnixAddr{Name: refusing})
	if err != nil {
		t.Fatal(err)
	}
	gone.SetUnlinkOnClose(false)
	if err := errors.Join(gone.Close(), os.Chmod(refusing, 0o600)); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		filepath.Join(dir, "absent.sock"): "does not exist: start containerd",
		open:                              "can be written by everybody",
		refusing:                          "nobody listens on containerd socket",
	} {
		command := u.Command("start", "tester", "--yes")
		command.Args = append([]string{command.Args[0], "--address", address}, command.Args[3:]...)
		r := u.RunCommand(command).Want(t, 125)
		bottletest.Contains(t, r.Stderr, address, want)
	}
}

func TestF8_ADaemonThatHangsIsNamed(t *testing.T) {
	daemon := containerdtest.Start(t, containerdtest.Options{})
	daemon.ImportTestImage(t, bottletest.Namespace)
	u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	does(u, "true")
	if err := daemon.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	start, list := u.Run("start", "tester", "--yes"), u.Run("list")
	if err := daemon.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]bottletest.Result{"start": start, "list": list} {
		if r.Code == 0 {
			t.Errorf("%s succeeds", name)
		}
		bottletest.Contains(t, r.Stderr, daemon.Address, "did not answer")
	}
	t.Logf("both gave up after %s", time.Since(began))
}
