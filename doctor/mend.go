package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/containerd/errdefs"
)

// Asked are what Mend needs of its caller.
type Asked struct {
	// Agree shows what would be removed and says whether that is agreed to.
	Agree func(ctx context.Context, plan *backend.CleanupPlan) (bool, error)
	// StartController starts one, and says what it has started; nil starts none.
	StartController func(opened backend.Leader) (string, error)
}

// Mend does what can be done without harm, and says what it has done, or tried.
func Mend(ctx context.Context, options Options, asked Asked) []string {
	if os.Geteuid() != 0 {
		return []string{"nothing: only root can mend anything"}
	}
	m := &mending{options: options, asked: asked}
	m.note(mendOverlay(ctx))
	done, err := containerd.MendDirectories(options.Containerd)
	m.done = append(m.done, done...)
	m.note("", err)
	if options.AddressProblem != nil {
		return m.done
	}
	opened, err := containerd.New(ctx, options.Containerd)
	if err != nil {
		return m.done // the checks say why
	}
	defer func() { _ = opened.Close() }()
	if dropped, err := opened.DropStaleVerdicts(); dropped > 0 || err != nil {
		m.note(fmt.Sprintf("dropped what probes had found out about runtimes that are no more: %d", dropped), err)
	}
	m.note(m.cleanUp(ctx, opened))
	m.note(m.haveController(ctx, opened))
	return m.done
}

type mending struct {
	options Options
	asked   Asked
	done    []string
}

// note keeps what was done, or why it could not be.
func (m *mending) note(what string, err error) {
	switch {
	case err != nil:
		m.done = append(m.done, "failed: "+firstLine(err))
	case what != "":
		m.done = append(m.done, what)
	}
}

// mendOverlay loads the module where the kernel doesn't know the file system.
func mendOverlay(ctx context.Context) (string, error) {
	known, err := gatherFileSystems()
	if err != nil || slices.Contains(known, "overlay") {
		return "", err
	}
	const bound = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		path := filepath.Join(dir, "modprobe")
		if _, err := os.Stat(path); err != nil {
			continue
		}
		command := exec.CommandContext(ctx, path, "overlay") //nolint:gosec // of this list
		command.Env, command.Dir = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "/"
		if output, err := command.CombinedOutput(); err != nil {
			return "", fmt.Errorf("modprobe overlay: %w: %s", err, backend.Printable(firstWords(string(output))))
		}
		return "loaded the module overlay", nil
	}
	return "", fmt.Errorf("load the module overlay: there is no modprobe here: %w", errdefs.ErrNotFound)
}

// cleanUp removes what dead bottles left, once that is agreed to.
func (m *mending) cleanUp(ctx context.Context, opened backend.Backend) (string, error) {
	plan, err := opened.PrepareCleanup(ctx)
	if err != nil || plan.Empty() {
		return "", err
	}
	agreed, err := m.asked.Agree(ctx, plan)
	if err != nil || !agreed {
		return "left what dead bottles left as it is: only a yes on a terminal, or --yes, removes anything", nil //nolint:nilerr // no is no
	}
	if err := opened.Cleanup(ctx, plan); err != nil {
		return "", err
	}
	return "removed what dead bottles left: " + counted(len(plan.Items), "thing"), nil
}

// haveController starts one where detached bottles have none.
func (m *mending) haveController(ctx context.Context, opened *containerd.Backend) (string, error) {
	bottles, listErr := opened.ListActive(ctx)
	led, ledErr := opened.Led()
	if err := errors.Join(listErr, ledErr); err != nil {
		return "", err
	}
	if m.asked.StartController == nil || judgeController(led, bottles, nil).Status == OK {
		return "", nil
	}
	return m.asked.StartController(opened)
}
