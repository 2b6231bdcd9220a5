package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/test/attack/attempt"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/farend"
)

// fewestAttempts is how many distinct ones there must be for a runtime.
const fewestAttempts = 400

// farPorts are where the far end listens, beside its name server.
func farPorts() []uint16 { return []uint16{22, 80, 443, 2375, 8080, otherPort} }

// TestT33_T35_T39_T34_T36_T37_T38_T40_NothingButThePolicyLeavesABottle makes every
// attempt of the table in a real bottle, whose supervisor lives on a host of its
// own with the whole internet behind one wire. What got out is said by who
// listens there, by the packets on the wire and by the kernel's counters.
func TestT33_T35_T39_T34_T36_T37_T38_T40_NothingButThePolicyLeavesABottle(t *testing.T) {
	for _, version := range versions() {
		for _, runtime := range bottletest.Runtimes() {
			t.Run("containerd-"+version+"/"+runtime, func(t *testing.T) { tryFence(t, newUser(t, version), runtime) })
		}
	}
}

func tryFence(t *testing.T, u *bottletest.User, runtime string) {
	world := farend.New(t, farPorts(), farAnswers, farNames)
	all := newTable(world.Own, abstractSockets(t, world))
	if doubles := all.doubles(); len(all.tries)-len(doubles) < fewestAttempts || len(doubles) > 0 {
		t.Fatalf("%d attempts, want %d distinct ones; these are there twice: %q", len(all.tries), fewestAttempts, doubles)
	}
	for file, later := range map[string]bool{"first.json": false, "later.json": true} {
		var lines bytes.Buffer
		for _, try := range all.tries {
			if try.later == later {
				data, err := json.Marshal(try.Attempt)
				if err != nil {
					t.Fatal(err)
				}
				lines.Write(append(data, '\n'))
			}
		}
		u.Write("project/"+file, lines.String())
	}
	program, err := os.ReadFile(attack)
	if err != nil {
		t.Fatal(err)
	}
	u.Write("project/attack", string(program))
	if err := os.Chmod(u.Cwd+"/attack", 0o755); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	does(u, "./attack fence first.json && ./attack fence later.json; echo work > kept.txt",
		fmt.Sprintf("egress: {allow: [%s, \"%s:%d\", %s, \"*.%s\", \"*.%s\"]}", allowedHost, portHost, otherPort, retryHost, wildSuffix, rebindSuffix))
	var r bottletest.Result
	err = world.Host.Do(func() error {
		r = u.Run("start", "tester", "--yes", "--cwd", "--quiet", "--runtime", runtime)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Want(t, 0)
	bottletest.Eventually(t, "the supervisor has logged all", func() bool { return len(u.Supervisors()) == 0 })
	checkOutcomes(t, all, r.Stdout)
	seen := world.Seen(t)
	checkArrivals(t, all, seen)
	checkWire(t, u, seen)
	checkQuestions(t, all, world.Asked())
	checkLog(t, all, events(t, u))
	t.Logf("%d attempts; %d arrivals, %d connections begun, packets %v", len(all.tries), len(seen.Arrivals), seen.Begun, seen.Wire)
}

// abstractSockets are sockets of the host's, in either network namespace.
func abstractSockets(t *testing.T, world *farend.World) []string {
	t.Helper()
	listen := func(name string) error {
		listener, err := net.Listen("unix", name)
		if err == nil {
			t.Cleanup(func() { _ = listener.Close() })
			go func() {
				if conn, err := listener.Accept(); err == nil {
					t.Errorf("somebody dialled %s", name)
					_ = conn.Close()
				}
			}()
		}
		return err
	}
	names := []string{fmt.Sprintf("@fence-near-%d", os.Getpid()), fmt.Sprintf("@fence-host-%d", os.Getpid())}
	if err := listen(names[0]); err != nil {
		t.Fatal(err)
	}
	if err := world.Host.Do(func() error { return listen(names[1]) }); err != nil {
		t.Fatal(err)
	}
	return names
}

// checkOutcomes wants an outcome of every attempt, and a failure of those that
// have no far end.
func checkOutcomes(t *testing.T, all *table, output string) {
	t.Helper()
	outcomes := map[string]attempt.Outcome{}
	for line := range strings.Lines(output) {
		var outcome attempt.Outcome
		if err := json.Unmarshal([]byte(line), &outcome); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		outcomes[outcome.Name] = outcome
	}
	for _, try := range all.tries {
		outcome, ok := outcomes[try.Name]
		switch {
		case !ok:
			t.Errorf("%s was not made", try.Name)
		case try.fails && outcome.Error == "":
			t.Errorf("%s did not fail", try.Name)
		case try.allowed && len(outcome.Answer) == 0:
			t.Errorf("%s has no answer: %s", try.Name, outcome.Error)
		}
	}
}

// checkArrivals compares the marks that came with those that may.
func checkArrivals(t *testing.T, all *table, seen farend.Seen) {
	t.Helper()
	arrived := map[string]bool{}
	for _, arrival := range seen.Arrivals {
		marks := anyMark.FindAllString(string(arrival.Data), -1)
		for _, mark := range marks {
			arrived[mark] = true
		}
		if len(arrival.Data) > 0 && len(marks) == 0 {
			t.Errorf("nobody knows what this at %s %s is: %.200q", arrival.Network, arrival.To, arrival.Data)
		}
	}
	for _, try := range all.tries {
		switch {
		case try.allowed && !arrived[try.mark]:
			t.Errorf("%s (%s) did not arrive", try.Name, try.mark)
		case !try.allowed && arrived[try.mark]:
			t.Errorf("%s (%s) ARRIVED", try.Name, try.mark)
		case !try.allowed && bytes.Contains(bytes.ToLower(seen.Bytes), []byte(try.mark)):
			t.Errorf("%s (%s) was in a packet", try.Name, try.mark)
		}
	}
}

// checkWire looks at where packets went.
func checkWire(t *testing.T, u *bottletest.User, seen farend.Seen) {
	t.Helper()
	may := map[farend.Packet]bool{}
	for _, at := range []string{allowedAt, retryAt, wildAt, rebindAt, wildAt6} {
		for _, port := range []uint16{80, 443} {
			may[farend.Packet{Protocol: "tcp", To: netip.AddrPortFrom(netip.MustParseAddr(at), port)}] = true
		}
	}
	may[farend.Packet{Protocol: "tcp", To: netip.AddrPortFrom(netip.MustParseAddr(portAt), otherPort)}] = true
	servers := nameServers(t)
	for packet, count := range seen.Wire {
		question := packet.Protocol == "udp" && packet.To.Port() == 53 && slices.Contains(servers, packet.To.Addr().String())
		if !may[packet] && !question {
			t.Errorf("%d packets went to %s by %s", count, packet.To, packet.Protocol)
		}
	}
	if len(seen.Wire) < 5 {
		t.Errorf("only these packets went out: %v", seen.Wire)
	}
	for packet, count := range seen.Loopback {
		question := packet.To.Addr().IsLoopback() && slices.Contains(servers, packet.To.Addr().String())
		if !question {
			t.Errorf("%d packets went to the host itself, %s by %s", count, packet.To, packet.Protocol)
		}
	}
	if seen.Begun != seen.Opened {
		t.Errorf("the kernel counts %d connections, the wire %d", seen.Opened, seen.Begun)
	}
}

// nameServers are those that this machine asks.
func nameServers(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Fatal(err)
	}
	servers := []string{"127.0.0.1", "::1"} // when it names none
	for _, match := range regexp.MustCompile(`(?m)^nameserver\s+(\S+)`).FindAllStringSubmatch(string(data), -1) {
		servers = append(servers, match[1])
	}
	return servers
}

// checkQuestions wants no question upstream but for names that are allowed and
// were dialled.
func checkQuestions(t *testing.T, all *table, asked map[string]int) {
	t.Helper()
	for question := range asked {
		_, name, _ := strings.Cut(question, " ")
		name = strings.TrimSuffix(name, ".")
		if !slices.ContainsFunc([]string{allowedHost, portHost, retryHost, wildSuffix, rebindSuffix}, func(host string) bool { return strings.Contains(name, host) }) {
			t.Errorf("it was asked for %s", question)
		}
		if strings.Contains(name, "evil") {
			t.Errorf("T36: a question carries %s", question)
		}
	}
	if len(asked) < 20 {
		t.Errorf("only these names were asked for: %v", asked)
	}
}

// checkLog wants each refused connection and each denied name in the audit log.
func checkLog(t *testing.T, all *table, log []egress.Event) {
	t.Helper()
	type target struct {
		host string
		port uint16
	}
	refused, names := map[target]int{}, map[string]bool{}
	for _, event := range log {
		switch {
		case event.Kind == "dial" && !event.Allowed && event.Reason != "":
			refused[target{event.Host, event.Port}]++
		case event.Kind == "name" && !event.Allowed:
			names[event.Host] = true
		}
	}
	wanted := map[target]int{}
	for _, try := range all.tries {
		if try.host != "" {
			wanted[target{backend.Printable(try.host), try.port}]++
		}
		if try.denied != "" && !names[backend.Printable(try.denied)] {
			t.Errorf("%s: %q is not logged as denied", try.Name, backend.Printable(try.denied))
		}
	}
	for at, count := range wanted {
		if refused[at] != count {
			t.Errorf("%s:%d was refused %d times, and %d times it is logged", at.host, at.port, count, refused[at])
		}
	}
	if len(wanted) < 40 {
		t.Errorf("only %d targets are to be logged", len(wanted))
	}
}
