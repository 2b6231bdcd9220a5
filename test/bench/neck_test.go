package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// What the neck is measured with, unless the environment says otherwise.
const (
	transferSize    = 1 << 30 // BENCH_BYTES
	manyConnections = 200     // BENCH_CONNECTIONS
	manySize        = 1 << 20 // over each of them
	firstBytes      = 200     // connections in turn, for the latency of one
)

// number is a setting of the environment.
func number(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	if text := os.Getenv(name); text != "" {
		if _, err := fmt.Sscan(text, &otherwise); err != nil || otherwise < 1 {
			t.Fatalf("%s is %q: give a number", name, text)
		}
	}
	return otherwise
}

// TestNeck compares connections through the neck with those of a container that
// has a network card, a veth pair to the host, under the same runtime.
func TestNeck(t *testing.T) {
	client := filepath.Join(t.TempDir(), "transfer")
	build := exec.Command("go", "build", "-o", client, "./transfer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build transfer: %v: %s", err, output)
	}
	port := serveTransfers(t)
	size, connections := number(t, "BENCH_BYTES", transferSize), number(t, "BENCH_CONNECTIONS", manyConnections)
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			daemon := containerdtest.Start(t, containerdtest.Options{})
			daemon.ImportTestImage(t, bottletest.Namespace)
			u := bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
			neck, veth := throughNeck(t, u, runtime, client, port), throughVeth(t, u, runtime, client, port)
			both := func(what string, order string, args ...any) (ours, theirs float64) {
				side := func(name string, to *transfers) side {
					return side{name: name, do: func() error { return to.order(order, args...) }}
				}
				took := compare(t, what+", "+runtime, pairs(t), side("neck", neck), side("veth", veth))
				return took[0].Seconds(), took[1].Seconds()
			}
			ours, theirs := both(fmt.Sprintf("download %d MiB", size>>20), "down", size)
			showRate(size, ours, theirs)
			ours, theirs = both(fmt.Sprintf("upload %d MiB", size>>20), "up", size)
			showRate(size, ours, theirs)
			both(fmt.Sprintf("%d connections, 1 MiB each", connections), "many", connections, manySize)
			ours, theirs = both(fmt.Sprintf("first byte, %d times", firstBytes), "first", firstBytes)
			fmt.Printf("    first byte after %.3f ms and %.3f ms: the neck adds %.3f ms\n",
				ours*1000/firstBytes, theirs*1000/firstBytes, (ours-theirs)*1000/firstBytes)
		})
	}
}

// showRate shows speeds, where more is better.
func showRate(size int64, ours, theirs float64) {
	fmt.Printf("    %.0f MB/s and %.0f MB/s: speed is %.2f of veth's\n", float64(size)/ours/1e6, float64(size)/theirs/1e6, theirs/ours)
}

// transfers is a client that runs in a sandbox.
type transfers struct {
	address string
	in      io.Writer
	out     *bufio.Scanner
}

// order returns when the client has done what it was told.
func (c *transfers) order(what string, args ...any) error {
	line := what + " " + c.address
	for _, arg := range args {
		line += fmt.Sprint(" ", arg)
	}
	if _, err := fmt.Fprintln(c.in, line); err != nil {
		return err
	}
	if !c.out.Scan() {
		return fmt.Errorf("%s: the client is gone: %w", line, io.ErrUnexpectedEOF)
	}
	if c.out.Text() != "done" {
		return fmt.Errorf("%s: %s", line, c.out.Text())
	}
	return nil
}

// follow starts a command whose standard streams are the client's.
func follow(t *testing.T, command *exec.Cmd, address string) *transfers {
	t.Helper()
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // the client ends by itself
		_, _ = io.Copy(io.Discard, out)
		if err := command.Wait(); err != nil {
			t.Errorf("%v: %v: %s", command.Args, err, said.String())
		}
	})
	return &transfers{address, in, bufio.NewScanner(out)}
}

// throughNeck runs the client in a bottle.
func throughNeck(t *testing.T, u *bottletest.User, runtime, client string, port int) *transfers {
	t.Helper()
	name, address := bottletest.OwnName(t)
	program, err := os.ReadFile(client)
	if err != nil {
		t.Fatal(err)
	}
	u.Write("project/transfer", string(program))
	if err := os.Chmod(filepath.Join(u.Cwd, "transfer"), 0o755); err != nil {
		t.Fatal(err)
	}
	u.Write("home/.claude-bottle/bottles/default.md", fmt.Sprintf(`---
image: %s
egress: {allow: ["%s:%d"], private: [{host: %s, range: %s/32}]}
env: {FAKE_CLAUDE_RUN: ./transfer}
---
`, containerdtest.TestImage, name, port, name, address))
	command := u.Command("start", "tester", "--yes", "--cwd", "--quiet", "--runtime", runtime)
	return follow(t, command, fmt.Sprintf("%s:%d", name, port))
}

// throughVeth runs the client in a plain container with one end of a veth pair.
func throughVeth(t *testing.T, u *bottletest.User, runtime, client string, port int) *transfers {
	t.Helper()
	space := fmt.Sprintf("bench%d%s", os.Getpid(), runtime[:1])
	host := space + "h"
	ip := func(args ...string) {
		t.Helper()
		if output, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, output)
		}
	}
	ip("netns", "add", space)
	t.Cleanup(func() {
		// The pair goes with its namespace.
		if output, err := exec.Command("ip", "netns", "delete", space).CombinedOutput(); err != nil {
			t.Errorf("delete %s: %v: %s", space, err, output)
		}
	})
	ip("link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", space)
	ip("address", "add", "198.18.77.1/30", "dev", host)
	ip("link", "set", host, "up")
	ip("-n", space, "address", "add", "198.18.77.2/30", "dev", "eth0")
	ip("-n", space, "link", "set", "eth0", "up")
	ip("-n", space, "link", "set", "lo", "up")
	command := ctr(u, "run", "--rm", "--runc-binary", u.Daemon.RuntimePath(binaries[runtime]), "--with-ns", "network:/run/netns/"+space,
		"--mount", "type=bind,src="+filepath.Dir(client)+",dst=/bench,options=rbind:ro", containerdtest.TestImage, space, "/bench/transfer")
	return follow(t, command, fmt.Sprintf("198.18.77.1:%d", port))
}

// serveTransfers is the far end: it does what the first line of a connection says.
func serveTransfers(t *testing.T) (port int) {
	t.Helper()
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go transfer(conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().(*net.TCPAddr).Port
}

// transfer answers one connection of the client. What goes wrong the client sees.
func transfer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	from := bufio.NewReader(conn)
	var what string
	var size int64
	if _, err := fmt.Fscanln(from, &what, &size); err != nil {
		return
	}
	buffer := make([]byte, min(256<<10, size))
	switch what {
	case "up":
		for left := size - int64(from.Buffered()); left > 0; {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			left -= int64(n)
		}
		_, _ = conn.Write([]byte{1})
		return
	case "wait":
		if _, err := conn.Write([]byte{1}); err != nil {
			return
		}
		if _, err := from.ReadByte(); err != nil {
			return
		}
	}
	for left := size; left > 0; {
		n, err := conn.Write(buffer[:min(left, int64(len(buffer)))])
		if err != nil {
			return
		}
		left -= int64(n)
	}
}
