package integration

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// TestF4_ASignalInEachPhaseOfAStartUndoesIt sends each signal at moments that are
// spread over a start, up to where claude runs. The start ends by the signal and
// takes back by itself what it has made: nobody cleans up.
func TestF4_ASignalInEachPhaseOfAStartUndoesIt(t *testing.T) {
	const moments = 12
	kinds := [][]syscall.Signal{{syscall.SIGTERM}, {syscall.SIGINT}, {syscall.SIGHUP}, {syscall.SIGQUIT}, {syscall.SIGINT, syscall.SIGINT}}
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, "2.4")
			does(u, "true")
			began := time.Now()
			u.Start(runtime, "--quiet").Want(t, 0)
			whole := time.Since(began)
			does(u, "cat; true")
			for i := range moments {
				signals, after := kinds[i%len(kinds)], whole*time.Duration(i)/(moments-1)
				t.Run(fmt.Sprint(i, signals), func(t *testing.T) { interrupt(t, u, runtime, signals, after) })
			}
		})
	}
}

// interrupt sends the signals to a start, the first after a while.
func interrupt(t *testing.T, u *bottletest.User, runtime string, signals []syscall.Signal, after time.Duration) {
	command := u.Command("start", "tester", "--yes", "--quiet", "--runtime", runtime)
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = input.Close() }()
	var said bytes.Buffer
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after) // the moment is what is tested
	for _, signal := range signals {
		if err := syscall.Kill(command.Process.Pid, signal); err != nil {
			t.Fatal(err)
		}
	}
	claudes := signals[0] == syscall.SIGINT || signals[0] == syscall.SIGQUIT
	if claudes { // whose shell takes no notice of them before cat is there
		_ = input.Close()
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait() // how is in its state
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(bottletest.Patience):
		_ = command.Process.Kill()
		t.Fatalf("%v after %s: it does not end: %s", signals, after, said.String())
	}
	status, ok := command.ProcessState.Sys().(syscall.WaitStatus)
	byDefault := ok && status.Signaled() && status.Signal() == signals[0] // before anybody listened for it
	byUs := command.ProcessState.ExitCode() == 128+int(signals[0])
	byClaude := claudes && command.ProcessState.ExitCode() == 0
	if !byDefault && !byUs && !byClaude {
		t.Errorf("%v after %s: it ends with %v: %s", signals, after, command.ProcessState, said.String())
	}
	bottletest.Eventually(t, "nothing is left", func() bool { return len(u.Supervisors()) == 0 && u.Left() == "" })
}
