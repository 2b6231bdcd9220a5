package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// loop is a claude that runs what it finds in its workspace, side by side, until
// it is told to stop.
const loop = `i=0; touch ready
while [ ! -e stop ]; do
	if [ -e do$i ]; then
		( sh do$i > out$i.part 2>&1; echo "exit $?" >> out$i.part; mv out$i.part out$i ) &
		i=$((i+1))
	else
		sleep 0.05
	fi
done
`

// busy is a bottle that does as the test says, while it runs.
type busy struct {
	*bottletest.User
	process        *exec.Cmd
	ended          chan struct{} // closed when the process has ended
	stdout, stderr bytes.Buffer
	workspace      string
	orders         int
}

// occupied starts a bottle that waits for orders. It has the attack at hand.
func occupied(t *testing.T, u *bottletest.User, runtime string, lines ...string) *busy {
	t.Helper()
	program, err := os.ReadFile(attack)
	if err != nil {
		t.Fatal(err)
	}
	u.Write("project/attack", string(program))
	u.Write("project/loop.sh", loop)
	if err := os.Chmod(filepath.Join(u.Cwd, "attack"), 0o755); err != nil {
		t.Fatal(err)
	}
	does(u, "sh loop.sh", lines...)
	ready := filepath.Join(u.Root, "*", "bottles", "*", "workspace", "ready")
	earlier, _ := filepath.Glob(ready)
	b := &busy{User: u, process: u.Command("start", "tester", "--yes", "--cwd", "--runtime", runtime), ended: make(chan struct{})}
	b.process.Stdout, b.process.Stderr = &b.stdout, &b.stderr
	if err := b.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = b.process.Wait(); close(b.ended) }()
	t.Cleanup(func() {
		_ = b.process.Process.Signal(syscall.SIGTERM) // no more than an error when it has ended
		<-b.ended
	})
	bottletest.Eventually(t, "the bottle is ready", func() bool {
		found, _ := filepath.Glob(ready)
		found = slices.DeleteFunc(found, func(path string) bool { return slices.Contains(earlier, path) })
		if len(found) == 1 {
			b.workspace = filepath.Dir(found[0])
		}
		return len(found) == 1
	})
	return b
}

// order has a command run inside, and returns what waits for its output.
func (b *busy) order(command string) (output func() string) {
	b.Helper()
	number := b.orders
	b.orders++
	part := filepath.Join(b.workspace, "order.part")
	if err := os.WriteFile(part, []byte(command+"\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(part, filepath.Join(b.workspace, fmt.Sprintf("do%d", number))); err != nil {
		b.Fatal(err)
	}
	return func() string {
		b.Helper()
		var text []byte
		bottletest.Eventually(b, command, func() (done bool) {
			var err error
			text, err = os.ReadFile(filepath.Join(b.workspace, fmt.Sprintf("out%d", number)))
			return err == nil
		})
		return string(text)
	}
}

// stops ends the bottle.
func (b *busy) stops() bottletest.Result {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.workspace, "stop"), nil, 0o644); err != nil {
		b.Fatal(err)
	}
	select {
	case <-b.ended:
	case <-time.After(bottletest.Patience):
		b.Fatal("the bottle does not end")
	}
	return bottletest.Result{Stdout: b.stdout.String(), Stderr: b.stderr.String(), Code: b.process.ProcessState.ExitCode()}
}

func portOf(s net.Listener) string {
	_, port, _ := net.SplitHostPort(s.Addr().String())
	return port
}

// reaches is an order that asks a server of this machine for a page.
func reaches(name, port string) string {
	return fmt.Sprintf("./attack reach tls:%s:%s:%s", name, port, name)
}

const answered = "the far end answers"

