package terminal

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/creack/pty"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// emulator is the other side of a PTY: it answers what terminals answer.
type emulator struct {
	t             *testing.T
	master, slave *os.File
	drawn         chan string
}

func newEmulator(t *testing.T) *emulator {
	blocking, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	// Closing a file ends its reads only when they don't block.
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err := errors.Join(err, unix.SetNonblock(fd, true), blocking.Close()); err != nil {
		t.Fatal(err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	e := &emulator{t, master, slave, make(chan string, 1024)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			if err != nil {
				return
			}
			text := string(buffer[:n])
			for range strings.Count(text, "\x1b[6n") {
				_, _ = master.WriteString("\x1b[1;2R")
			}
			for range strings.Count(text, "\x1b[5n") {
				_, _ = master.WriteString("\x1b[0n")
			}
			e.drawn <- text
		}
	}()
	t.Cleanup(func() {
		_ = slave.Close()
		_ = master.Close()
		<-ended
	})
	return e
}

func (e *emulator) open() *Terminal {
	terminal, err := Open(e.slave, e.slave)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = terminal.stopRead.Close(); _ = terminal.stopWrite.Close() })
	return terminal
}

func (e *emulator) settings() unix.Termios {
	settings, err := unix.IoctlGetTermios(int(e.slave.Fd()), unix.TCGETS)
	if err != nil {
		e.t.Fatal(err)
	}
	return *settings
}

// waits until the text was drawn.
func (e *emulator) shows(text string) {
	e.t.Helper()
	var all string
	for !strings.Contains(all, text) {
		select {
		case more := <-e.drawn:
			all += more
		case <-time.After(2 * time.Minute):
			e.t.Fatalf("%q is not in %q", text, all)
		}
	}
}

func (e *emulator) types(text string) {
	e.t.Helper()
	if _, err := e.master.WriteString(text); err != nil {
		e.t.Fatal(err)
	}
}

// waiting is what a program would read now.
func (e *emulator) waiting() int {
	n, err := unix.IoctlGetInt(int(e.slave.Fd()), unix.TIOCINQ)
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

func TestT23_RestoreLeavesTheTerminalAsItWas(t *testing.T) {
	e := newEmulator(t)
	before := e.settings()
	terminal := e.open()
	if err := terminal.Raw(); err != nil {
		t.Fatal(err)
	}
	if e.settings() == before {
		t.Fatal("raw mode changes nothing")
	}
	_, _ = io.WriteString(terminal.Output(false), "\x1b[?1049h\x1b[?2004hdrawn\x1b[6n")
	if err := terminal.Restore(); err != nil {
		t.Fatal(err)
	}
	if e.settings() != before {
		t.Errorf("settings are %+v, were %+v", e.settings(), before)
	}
	e.shows("\x1b[?2004l\x1b[?1049l\x1b[0m\x1b[?25h")
	if err := terminal.Restore(); err != nil {
		t.Errorf("second Restore: %v", err)
	}
}

func TestT23_NoReplyReachesThePrompt(t *testing.T) {
	for range 100 {
		e := newEmulator(t)
		terminal := e.open()
		if err := terminal.Raw(); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(terminal.Output(false), strings.Repeat("\x1b[6n", 20))
		if err := terminal.Restore(); err != nil {
			t.Fatal(err)
		}
		if n := e.waiting(); n != 0 {
			t.Fatalf("%d bytes wait for the shell", n)
		}
	}
}

func TestReadEndsWithRestoreAndWithAHangUp(t *testing.T) {
	for name, end := range map[string]func(*emulator, *Terminal){
		"restore": func(_ *emulator, terminal *Terminal) { _ = terminal.Restore() },
		"hang-up": func(e *emulator, _ *Terminal) { _ = e.master.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEmulator(t)
			terminal := e.open()
			if err := terminal.Raw(); err != nil {
				t.Fatal(err)
			}
			e.types("key")
			buffer := make([]byte, 16)
			if n, err := terminal.Read(buffer); err != nil || string(buffer[:n]) != "key" {
				t.Fatalf("Read = %q, %v", buffer[:n], err)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := terminal.Read(make([]byte, 16))
				ended <- err
			}()
			end(e, terminal)
			if err := <-ended; !errors.Is(err, io.EOF) {
				t.Errorf("Read ended with %v", err)
			}
			_ = terminal.Restore()
		})
	}
}

