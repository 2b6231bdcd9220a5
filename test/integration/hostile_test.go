package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/attack/attempt"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/claude-bottle/claude-bottle/test/farend"
)

// TestT34_T37_T38_APID1ThatWasTakenOverGetsNoFurther puts an attacker where PID 1
// is: it has the neck, and asks the host itself. The far end judges.
func TestT34_T37_T38_APID1ThatWasTakenOverGetsNoFurther(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			program := takenOver(t) // goes last, for a teardown needs it
			u := newUser(t, "2.4")
			copyFile(t, u.Binary, program)
			u.Binary = program
			world := farend.New(t, farPorts(), farAnswers, farNames)
			all := &table{}
			all.hostileRequests()
			all.hostileFrames()
			if doubles := all.doubles(); len(doubles) > 0 {
				t.Fatalf("these are there twice: %q", doubles)
			}
			var lines bytes.Buffer
			for _, try := range all.tries {
				if err := json.NewEncoder(&lines).Encode(try.Attempt); err != nil {
					t.Fatal(err)
				}
			}
			u.Write("project/hostile.json", lines.String())
			bottle(u, fmt.Sprintf("egress: {allow: [%s, \"%s:%d\", \"*.%s\", \"*.%s\"]}", allowedHost, portHost, otherPort, wildSuffix, rebindSuffix))
			peak := watchMemory(t, u)
			var r bottletest.Result
			err := world.Host.Do(func() error {
				r = u.Run("start", "tester", "--yes", "--cwd", "--quiet", "--runtime", runtime)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			r.Want(t, 0)
			bottletest.Eventually(t, "the supervisor has logged all", func() bool { return len(u.Supervisors()) == 0 })
			if most := peak(); most == 0 || most > mostMemory {
				t.Errorf("the supervisor took %d MiB", most>>20)
			}
			checkOutcomes(t, all, r.Stdout)
			seen := world.Seen(t)
			checkArrivals(t, all, seen)
			checkWire(t, u, seen)
			checkLog(t, all, events(t, u))
			t.Logf("%d attempts; %d arrivals, packets %v; the supervisor took %d MiB", len(all.tries), len(seen.Arrivals), seen.Wire, peak()>>20)
		})
	}
}

// watchMemory follows the memory of the user's supervisor until it has ended.
// The returned function says how much it was at most.
func watchMemory(t *testing.T, u *bottletest.User) (peak func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	most, ended := 0, make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			for _, pid := range u.Supervisors() {
				status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
				if err != nil {
					continue
				}
				_, rest, _ := strings.Cut(string(status), "VmHWM:")
				var kilobytes int
				if _, err := fmt.Sscan(rest, &kilobytes); err == nil {
					most = max(most, kilobytes<<10)
				}
			}
		}
	}()
	return func() int {
		cancel()
		<-ended
		return most
	}
}

// takenOver makes a place for the program in which the attacker is PID 1.
func takenOver(t *testing.T) (program string) {
	t.Helper()
	dir, err := os.MkdirTemp("/opt", "claude-bottle-test-") //nolint:usetesting // root's alone, with all above it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // bottles run what is in it
		t.Fatal(err)
	}
	libexec, err := containerdtest.Libexec()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"runc", "runsc", "containerd-shim-runsc-v1"} {
		copyFile(t, filepath.Join(libexec, name), filepath.Join(dir, "libexec", name))
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "bin", "bottle-init"), "../attack/hostile-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build hostile-init: %v: %s", err, output)
	}
	return filepath.Join(dir, "bin", "claude-bottle")
}

