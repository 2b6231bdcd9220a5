package chaostest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// settle is settleWith for a bottle whose work is looked for now.
func (r *run) settle(after string) {
	r.Helper()
	r.settleWith(after, r.work())
}

// settleWith cleans up once, ends what lives on, wants nothing to be left but the work,
// and removes that.
func (r *run) settleWith(after string, work []string) {
	r.Helper()
	var living []string
	bottletest.Eventually(r, "everything comes to rest after "+after, func() bool {
		var resting bool
		living, resting = r.living()
		return resting
	})
	if result := r.Run("cleanup", "--yes"); result.Code != 0 {
		r.Errorf("after %s a cleanup ends with %d: %s", after, result.Code, result.Stderr)
	}
	for _, name := range living {
		if result := r.Run("stop", name); result.Code != 0 {
			r.Errorf("after %s a stop of %s ends with %d: %s", after, name, result.Code, result.Stderr)
		}
	}
	bottletest.Eventually(r, "the supervisors end after "+after, func() bool { return len(r.Supervisors()) == 0 })
	bottletest.Eventually(r, "the controller ends after "+after, func() bool { return len(r.Controllers()) == 0 })
	// That of a controller that was killed is there until the next one takes its place.
	sockets, _ := filepath.Glob(filepath.Join(r.RunRoot, "*", "controller.sock"))
	for _, socket := range sockets {
		_ = os.Remove(socket)
	}
	r.NothingLeft(r, after+" and one cleanup")
	r.isThere(after, work)
	r.saved += len(work)
	states, _ := filepath.Glob(filepath.Join(r.Root, "*", "bottles", "*"))
	for _, state := range states {
		if err := os.RemoveAll(state); err != nil {
			r.Fatal(err)
		}
	}
}

// living are the bottles that go on without a client; resting says that none is coming or
// going.
func (r *run) living() (names []string, resting bool) {
	list, err := r.backend.ListActive(r.Context())
	if err != nil {
		return nil, false
	}
	for _, status := range list {
		switch {
		case status.Phase == backend.PhaseRunning && status.Detached:
			names = append(names, status.Name)
		case status.Lives():
			return nil, false
		}
	}
	return names, !slices.ContainsFunc(r.Supervisors(), func(pid int) bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && !slices.ContainsFunc(names, func(name string) bool { return bytes.Contains(line, []byte("\x00"+name+"-")) })
	})
}

// work are the files that claude has written to their end.
func (r *run) work() []string {
	files, _ := filepath.Glob(filepath.Join(r.Root, "*", "bottles", "*", "workspace", "work"))
	return slices.DeleteFunc(files, func(file string) bool { return !isWork(file) })
}

func isWork(file string) bool {
	data, err := os.ReadFile(file)
	return err == nil && string(data) == "work\n"
}

func (r *run) isThere(after string, work []string) {
	r.Helper()
	for _, file := range work {
		if !isWork(file) {
			r.Errorf("I2: after %s there is no %s any more", after, file)
		}
	}
}