func TestSizesTellsTheLastOne(t *testing.T) {
	e := newEmulator(t)
	terminal := e.open()
	set := func(columns, rows uint16) {
		if err := pty.Setsize(e.slave, &pty.Winsize{Cols: columns, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	set(80, 25)
	sizes, stop := terminal.Sizes(t.Context())
	if got := <-sizes; got != (backend.Size{Columns: 80, Rows: 25}) {
		t.Errorf("first size %v", got)
	}
	for i := range uint16(100) {
		set(100+i, 30)
		if err := unix.Kill(unix.Getpid(), unix.SIGWINCH); err != nil { // no controlling terminal sends it here
			t.Fatal(err)
		}
	}
	for (<-sizes) != (backend.Size{Columns: 199, Rows: 30}) {
	}
	set(60_000, 60_000)
	if got, err := terminal.size(); err != nil || got != (backend.Size{Columns: maxCells, Rows: maxCells}) {
		t.Errorf("a huge terminal is %v, %v", got, err)
	}
	stop()
	for range sizes { // one may be on its way; then the channel is closed
	}
}

func TestT45_Confirm(t *testing.T) {
	for answer, want := range map[string]bool{
		"y\n": true, "yes\n": true, "Y\n": true, " YES \n": true,
		"\n": false, "n\n": false, "no\n": false, "yy\n": false, "yes please\n": false, "\x04": false,
	} {
		e := newEmulator(t)
		terminal := e.open()
		e.types("y\n") // before the question: does not count
		for e.waiting() == 0 {
			time.Sleep(time.Millisecond)
		}
		asked := make(chan bool, 1)
		go func() {
			got, err := terminal.Confirm(t.Context(), e.slave, "launch? ")
			if err != nil {
				t.Error(err)
			}
			asked <- got
		}()
		e.shows("launch? ")
		e.types(answer)
		if got := <-asked; got != want {
			t.Errorf("%q is taken for %v", answer, got)
		}
	}
}

func TestConfirmEndsWithItsContext(t *testing.T) {
	e := newEmulator(t)
	terminal := e.open()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := terminal.Confirm(ctx, e.slave, "launch? ")
		ended <- err
	}()
	e.shows("launch? ")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestT45_WithoutATerminalNothingIsAsked(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close(); _ = write.Close() }()
	_, _ = write.WriteString("y\n")
	terminal, err := Open(read, write)
	if err != nil || terminal.IsTerminal() {
		t.Fatalf("a pipe is a terminal: %v", err)
	}
	if yes, err := terminal.Confirm(t.Context(), io.Discard, "launch? "); yes || !errors.Is(err, errNoTerminal) {
		t.Errorf("Confirm = %v, %v", yes, err)
	}
	if _, err := terminal.Secret(t.Context()); !errors.Is(err, errNoTerminal) {
		t.Errorf("Secret: %v", err)
	}
}

func TestSecretIsNotEchoed(t *testing.T) {
	e := newEmulator(t)
	terminal := e.open()
	before := e.settings()
	answer := make(chan string, 1)
	go func() {
		got, err := terminal.Secret(t.Context())
		if err != nil {
			t.Error(err)
		}
		answer <- got
	}()
	for e.settings().Lflag&unix.ECHO != 0 {
		time.Sleep(time.Millisecond)
	}
	e.types("wish\n")
	if got := <-answer; got != "wish" {
		t.Errorf("read %q", got)
	}
	if e.settings() != before {
		t.Error("settings are not back")
	}
	_, _ = e.slave.WriteString("end")
	var all string
	for !strings.Contains(all, "end") {
		all += <-e.drawn
	}
	if strings.Contains(all, "wish") {
		t.Errorf("drawn was %q", all)
	}
}