// hostileRequests ask for what no name server inside would have let through.
func (t *table) hostileRequests() {
	ask := func(kind, host string, port uint16, send func(mark string) [][]byte) func(mark string) attempt.Attempt {
		return func(mark string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Request, Network: kind, Address: strings.ReplaceAll(host, "MARK", mark), Port: port, Send: send(mark)}
		}
	}
	web := func(host string) func(mark string) [][]byte {
		return func(mark string) [][]byte {
			return [][]byte{[]byte("GET /" + mark + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")}
		}
	}
	secure := func(host string) func(mark string) [][]byte {
		return func(mark string) [][]byte { return [][]byte{newHello(mark, host).record()} }
	}
	hosts := []string{
		"", ".", "..", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "fe80::1%lo", "10.0.0.1", "169.254.169.254", "2852039166", "0xa9.0xfe.0xa9.0xfe", allowedAt, "1572395042", wildAt6, "[" + wildAt6 + "]", "64:ff9b::5db8:d822", "127.0.0.1.", "127.0.0.1\x00.wild.example",
		"localhost", "evil.test", "MARK.evil.test", "example", "xallowed.example", "allowed.example.evil.test", "sub.allowed.example", "wild.example", "xwild.example", ".wild.example", "a..wild.example", "*.wild.example", "*", "*.example", "-a.wild.example", "a-.wild.example", "a_b.wild.example",
		"allowed.example\x00", "allowed.example\x00.evil.test", "\x00allowed.example", "evil.test\x00allowed.example", "allowed.example\r\n", "allowed.example\r\nHost: evil.test", "allowed.example ", " allowed.example", "\tallowed.example", "allowed.example:80", "allowed.example:443", "user@allowed.example", "user:password@allowed.example", "http://allowed.example", "allowed.example/", "allowed.example?", "allowed.example#", "allowed.example..", "allowed%2eexample", "%61llowed.example", "allowed\u3002example", "\u0430llowed.example", "\uff41llowed.example", "allowed.ex\u00adample", "\ufeffallowed.example", "\u202eallowed.example",
		strings.Repeat("a", 64) + ".wild.example", strings.Repeat("a.", 130) + "wild.example", strings.Repeat("a", 3000), "unix:/run/containerd/containerd.sock", "/run/containerd/containerd.sock", "@fence", "file:///etc/shadow",
	}
	refuse := func(name, host string, port uint16, send func(mark string) [][]byte) *try {
		added := t.refuse("request", name, ask("dial", host, port, send))
		added.host, added.port = added.Address, port // each is logged
		return added
	}
	for _, host := range hosts {
		for _, port := range []uint16{80, 443} {
			send := web(allowedHost)
			if port == 443 {
				send = secure(allowedHost)
			}
			refuse(fmt.Sprintf("dial %.80q, %d bytes, port %d", host, len(host), port), host, port, send).fails = true
		}
	}
	for _, port := range []uint16{0, 1, 22, 25, 53, 853, 2375, 6443, 8080, otherPort, 65535} {
		refuse(fmt.Sprintf("dial the allowed host on %d", port), allowedHost, port, web(allowedHost)).fails = true
	}
	for _, host := range []string{"a-7f000001", "a-0a000001", "a-a9fea9fe", "a-345f0702", "c-7f000001", "a-00000000000000000000000000000001", "a-fd000ec2000000000000000000000254"} {
		refuse("a name that leads to "+host, host+"."+rebindSuffix, 443, secure(host+"."+rebindSuffix))
	}
	for _, kind := range []string{"denied", "session", "names", "ready", "down", "", "DIAL", "dial ", "dial\x00", "udp", "listen", "resolve", "connect", "exec", "egress"} {
		t.refuse("request", fmt.Sprintf("of kind %q", kind), ask(kind, "MARK."+wildSuffix, 443, secure(allowedHost)))
	}
	refuse("another name in TLS", allowedHost, 443, secure("evil.test"))
	refuse("another host in HTTP", allowedHost, 80, web("evil.test"))
	t.allow("request", "HTTP to the allowed host", ask("dial", allowedHost, 80, web(allowedHost)))
	t.allow("request", "TLS to the allowed host", ask("dial", allowedHost, 443, secure(allowedHost)))
	t.allow("request", "the allowed host in capitals", ask("dial", "ALLOWED.Example.", 80, web(allowedHost)))
	t.allow("request", "a name below a suffix", ask("dial", "b."+wildSuffix, 443, secure("b."+wildSuffix)))
	t.allow("request", "another port", ask("dial", portHost, otherPort, func(mark string) [][]byte { return [][]byte{[]byte(mark)} }))
}

// hostileFrames break the rules of the link below the requests.
func (t *table) hostileFrames() {
	send := func(name string, pieces func(mark string) [][]byte) {
		t.refuse("frames", name, func(mark string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Frames, Send: pieces(mark)}
		})
	}
	for name, frame := range map[string][]byte{
		"nothing": nil, "another version": yamuxFrame(7, yamuxData, yamuxBegin, 1, 0, ""), "another kind": yamuxFrame(0, 200, yamuxBegin, 1, 0, ""), "every flag": yamuxFrame(0, yamuxData, 0xffff, 1, 0, ""), "stream 0": yamuxFrame(0, yamuxData, yamuxBegin, 0, 4, "evil"), "a stream of the host's": yamuxFrame(0, yamuxData, yamuxBegin, 2, 4, "evil"),
		"a stream that is none": yamuxFrame(0, yamuxData, 0, 999, 4, "evil"), "the same stream twice": append(yamuxFrame(0, yamuxData, yamuxBegin, 1, 0, ""), yamuxFrame(0, yamuxData, yamuxBegin, 1, 0, "")...), "4 GiB": yamuxFrame(0, yamuxData, yamuxBegin, 1, 0xffffffff, strings.Repeat("evil", 1<<16)), "a window that overflows": append(yamuxFrame(0, yamuxWindow, yamuxBegin, 1, 0xffffffff, ""), yamuxFrame(0, yamuxWindow, 0, 1, 0xffffffff, "")...),
		"more than the window": append(yamuxFrame(0, yamuxData, yamuxBegin, 1, 1<<20, ""), bytes.Repeat([]byte("x"), 1<<20)...), "10,000 pings": bytes.Repeat(yamuxFrame(0, yamuxPing, yamuxBegin, 0, 1, ""), 10_000), "10,000 streams": manyStreams(10_000), "away": yamuxFrame(0, yamuxAway, 0, 0, 2, ""), "half a head": []byte("\x00\x00\x00"), "text": []byte("GET / HTTP/1.1\r\n\r\n"),
		"a long request": yamuxFrame(0, yamuxData, yamuxBegin, 1, 4, "\xff\xff\xff\xff"), "an empty request": yamuxFrame(0, yamuxData, yamuxBegin, 1, 4, "\x00\x00\x00\x00"), "no JSON": yamuxFrame(0, yamuxData, yamuxBegin, 1, 8, "\x00\x00\x00\x04evil"), "a list": yamuxFrame(0, yamuxData, yamuxBegin, 1, 6, "\x00\x00\x00\x02[]"), "deep JSON": deepRequest(),
	} {
		send(name, func(mark string) [][]byte { return [][]byte{frame, dialRequest(101, mark+".evil.test", 443)} })
	}
	// A million of each in all: the memory of the supervisor is watched.
	for name, frame := range map[string][]byte{
		"pings": yamuxFrame(0, yamuxPing, yamuxBegin, 0, 1, ""), "answers to no ping": yamuxFrame(0, yamuxPing, 2, 0, 1, ""), "the end of no stream": yamuxFrame(0, yamuxData, 4, 1, 0, ""), "windows of no stream": yamuxFrame(0, yamuxWindow, 0, 9, 1, ""), "data of no stream": yamuxFrame(0, yamuxData, 0, 9, 4, "evil"),
	} {
		t.refuse("frames", "a million "+name, func(string) attempt.Attempt {
			return attempt.Attempt{Kind: attempt.Frames, Send: [][]byte{bytes.Repeat(frame, 10_000)}, Again: 99}
		})
	}
}

// manyStreams begins streams, and never says what for.
func manyStreams(count int) (frames []byte) {
	for i := range count {
		frames = append(frames, yamuxFrame(0, yamuxWindow, yamuxBegin, uint32(2*i+1), 0, "")...)
	}
	return frames
}

func deepRequest() []byte {
	body := "\x00\x00\x0b\xb8" + strings.Repeat("[", 3000)
	return yamuxFrame(0, yamuxData, yamuxBegin, 1, uint32(len(body)), body)
}
