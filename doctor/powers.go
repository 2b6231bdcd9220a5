package doctor

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var (
	aboutPowers = subject{"powers", "powers"}
	aboutLimits = subject{"ulimits", "ulimits"}
	aboutClock  = subject{"clock", "clock"}
)

// power is a capability that this program uses.
type power struct {
	name string
	bit  int
	// remedy is for one that bottles can do without; "" for one that they can't.
	remedy string
}

// powers are in the order of linux/capability.h.
func powers() []power {
	return []power{
		{"CAP_CHOWN", unix.CAP_CHOWN, ""},
		{"CAP_DAC_OVERRIDE", unix.CAP_DAC_OVERRIDE, ""},
		{"CAP_FOWNER", unix.CAP_FOWNER, ""},
		{"CAP_KILL", unix.CAP_KILL, ""},
		{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN, ""},
		{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE, "grant it: what else runs here can't be told apart without"},
		{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN, ""},
		{"CAP_SYS_RESOURCE", unix.CAP_SYS_RESOURCE, "nothing, unless you want gVisor's own shim or limits above this process's: then grant it"},
	}
}

// powerFacts are who this process is and what it may do.
type powerFacts struct {
	uid int
	// effective are the capabilities as bits.
	effective uint64
	err       error
}

func gatherPowers() powerFacts {
	data, err := os.ReadFile("/proc/self/status")
	facts := powerFacts{uid: os.Geteuid(), err: err}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			facts.effective, facts.err = strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return facts
}

func judgePowers(f powerFacts) Check {
	if f.uid != 0 {
		return aboutPowers.missing("run it with sudo", "uid %d: root is needed to reach containerd and to make namespaces", f.uid)
	}
	if f.err != nil {
		return aboutPowers.unknown("", "capabilities can't be read: %v", f.err)
	}
	var needed, useful, remedies []string
	for _, power := range powers() {
		switch {
		case f.effective&(1<<power.bit) != 0:
		case power.remedy == "":
			needed = append(needed, power.name)
		default:
			useful = append(useful, power.name)
			remedies = append(remedies, power.name+": "+power.remedy)
		}
	}
	without := strings.Join(slices.Concat(needed, useful), ", ")
	switch {
	case len(needed) > 0:
		return aboutPowers.missing("run it on the host, or grant "+strings.Join(needed, ", ")+" to this container", "root without %s", without)
	case len(useful) > 0:
		return aboutPowers.warning(strings.Join(remedies, "; "), "root without %s", without)
	default:
		return aboutPowers.ok("root with every capability that is used")
	}
}

// limitFacts are the hard limits of this process, which bottles can't get over.
type limitFacts struct {
	files, processes uint64
	err              error
}

func gatherLimits() limitFacts {
	var files, processes unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return limitFacts{err: err}
	}
	err := unix.Getrlimit(unix.RLIMIT_NPROC, &processes)
	return limitFacts{files: files.Max, processes: processes.Max, err: err}
}

// judgeLimits compares them with what a bottle gets whose file says nothing.
func judgeLimits(f limitFacts, wantFiles, wantProcesses int64) Check {
	if f.err != nil {
		return aboutLimits.unknown("", "can't be read: %v", f.err)
	}
	found := fmt.Sprintf("open files %s, processes %s", limit(f.files), limit(f.processes))
	if f.files < uint64(wantFiles) || f.processes < uint64(wantProcesses) {
		return aboutLimits.warning(fmt.Sprintf("raise the hard limits to %d open files (ulimit -n) and %d processes (ulimit -u), also those of containerd: bottles get no more than these",
			wantFiles, wantProcesses), "%s", found)
	}
	return aboutLimits.ok("%s", found)
}

func limit(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// judgeClock says whether it may be that time. A clock that is wrong makes every
// certificate wrong.
func judgeClock(now, built time.Time) Check {
	said := now.UTC().Format(time.RFC3339)
	if now.Before(built) {
		return aboutClock.missing("set the clock, as by `timedatectl set-ntp true`: certificates are judged by it",
			"%s, which is before this program was made (%s)", said, built.UTC().Format(time.RFC3339))
	}
	return aboutClock.ok("%s", said)
}
