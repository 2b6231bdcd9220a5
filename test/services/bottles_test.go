package services

import (
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// addUsers makes aladdin, of the group that may use the socket, and jafar, who is not of
// it. They and root have an agent whose claude lives on.
func (m *machine) addUsers() {
	m.Helper()
	m.run("groupadd", "claude-bottle").Want(m, 0)
	m.run("useradd", "--create-home", "--groups", "claude-bottle", "aladdin").Want(m, 0)
	m.run("useradd", "--create-home", "jafar").Want(m, 0)
	for _, home := range []string{"root", "home/aladdin", "home/jafar"} {
		m.write(home+"/.claude-bottle/agents/lives.md", "---\nbottle: lives\n---\n")
		m.write(home+"/.claude-bottle/bottles/lives.md", "---\nimage: "+containerdtest.TestImage+"\nenv:\n  FAKE_CLAUDE_RUN: echo up; exec sleep 3600\n---\n")
	}
	m.run("chown", "-R", "aladdin:", "/home/aladdin").Want(m, 0)
	m.run("chown", "-R", "jafar:", "/home/jafar").Want(m, 0)
}

// members are those who may have bottles.
func members() []string { return []string{"root", "aladdin"} }

// starts has root and a user start a bottle each, under gVisor, and refuses who is not of
// the group.
func (m *machine) starts() {
	m.Helper()
	m.as("root", "image", "import", "/root/test.tar").Want(m, 0)
	for _, user := range members() {
		m.as(user, "start", "lives", "--yes", "--detach", "--quiet").Want(m, 0)
	}
	m.alive()
	bottletest.Contains(m, m.as("jafar", "list").Want(m, 1).Stderr, "not open to you")
}

// served waits until the controller lets a user in.
func (m *machine) served() {
	m.Helper()
	bottletest.Eventually(m, "users are served", func() bool { return m.as("aladdin", "list").Code == 0 })
}

// alive fails unless the bottles of all run and do as they are told. Who has just come back
// is given the time for it.
func (m *machine) alive() {
	m.Helper()
	m.served()
	for _, user := range members() {
		r := m.as(user, "exec", "lives", "--", "cat", "/proc/version").Want(m, 0)
		bottletest.Contains(m, r.Stdout, "PST 2016") // what gVisor says
		bottletest.Contains(m, m.as(user, "list").Want(m, 0).Stdout, "Running")
	}
}

// withoutEngine ends the engine under the service: users are served again all the same.
func (m *machine) withoutEngine() {
	m.Helper()
	bottletest.Contains(m, m.as("root", "engine", "stop").Want(m, 3).Stderr, "--force")
	m.as("root", "engine", "stop", "--force").Want(m, 0)
	m.served()
}

// lostButKept: after a boot bottles say what they wait for, and go on with it.
func (m *machine) lostButKept() {
	m.Helper()
	m.served() // nobody but the service has started the engine
	for _, user := range members() {
		bottletest.Eventually(m, "bottles are found lost", func() bool {
			return strings.Contains(m.as(user, "list").Stdout, "CredentialsMissing")
		})
		bottletest.Contains(m, m.as(user, "get", "lives", "--output", "yaml").Want(m, 0).Stdout, "CredentialsMissing", "ANTHROPIC_API_KEY")
		m.as(user, "resume", "lives", "--yes", "--detach", "--quiet").Want(m, 0)
	}
	m.alive()
}

// healthy asks the controller, as a probe does.
func (m *machine) healthy() bool {
	sockets, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(m.pid), "root/run/claude-bottle/*/controller.sock"))
	for _, socket := range sockets {
		client := http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			Dial:              func(string, string) (net.Conn, error) { return net.Dial("unix", socket) }, //nolint:noctx,staticcheck // it is this host's
		}}
		response, err := client.Get("http://controller/healthz") //nolint:noctx // as above
		if err != nil {
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return true
		}
	}
	return false
}

// bottlesOutlast fails when a step ends or changes who holds the bottles.
func (m *machine) bottlesOutlast(what string, step func()) {
	m.Helper()
	before := m.supervisors()
	if len(before) != len(members()) {
		m.Fatalf("before %s there are the supervisors %v", what, before)
	}
	step()
	m.alive()
	if after := m.supervisors(); !slices.Equal(before, after) {
		m.Errorf("%s: the supervisors %v became %v", what, before, after)
	}
}
