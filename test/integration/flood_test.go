package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/creack/pty"
)

// How much the agent writes to a terminal that nobody reads, what of it may be
// on the way, and what either process on the host may need: less than the program
// has at rest with the whole flood beside it.
const (
	floodMiB    = 24
	floodLine   = 120 // with its end
	mostOnWay   = 8 << 20
	mostMemory  = 64 << 20
	stormSizes  = 1000
	lastColumns = 123
	lastRows    = 45
	floodTime   = 10 * time.Minute
)

func TestT26_AFloodWaitsAndArrivesWhole(t *testing.T) {
	for _, runtime := range bottletest.Runtimes() {
		t.Run(runtime, func(t *testing.T) {
			u := newUser(t, "2.4")
			bring(t, u)
			does(u, fmt.Sprintf("exec ./attack flood %d %d %d", floodMiB, lastColumns, lastRows))
			command := u.Command("start", "tester", "--yes", "--quiet", "--discard", "--cwd", "--runtime", runtime)
			master, err := pty.StartWithSize(command, &pty.Winsize{Cols: 100, Rows: 30})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { _ = command.Wait(); close(ended) }()
			// A flood that stands still for good ends with the program.
			timer := time.AfterFunc(floodTime, func() { _ = command.Process.Kill() })
			t.Cleanup(func() {
				timer.Stop()
				_ = command.Process.Kill()
				<-ended
				_ = master.Close()
			})

			ahead := stands(t, u)
			t.Logf("%d bytes are on the way", ahead)
			if ahead > mostOnWay {
				t.Errorf("%d bytes went ahead of a terminal that nobody reads", ahead)
			}
			pids := []int{u.Supervisor(t), command.Process.Pid}
			bounded(t, pids)
			storm(t, master)
			reader := bufio.NewReader(master)
			arrivesWhole(t, reader)
			bounded(t, pids)
			if _, err := master.WriteString("\n"); err != nil {
				t.Fatal(err)
			}
			rest, _ := io.ReadAll(reader) // ends with an error, when the other side is closed
			bottletest.Contains(t, string(rest), fmt.Sprintf("the size is %dx%d", lastColumns, lastRows))
			<-ended
			if code := command.ProcessState.ExitCode(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// storm changes the terminal's size many times.
func storm(t *testing.T, master *os.File) {
	t.Helper()
	for i := range stormSizes {
		size := &pty.Winsize{Cols: uint16(20 + i%200), Rows: uint16(10 + i%90)}
		if i == stormSizes-1 {
			size = &pty.Winsize{Cols: lastColumns, Rows: lastRows}
		}
		if err := pty.Setsize(master, size); err != nil {
			t.Fatal(err)
		}
	}
}

// stands waits until the flood stands still, and returns how far it has come. On
// a machine that is slow it may only seem to stand: then less was on the way.
func stands(t *testing.T, u *bottletest.User) int {
	t.Helper()
	last, still := 0, 0
	bottletest.Eventually(t, "the flood stands still", func() bool {
		files, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*", "workspace", "written"))
		if len(files) != 1 {
			return false
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		now, _ := strconv.Atoi(string(data))
		if still++; now != last {
			last, still = now, 0
		}
		return last > 0 && still > 50
	})
	return last
}

// bounded wants the most memory that each process has ever had to be little.
func bounded(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(data), "VmHWM:")
		kibibytes, err := strconv.Atoi(strings.Fields(after)[0])
		if err != nil {
			t.Fatal(err)
		}
		if kibibytes<<10 > mostMemory {
			t.Errorf("process %d has had %d KiB", pid, kibibytes)
		}
	}
}

// arrivesWhole reads the flood from its first line to its last, and wants each
// to be there in its turn.
func arrivesWhole(t *testing.T, reader *bufio.Reader) {
	t.Helper()
	const lines = floodMiB << 20 / floodLine
	next, begun := 0, false
	for {
		line, err := reader.ReadString('\n')
		switch {
		case err != nil:
			t.Fatalf("%v after %d lines: %.500q", err, next, line)
		case !begun:
			begun = strings.HasSuffix(line, "the flood begins\r\n")
		case line == "the flood is over\r\n":
			if next != lines {
				t.Errorf("%d of %d lines have arrived", next, lines)
			}
			return
		case line != fmt.Sprintf("%0*d\r\n", floodLine-1, next):
			t.Fatalf("line %d is %q", next, line)
		default:
			next++
		}
	}
}
