// Package streamtest attaches many clients to bottles that never stop talking, has
// something die under them, over and over, and wants each of them to hear every byte once
// and the exit code of claude. It is run short by `make integration` and long by
// `make chaos`. No program imports it.
package streamtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// Options say how much of it there is.
type Options struct {
	Runtime string
	// Bottles are detached ones, every second of them without a terminal. Each has so
	// many Clients.
	Bottles, Clients int
	// Foreground are bottles of start, each with its own client alone.
	Foreground int
	// Open is one more client of the backend, for the whole of the test.
	Open func(t testing.TB) backend.Opener
	// Strikes is how often Strike lets something die. What it killed has to be back
	// when it returns, or come back by itself.
	Strikes int
	Strike  func(t testing.TB)
}

// counts is a claude that says numbers until it is told to stop, and then how many.
const counts = `i=0; while ! test -e stop; do i=$((i+1)); echo $i; sleep 0.01; done; echo $i > count; exit 7`

// exitCode is how that claude ends.
const exitCode = 7

// stream is what one client hears.
type stream struct {
	name string
	mu   sync.Mutex
	text bytes.Buffer
	code int
	err  error
}

// Write implements io.Writer.
func (s *stream) Write(data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(data)
}

// lines is how many lines were heard.
func (s *stream) lines() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Count(s.text.Bytes(), []byte("\n"))
}

// gap says what is wrong with what was heard of a claude that has said count numbers.
func (s *stream) gap(count int) string {
	lines := strings.Split(strings.ReplaceAll(s.text.String(), "\r\n", "\n"), "\n")
	for i := range count {
		if i >= len(lines) || lines[i] != strconv.Itoa(i+1) {
			return fmt.Sprintf("line %d of %d is %q", i+1, count, lines[min(i, len(lines)-1)])
		}
	}
	if rest := strings.Join(lines[count:], "\n"); rest != "" {
		return fmt.Sprintf("behind the last line there is %q", rest)
	}
	return ""
}

// Run returns how many streams came whole.
func Run(u *bottletest.User, options Options) int {
	u.Helper()
	u.Write("home/.claude-bottle/bottles/default.md", "---\nimage: "+containerdtest.TestImage+"\nenv:\n  FAKE_CLAUDE_RUN: \""+counts+"\"\n---\n")
	r := &round{User: u, Options: options}
	for i := range options.Bottles {
		r.detached(fmt.Sprintf("apart-%d", i), i%2 == 1)
	}
	for i := range options.Foreground {
		r.foreground(fmt.Sprintf("before-%d", i))
	}
	r.goOn("all of it")
	for i := range options.Strikes {
		options.Strike(u)
		r.goOn(fmt.Sprintf("strike %d", i+1))
	}
	for _, name := range r.names {
		u.Run("exec", name, "--", "touch", "stop").Want(u, 0)
	}
	r.ends.Wait()
	whole := 0
	for _, s := range r.streams {
		switch gap := s.gap(r.count(s.name)); {
		case s.err != nil || s.code != exitCode:
			u.Errorf("a client of %s ends with %d, %v", s.name, s.code, s.err)
		case gap != "":
			u.Errorf("a client of %s: %s", s.name, gap)
		default:
			whole++
		}
	}
	u.Logf("%s: %d of %d streams came whole over %d strikes", options.Runtime, whole, len(r.streams), options.Strikes)
	return whole
}

// round is one run.
type round struct {
	*bottletest.User
	Options
	names   []string
	streams []*stream
	ends    sync.WaitGroup
}

// add has one more client listen.
func (r *round) add(s *stream, listen func(*stream)) {
	r.streams = append(r.streams, s)
	r.ends.Go(func() { listen(s) })
}

func (r *round) detached(name string, headless bool) {
	r.Helper()
	// Nobody but the clients is to start a supervisor again.
	args := []string{"start", "tester", "--yes", "--quiet", "--no-controller", "--detach", "--runtime", r.Runtime, "--name", name}
	if headless {
		args = append(args, "--", "-p", "count")
	}
	r.Run(args...).Want(r, 0)
	r.names = append(r.names, name)
	for range r.Clients {
		live, err := r.Open(r).Open(r.Context(), name)
		if err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() { _ = live.Close() })
		r.add(&stream{name: name}, func(s *stream) {
			s.code, s.err = live.Attach(r.Context(), backend.AttachOptions{ReadOnly: true}, backend.Terminal{In: strings.NewReader(""), Out: s, Err: s})
		})
	}
}

func (r *round) foreground(name string) {
	r.Helper()
	command := r.Command("start", "tester", "--yes", "--quiet", "--runtime", r.Runtime, "--name", name)
	said := &stream{name: name}
	command.Stdout = said
	if err := command.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = command.Process.Kill() })
	r.names = append(r.names, name)
	r.add(said, func(s *stream) {
		var exit *exec.ExitError
		if s.err = command.Wait(); errors.As(s.err, &exit) {
			s.code, s.err = exit.ExitCode(), nil
		}
	})
}

// goOn waits until each client has heard something new.
func (r *round) goOn(after string) {
	r.Helper()
	had := make([]int, len(r.streams))
	for i, s := range r.streams {
		had[i] = s.lines()
	}
	for i, s := range r.streams {
		bottletest.Eventually(r, "a client of "+s.name+" goes on after "+after, func() bool { return s.lines() > had[i] })
	}
}

// count is how much a claude has said, by its own word.
func (r *round) count(name string) int {
	r.Helper()
	files, err := filepath.Glob(filepath.Join(r.Root, "*", "bottles", name+"-?????", "workspace", "count"))
	if err != nil || len(files) != 1 {
		r.Fatalf("%s has counted in %v, %v", name, files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		r.Fatal(err)
	}
	count, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		r.Fatal(err)
	}
	return count
}
