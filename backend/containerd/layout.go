package containerd

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
)

// Roots below which everything of every daemon lies.
const (
	DefaultRoot    = "/var/lib/claude-bottle"
	DefaultRunRoot = "/run/claude-bottle"
)

// layout names every path of this backend for one daemon and namespace, so
// that two daemons never share a lock, a name or a directory.
type layout struct{ root, runRoot string }

func newLayout(root, runRoot, address, namespace string) layout {
	sum := sha256.Sum256([]byte(address + "\x00" + namespace))
	key := hex.EncodeToString(sum[:4])
	return layout{root: filepath.Join(root, key), runRoot: filepath.Join(runRoot, key)}
}

// Traces says, without asking the daemon, whether there are bottles of it on this host:
// live ones, and any, those included that are kept.
func Traces(options Options) (live, anything bool) {
	options = options.withDefaults()
	paths := newLayout(options.Root, options.RunRoot, options.Address, options.Namespace)
	run, _ := os.ReadDir(paths.runBottles()) // who may not look sees none
	state, _ := os.ReadDir(paths.bottles())
	return len(run) > 0, len(run)+len(state) > 0
}

// wayThrough is the mode of directories on the way to what a bottle mounts: the
// root of a user namespace is nobody special to them, and must pass. It can't
// list them, and what lies in them is closed, or belongs to the bottle.
const wayThrough = 0o711

// makeDirectory is os.Mkdir whatever the umask.
func makeDirectory(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// make creates the directories that all bottles share. What lies on their way
// must belong to root and be writable by nobody else.
func (l layout) make() error {
	for _, dir := range l.shared() {
		if err := os.MkdirAll(filepath.Dir(dir), wayThrough); err != nil {
			return fmt.Errorf("make state directory (--root and --run-root name others): %w", err)
		}
		if err := makeDirectory(dir, wayThrough); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make state directory (--root and --run-root name others): %w", err)
		}
		info, err := os.Lstat(dir)
		if err != nil {
			return fmt.Errorf("check state directory: %w", err)
		}
		if err := checkOwned(dir, info); err != nil {
			return err
		}
	}
	return nil
}

// shared are the directories that all bottles share, each after the one it lies in.
func (l layout) shared() []string {
	return []string{filepath.Dir(l.root), l.root, l.bottles(), filepath.Dir(l.runRoot), l.runRoot, l.runBottles()}
}

func (l layout) bottles() string     { return filepath.Join(l.root, "bottles") }
func (l layout) runBottles() string  { return filepath.Join(l.runRoot, "bottles") }
func (l layout) buildLock() string   { return filepath.Join(l.runRoot, "build.lock") }
func (l layout) builds() string      { return filepath.Join(l.root, "builds") }
func (l layout) runtimeRoot() string { return filepath.Join(l.runRoot, "runtime") }

// claimLock is shared with all other daemons and namespaces: no two bottles get the same
// range of ids.
func (l layout) claimLock() string { return filepath.Join(filepath.Dir(l.runRoot), "claim.lock") }

// audit is where what the step with that key asked of the network is kept.
func (l layout) audit(key string) string { return filepath.Join(l.builds(), key+".jsonl") }

func (l layout) bottle(id backend.ID) places {
	return places{
		id:    id,
		state: filepath.Join(l.bottles(), id.String()),
		run:   filepath.Join(l.runBottles(), id.String()),
	}
}

// places names the paths of one bottle: state survives a reboot, run does not.
type places struct {
	id         backend.ID
	state, run string
}

// work is what the bottle has made, as far as it is known by its directories.
func (p places) work() *backend.Work { return &backend.Work{ID: p.id, State: p.state} }

func (p places) lock() string     { return filepath.Join(p.run, "lock") }
func (p places) taken() string    { return filepath.Join(p.run, "taken") } // by one who takes a dead bottle down
func (p places) neck() string     { return filepath.Join(p.run, "neck") }
func (p places) etc() string      { return filepath.Join(p.run, "etc") }
func (p places) netns() string    { return filepath.Join(p.run, "netns") }
func (p places) log() string      { return filepath.Join(p.run, "supervisor.log") }
func (p places) initLog() string  { return filepath.Join(p.run, "init.log") }
func (p places) plan() string     { return filepath.Join(p.state, backend.StatePlan) }
func (p places) baseline() string { return filepath.Join(p.state, backend.StateBaseline) }

// unready is there from before the first place is made until the baseline is
// written: up to then claude has never run.
func (p places) unready() string { return filepath.Join(p.state, "unready") }

// resuming is there from before a kept bottle is touched until it runs again: up to
// then no teardown may take it for one that has nothing to keep.
func (p places) resuming() string { return filepath.Join(p.state, "resuming") }

// kept is there once a bottle was kept at its end, or made as a kept one, until it
// runs again: it goes by the user's word alone, also when all its work came home.
func (p places) kept() string { return filepath.Join(p.state, "kept") }

// outcome is there once the claude of a detached bottle has ended.
func (p places) setup() string   { return filepath.Join(p.state, backend.StateSetup) }
func (p places) outcome() string { return filepath.Join(p.state, backend.StateOutcome) }

// place is the directory on the host that is mounted at place.
func (p places) place(place backend.Place) string {
	if place == backend.PlaceSSH {
		return filepath.Join(p.run, string(place)) // memory-backed
	}
	return filepath.Join(p.state, string(place))
}
