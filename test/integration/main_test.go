// Package integration runs the built program against containerds of its own, of
// each version that bottles must work with, with a stand-in for claude that does
// as it is told. What needs the real claude is in test/e2e.
package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// versions are the containerds that every promise is tested against that a daemon has a
// part in: what Debian 12 ships, and the one that is built from its module. What goes
// through the neck alone is tested on one.
func versions() []string { return []string{"1.6", "2.4"} }

// everyVersion has the line between the two as well: the main path is tested
// against it.
func everyVersion() []string { return []string{"1.6", "1.7", "2.4"} }

// daemons are shared by the tests, a version each, started when first asked for.
var daemons = map[string]*containerdtest.Daemon{}

// imported are the daemons that have the default image, too.
var imported = map[*containerdtest.Daemon]bool{}

// attack is the path of the program that tries to get out.
var attack string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "attack")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	attack = filepath.Join(dir, "attack")
	build := exec.Command("go", "build", "-o", attack, "../attack")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build attack: %w: %s", err, output)
	}
	defer func() {
		for _, daemon := range daemons {
			if closeErr := daemon.Close(); closeErr != nil {
				err = fmt.Errorf("close containerd: %w", closeErr)
			}
		}
	}()
	return m.Run(), nil
}

// newUser returns a user of the stand-in for claude.
func newUser(t *testing.T, version string) *bottletest.User {
	t.Helper()
	return bottletest.New(t, bottletest.Options{Daemon: sharedDaemon(t, version), Image: containerdtest.TestImage})
}

// sharedDaemon is the daemon of that version, with the test image in it.
func sharedDaemon(t *testing.T, version string) *containerdtest.Daemon {
	t.Helper()
	if daemons[version] == nil {
		daemon, err := containerdtest.Launch(containerdtest.Options{Version: version})
		if err != nil {
			t.Fatal(err)
		}
		daemons[version] = daemon
		daemon.ImportTestImage(t, bottletest.Namespace)
	}
	return daemons[version]
}

// everywhere runs a test on the oldest and the newest containerd and each
// runtime.
func everywhere(t *testing.T, test func(t *testing.T, u *bottletest.User, runtime string)) {
	on(t, versions(), test)
}

// on runs a test on these containerds and each runtime.
func on(t *testing.T, versions []string, test func(t *testing.T, u *bottletest.User, runtime string)) {
	for _, version := range versions {
		for _, runtime := range bottletest.Runtimes() {
			t.Run("containerd-"+version+"/"+runtime, func(t *testing.T) { test(t, newUser(t, version), runtime) })
		}
	}
}

// bottle writes the bottle file: YAML after image and runtime.
func bottle(u *bottletest.User, lines ...string) {
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: "+containerdtest.TestImage+"\n"+strings.Join(lines, "\n")+"\n---\n")
}

// does tells the stand-in what to run.
func does(u *bottletest.User, command string, lines ...string) {
	bottle(u, append(lines, "env:", "  FAKE_CLAUDE_RUN: "+fmt.Sprintf("%q", command))...)
}
