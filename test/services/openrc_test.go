package services

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestF3_F15_TheControllerIsAServiceOfOpenRC, kept by its supervise-daemon.
func TestF3_F15_TheControllerIsAServiceOfOpenRC(t *testing.T) {
	m := newMachine(t, "openrc")
	bottletest.Eventually(t, "OpenRC has booted", func() bool {
		return m.run("rc-status", "--runlevel").Stdout == "default\n"
	})
	m.run("dpkg", "--install", "/root/claude-bottle.deb").Want(t, 0)
	m.run("cp", "/usr/share/doc/claude-bottle/openrc/"+unit, "/etc/init.d/").Want(t, 0)
	m.addUsers()
	m.run("rc-update", "add", unit).Want(t, 0)
	m.run("rc-service", unit, "start").Want(t, 0)
	m.run("rc-service", unit, "status").Want(t, 0)
	m.served() // nobody but the service has started the engine
	bottletest.Eventually(t, "the controller says that it is well", m.healthy)
	m.limited()
	bottletest.Eventually(t, "what it says is in a log", func() bool {
		return strings.Contains(m.run("cat", "/var/log/"+unit+".log").Stdout, "serve users")
	})
	m.starts()
	m.respawns(t)
	m.halted(t)
	m.uninstalled(t)
}

// respawns: bottles go on, whatever becomes of the controller.
func (m *machine) respawns(t *testing.T) {
	t.Helper()
	m.bottlesOutlast("rc-service restart", func() { m.run("rc-service", unit, "restart").Want(t, 0) })
	m.bottlesOutlast("rc-service stop and start", func() {
		m.run("rc-service", unit, "stop").Want(t, 0)
		if pids := m.controllers(); len(pids) > 0 {
			t.Errorf("a controller that was stopped is process %s", pids)
		}
		m.run("rc-service", unit, "status").Want(t, 3)
		m.as("root", "exec", "lives", "--", "true").Want(t, 0)
		m.run("rc-service", unit, "start").Want(t, 0)
	})
	m.bottlesOutlast("a kill", func() {
		before := m.controllers()
		if pid, err := strconv.Atoi(before[0]); err != nil || syscall.Kill(pid, syscall.SIGKILL) != nil {
			t.Fatalf("kill %s: %v", before, err)
		}
		bottletest.Eventually(t, "supervise-daemon starts it again", func() bool {
			now := m.controllers()
			return len(now) == 1 && now[0] != before[0] && m.healthy()
		})
	})
	m.bottlesOutlast("an upgrade", func() {
		before := m.controllers()
		m.run("dpkg", "--install", "/root/claude-bottle.deb").Want(t, 0)
		if after := m.controllers(); slices.Equal(after, before) {
			t.Errorf("the controller is %s still", after)
		}
	})
}

// halted powers the machine off while bottles run, and on again.
func (m *machine) halted(t *testing.T) {
	t.Helper()
	m.run("poweroff").Want(t, 0)
	m.awaitOff()
	if console := m.console.String(); strings.Contains(console, "Killing all remaining processes") {
		t.Errorf("it has waited in vain for somebody:\n%s", console)
	}
	m.powerOn()
	bottletest.Eventually(t, "OpenRC has started the controller", func() bool {
		return m.run("rc-service", unit, "status").Code == 0 && len(m.controllers()) == 1
	})
	m.lostButKept()
}

// uninstalled removes the package: the controller goes, and bottles stay.
func (m *machine) uninstalled(t *testing.T) {
	t.Helper()
	m.bottlesOutlast("a removal, and an installation", func() {
		m.run("dpkg", "--remove", "claude-bottle").Want(t, 0)
		if pids := m.controllers(); len(pids) > 0 {
			t.Errorf("of a package that was removed there is process %s", pids)
		}
		if list := m.run("ls", "-A", "/etc/runlevels/default").Want(t, 0).Stdout; list != "" {
			t.Errorf("the runlevel still has %q", list)
		}
		m.run("dpkg", "--install", "/root/claude-bottle.deb").Want(t, 0)
		m.run("rc-service", unit, "start").Want(t, 0)
	})
	for _, user := range members() {
		m.as(user, "stop", "lives").Want(t, 0)
	}
}

// limited: the controller leaves no core, and has as many files as this host allows root.
func (m *machine) limited() {
	m.Helper()
	limits, err := os.ReadFile(filepath.Join("/proc", strings.Join(m.controllers(), " and "), "limits"))
	if err != nil {
		m.Fatal(err)
	}
	files := strings.TrimSpace(m.run("sh", "-c", "ulimit -n 65536 2>/dev/null; ulimit -n").Want(m, 0).Stdout)
	for _, want := range []string{"Max core file size 0 0", "Max open files " + files + " " + files} {
		if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), want) {
			m.Errorf("%q is not among its limits\n%s", want, limits)
		}
	}
}