func TestT41_WhatABottleReachesIsSeenAndChangedWhileItRuns(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		name, address := bottletest.OwnName(t)
		known, added := serve(t, address+":0", true), serve(t, address+":0", true)
		target := name + ":" + portOf(added)
		b := occupied(t, u, runtime, fmt.Sprintf("egress: {allow: [\"%s:%s\"], private: [{host: %s, range: %s/32}]}", name, portOf(known), name, address))
		log := u.Command("egress", "log", "tester", "-f", "-o", "json")
		lines, err := log.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Start(); err != nil {
			t.Fatal(err)
		}
		followed := make(chan []byte, 1)
		go func() { text, _ := io.ReadAll(lines); followed <- text }()

		bottletest.Contains(t, b.order(reaches(name, portOf(known)))(), answered)
		if out := b.order(reaches(name, portOf(added)))(); strings.Contains(out, answered) || len(added.requests()) != 0 {
			t.Errorf("the server that is not allowed was reached: %s", out)
		}
		bottletest.Contains(t, u.Run("egress", "test", "tester", target).Want(t, 1).Stdout, "denied: "+target+" by no rule allows it")

		bottletest.Contains(t, u.Run("egress", "allow", "tester", target, "--save").Want(t, 0).Stderr, "may reach "+target, "saved in ")
		bottletest.Contains(t, u.Run("egress", "test", "tester", target).Want(t, 0).Stdout, "allowed: "+target+" by "+name+" (egress allow, this run)", address+"/32")
		bottletest.Contains(t, b.order(reaches(name, portOf(added)))(), answered)
		bottletest.Contains(t, u.Run("egress", "test", "--bottle", "default", target).Want(t, 0).Stdout, "allowed: "+target+" by "+name+" (egress.allow)")

		cut := b.cut(name, address)
		u.Run("egress", "deny", "tester", target, "--save").Want(t, 0)
		if out := b.order(reaches(name, portOf(added)))(); strings.Contains(out, answered) {
			t.Errorf("the server that was denied was reached: %s", out)
		}
		u.Run("egress", "test", "--bottle", "default", target).Want(t, 1)
		bottletest.Contains(t, b.order(reaches(name, portOf(known)))(), answered)

		text := u.Run("egress", "log", "tester").Want(t, 0).Stdout
		bottletest.Contains(t, text, "TIME", "DECISION", "allowed   "+target, "denied    "+cut, "(egress deny, this run)", name+" (name)")
		b.stops()
		select {
		case all := <-followed:
			checkFollowed(t, u, all)
		case <-time.After(bottletest.Patience):
			t.Error("the log is followed beyond the end of the bottle")
			_ = log.Process.Kill()
		}
		_ = log.Wait()
	})
}

// cut opens a connection that stays open and silent, has its host denied, and
// waits until the far end has seen the end of it. It returns its target.
func (b *busy) cut(name, address string) string {
	b.Helper()
	listener, err := net.Listen("tcp", address+":0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	target := name + ":" + portOf(listener)
	b.Run("egress", "allow", "tester", target).Want(b, 0)
	b.order(fmt.Sprintf("(echo hello; sleep 1000) | nc %s %s", name, portOf(listener)))
	conn, err := listener.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	hello := make([]byte, len("hello\n"))
	if _, err := io.ReadFull(conn, hello); err != nil || string(hello) != "hello\n" {
		b.Fatalf("the far end heard %q, %v", hello, err)
	}
	bottletest.Contains(b, b.Run("egress", "deny", "tester", target).Want(b, 0).Stderr, "1 connection was cut")
	_ = conn.SetReadDeadline(time.Now().Add(bottletest.Patience))
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		b.Errorf("the connection was not cut: %v", err)
	}
	return target
}

// checkFollowed compares what was followed with what was logged in the end.
func checkFollowed(t *testing.T, u *bottletest.User, followed []byte) {
	t.Helper()
	var seen []egress.Event
	decoder := json.NewDecoder(bytes.NewReader(followed))
	for decoder.More() {
		var event egress.Event
		if err := decoder.Decode(&event); err != nil {
			t.Fatalf("%v in %s", err, followed)
		}
		seen = append(seen, event)
	}
	logged := events(t, u)
	if fmt.Sprint(seen) != fmt.Sprint(logged) {
		t.Errorf("followed:\n%+v\nlogged:\n%+v", seen, logged)
	}
}
