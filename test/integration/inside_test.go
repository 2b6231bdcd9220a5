package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// attacks runs the attack in a bottle, from the working directory that is copied
// in, and returns what it says by name of attempt, and as it is.
func attacks(t *testing.T, u *bottletest.User, runtime string, args string, lines ...string) (map[string]string, string) {
	t.Helper()
	program(t, u)
	does(u, "./attack "+args, lines...)
	r := u.Run("start", "tester", "--yes", "--cwd", "--quiet", "--runtime", runtime).Want(t, 0)
	said := map[string]string{}
	for line := range strings.Lines(r.Stdout) {
		if name, how, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); ok {
			said[name] = how
		}
	}
	return said, r.Stdout
}

func TestT4_SystemCallsThatNoAgentNeedsAreRefused(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		said, all := attacks(t, u, runtime, "calls")
		if len(said) < 40 {
			t.Fatalf("only %d attempts:\n%s", len(said), all)
		}
		for name, how := range said {
			if how == "done" {
				t.Errorf("%s was let through", name)
			}
		}
	})
}

func TestT3_NoCapabilityNoRootInInitAndInClaude(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		_, all := attacks(t, u, runtime, "identity")
		for _, process := range []string{"1", "self"} {
			for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
				if set == "CapAmb" && runtime == "gvisor" {
					continue // gVisor does not show it
				}
				bottletest.Contains(t, all, process+" "+set+" 0000000000000000\n")
			}
		}
		bottletest.Contains(t, all, "self no_new_privs 1\n", "self Seccomp 2\n", "1 Seccomp 2\n")
		if runtime == "runc" {
			bottletest.Contains(t, all, "1 NoNewPrivs 1\n")
		}
		ids := regexp.MustCompile(`ids: (\d+) (\d+) (\d+) (\d+)`).FindStringSubmatch(all)
		if ids == nil || ids[1] == "0" || ids[1] != ids[2] || ids[3] == "0" || ids[3] != ids[4] || ids[1] != ids[3] {
			t.Errorf("ids are %v", ids)
		}
	})
}

func TestT10_T43_FilesOfHostAndImageAreClosed(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		said, all := attacks(t, u, runtime, "files")
		devices := `^/dev/(null|zero|full|random|urandom|tty|ptmx|console|net/tun|pts/(ptmx|\d+))$`
		if runtime == "gvisor" {
			// gVisor's own: there is no device of the host's behind it.
			delete(said, "write /dev/fuse")
			devices = strings.Replace(devices, "console", "console|fuse", 1)
		}
		for name, how := range said {
			if how == "done" {
				t.Errorf("%s was let through", name)
			}
		}
		for line := range strings.Lines(all) {
			line = strings.TrimSpace(line)
			if path, ok := strings.CutPrefix(line, "socket at "); ok && !strings.HasSuffix(path, "/neck.sock") {
				t.Errorf("T43: there is a socket at %s", path)
			}
			if path, ok := strings.CutPrefix(line, "device at "); ok && !regexp.MustCompile(devices).MatchString(path) {
				t.Errorf("T10: there is a device at %s", path)
			}
			if path, ok := strings.CutPrefix(line, "descriptor to "); ok && !regexp.MustCompile(`^(pipe:|socket:|anon_inode:|host:|/dev/null$|/dev/pts/)`).MatchString(path) {
				t.Errorf("T8: there is a descriptor to %s", path)
			}
		}
	})
}

func TestT33_NothingButTheNeckLeadsOut(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		arrivals, targets := listeners(t)
		said, all := attacks(t, u, runtime, "dials "+strings.Join(targets, " "))
		for _, target := range targets {
			if how := said["dial "+target]; how == "done" || how == "" {
				t.Errorf("%s: %q", target, how)
			}
		}
		if t.Failed() {
			t.Log(all)
		}
		select {
		case where := <-arrivals:
			t.Errorf("the host saw a packet at %s", where)
		default:
		}
		_, all = attacks(t, u, runtime, "identity")
		interfaces := regexp.MustCompile(`(?m)^/proc/net/dev\s+(\w+):`).FindAllStringSubmatch(all, -1)
		if len(interfaces) != 1 || interfaces[0][1] != "lo" {
			t.Errorf("interfaces are %v", interfaces)
		}
	})
}

