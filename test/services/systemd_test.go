package services

import (
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

const unit = "claude-bottle-controller"

// property is what systemd knows of the controller.
func (m *machine) property(name string) string {
	m.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "--property", name, "--value", unit).Want(m, 0).Stdout)
}

// awaitSystemd waits until all units of the boot have started.
func (m *machine) awaitSystemd() {
	m.Helper()
	bottletest.Eventually(m, "systemd has booted", func() bool {
		return strings.TrimSpace(m.run("systemctl", "is-system-running").Stdout) == "running"
	})
}

// TestF3_F15_TheControllerIsAServiceOfSystemd, from the installation of the package to its removal.
func TestF3_F15_TheControllerIsAServiceOfSystemd(t *testing.T) {
	m := newMachine(t, "systemd")
	m.awaitSystemd()
	m.run("dpkg", "--install", "/root/claude-bottle.deb").Want(t, 0)
	if enabled := m.run("systemctl", "is-enabled", unit).Stdout; enabled != "disabled\n" {
		t.Errorf("the package has made the controller %q", enabled)
	}
	m.addUsers()
	m.run("systemctl", "enable", "--now", unit).Want(t, 0)
	if state, kind := m.property("ActiveState"), m.property("Type"); state != "active" || kind != "notify" {
		t.Errorf("the controller is %q, of type %q", state, kind)
	}
	m.served() // nobody but the service has started the engine
	bottletest.Eventually(t, "the controller says that it is well", m.healthy)
	if is := m.run("stat", "--format", "%F %U %G %a", "/run/claude-bottle.sock").Stdout; is != "socket root claude-bottle 660\n" {
		t.Errorf("the socket is a %s", is)
	}
	bottletest.Eventually(t, "the journal has what it says", func() bool {
		said := m.run("journalctl", "--unit", unit).Stdout
		return strings.Contains(said, `msg="watch over bottles"`) && strings.Contains(said, `msg="serve users"`)
	})
	m.starts()
	m.bottlesOutlast("a stop of the engine", m.withoutEngine)
	m.endsAndBegins(t)
	m.upgrades(t)
	m.rebooted(t)
	m.removed(t)
}

// endsAndBegins: bottles go on, whatever becomes of the controller.
func (m *machine) endsAndBegins(t *testing.T) {
	t.Helper()
	m.bottlesOutlast("systemctl restart", func() { m.run("systemctl", "restart", unit).Want(t, 0) })
	m.bottlesOutlast("systemctl stop and start", func() {
		m.run("systemctl", "stop", unit).Want(t, 0)
		if state := m.property("ActiveState"); state != "inactive" {
			t.Errorf("a controller that was stopped is %q", state)
		}
		m.as("root", "exec", "lives", "--", "true").Want(t, 0)
		m.run("systemctl", "start", unit).Want(t, 0)
	})
	m.bottlesOutlast("a kill", func() {
		before := m.property("MainPID")
		m.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit).Want(t, 0)
		bottletest.Eventually(t, "systemd starts it again", func() bool {
			now := m.property("MainPID")
			return now != before && now != "0" && m.property("ActiveState") == "active" && m.healthy()
		})
	})
}

// upgrades installs the package over itself.
func (m *machine) upgrades(t *testing.T) {
	t.Helper()
	m.bottlesOutlast("an upgrade", func() {
		before := m.property("MainPID")
		m.run("dpkg", "--install", "/root/claude-bottle.deb").Want(t, 0)
		if after := m.property("MainPID"); after == before || after == "0" {
			t.Errorf("the controller %s became %s", before, after)
		}
		if enabled := m.run("systemctl", "is-enabled", unit).Stdout; enabled != "enabled\n" {
			t.Errorf("an upgrade has made the controller %q", enabled)
		}
	})
}

// rebooted powers the machine off while bottles run, and on again: they are kept, and say
// what they wait for.
func (m *machine) rebooted(t *testing.T) {
	t.Helper()
	// A child of nsenter would stop its parent, when the host's shutdown stops all processes for a moment.
	m.run("sh", "-c", "setsid claude-bottle start lives --name front --yes --quiet </dev/null >/dev/null 2>&1 &").Want(t, 0)
	bottletest.Eventually(t, "a bottle runs in the foreground", func() bool {
		return m.as("root", "exec", "front", "--", "true").Code == 0
	})
	m.run("systemctl", "--no-block", "poweroff").Want(t, 0)
	m.awaitOff()
	// Who has not ended a minute and a half after it was told is killed.
	if console := m.console.String(); strings.Contains(console, "SIGKILL to PID") {
		t.Errorf("it has waited in vain for somebody:\n%s", console)
	}
	m.powerOn()
	m.awaitSystemd()
	m.lostButKept()
}

// removed removes the package: the controller goes, and bottles stay.
func (m *machine) removed(t *testing.T) {
	t.Helper()
	m.bottlesOutlast("a removal, and an installation", func() {
		m.run("apt-get", "remove", "--yes", "claude-bottle").Want(t, 0)
		if state := m.property("LoadState"); state != "not-found" {
			t.Errorf("of a package that was removed there is the unit, %q", state)
		}
		for _, left := range []string{"/run/claude-bottle.sock", "/etc/systemd/system/multi-user.target.wants/" + unit + ".service"} {
			if m.run("test", "-e", left, "-o", "-L", left).Code == 0 {
				t.Errorf("%s is left", left)
			}
		}
		m.run("dpkg", "--install", "/root/claude-bottle.deb").Want(t, 0)
		m.run("systemctl", "enable", "--now", unit).Want(t, 0)
	})
	for _, user := range members() {
		m.as(user, "stop", "lives").Want(t, 0)
	}
}