// listeners are sockets of the host on each of its addresses, and many targets
// that lead elsewhere.
func listeners(t *testing.T) (arrivals chan string, targets []string) {
	t.Helper()
	arrivals = make(chan string, 100)
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range own {
		address := entry.(*net.IPNet).IP
		if address.IsLinkLocalUnicast() {
			continue
		}
		tcp, err := net.Listen("tcp", net.JoinHostPort(address.String(), "0"))
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", net.JoinHostPort(address.String(), "0"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tcp.Close(); _ = udp.Close() })
		targets = append(targets, "tcp="+tcp.Addr().String(), "udp="+udp.LocalAddr().String())
		go func() {
			for {
				conn, err := tcp.Accept()
				if err != nil {
					return
				}
				arrivals <- tcp.Addr().String()
				_ = conn.Close()
			}
		}()
		go func() {
			if _, _, err := udp.ReadFrom(make([]byte, 1)); err == nil {
				arrivals <- udp.LocalAddr().String()
			}
		}()
	}
	name := fmt.Sprintf("@claude-bottle-test-%d", os.Getpid())
	abstract, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = abstract.Close() })
	go func() {
		if conn, err := abstract.Accept(); err == nil {
			arrivals <- name
			_ = conn.Close()
		}
	}()
	targets = append(targets, "unix="+name)
	for _, address := range []string{
		"1.1.1.1", "8.8.8.8", "169.254.169.254", "169.254.170.2", "10.0.0.1", "10.88.0.1", "172.17.0.1", "172.16.0.1", "192.168.0.1", "192.168.1.1", "100.64.0.1",
		"100.100.100.200", "224.0.0.251", "255.255.255.255", "[2606:4700:4700::1111]", "[fd00:ec2::254]", "[fe80::1%25lo]", "[ff02::1]",
	} {
		address = strings.Replace(address, "%25", "%", 1)
		for _, service := range []string{"tcp=%s:443", "udp=%s:53", "udp=%s:443"} {
			targets = append(targets, fmt.Sprintf(service, address))
		}
	}
	for _, address := range []string{"1.1.1.1", "169.254.169.254", "127.0.0.1"} {
		targets = append(targets, "ip4:icmp="+address)
	}
	// Loopback addresses that stand for no host, and the gateway's on other ports.
	for _, port := range []int{22, 443, 2375, 2376, 6443, 10250} {
		targets = append(targets, "tcp=127.0.0.1:"+strconv.Itoa(port), "tcp=[::1]:"+strconv.Itoa(port), "tcp=127.77.0.1:"+strconv.Itoa(port))
	}
	if len(targets) < 60 {
		t.Fatalf("only %d targets", len(targets))
	}
	return arrivals, targets
}

func TestT2_EveryNamespaceIsTheBottlesOwn(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "echo ready; cat")
		s := u.OnTerminal("start", "tester", "--yes", "--runtime", runtime)
		s.Shows("ready")
		ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
		list, err := u.Daemon.Client().Containers(ctx)
		if err != nil || len(list) != 1 {
			t.Fatalf("containers are %v, %v", list, err)
		}
		task, err := list[0].Task(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		kinds := []string{"ipc", "mnt", "net", "pid", "uts"}
		if runtime == "runc" {
			kinds = append(kinds, "cgroup")
		}
		if strings.Contains(t.Name(), "containerd-2") {
			kinds = append(kinds, "user")
		}
		for _, kind := range kinds {
			ours, err := os.Readlink("/proc/self/ns/" + kind)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", task.Pid(), kind))
			if err != nil || theirs == ours {
				t.Errorf("%s namespace: %s, the host's is %s, %v", kind, theirs, ours, err)
			}
		}
		s.Types("\x04")
		s.Ends()
	})
}

func TestT50_AForkBombEndsAtItsLimit(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		said, all := attacks(t, u, runtime, "forks 2000", "resources: {processes: 100}")
		forks, err := strconv.Atoi(said["forks"])
		if err != nil || forks < 50 || forks > 100 {
			t.Errorf("100 processes are allowed, and there were:\n%s", all)
		}
		bottletest.Contains(t, said["fork"], "resource temporarily unavailable")
	})
}

func TestT51_MemoryEndsTheBottleAndNotItsWork(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		program, err := os.ReadFile(attack)
		if err != nil {
			t.Fatal(err)
		}
		u.Write("project/attack", string(program))
		if err := os.Chmod(filepath.Join(u.Cwd, "attack"), 0o755); err != nil {
			t.Fatal(err)
		}
		does(u, "echo done > work.txt; sync; exec ./attack memory", "resources: {memory: 256Mi}")
		r := u.Run("start", "tester", "--yes", "--cwd", "--runtime", runtime)
		if r.Code != 137 {
			t.Errorf("exit code %d\n%s", r.Code, r.Stderr)
		}
		if got := u.Work("work.txt"); got != "done\n" {
			t.Errorf("the work is %q", got)
		}
	})
}

func TestT51_TemporaryFilesAreBounded(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		said, all := attacks(t, u, runtime, "fill /tmp /dev/shm", "resources: {tmp: 32Mi}")
		for _, directory := range []string{"/tmp", "/dev/shm"} {
			bottletest.Contains(t, said["fill "+directory], "no space left on device")
		}
		for _, match := range regexp.MustCompile(`filled (\S+) (\d+) MiB`).FindAllStringSubmatch(all, -1) {
			if size, _ := strconv.Atoi(match[2]); size > 64 {
				t.Errorf("%s took %d MiB", match[1], size)
			}
		}
	})
}
