package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
	"github.com/claude-bottle/claude-bottle/remote"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/claude-bottle/claude-bottle/work"
	"github.com/containerd/errdefs"
)

// socketVariable names the socket of a controller that runs this user's bottles.
const socketVariable = "CLAUDE_BOTTLE_SOCKET"

// usersSocket is the socket of the controller that bottles are run through; "" is none:
// this process reaches containerd itself.
func (a *application) usersSocket() string {
	if a.address != "" {
		return ""
	}
	if socket := a.environment(socketVariable, ""); socket != "" || os.Geteuid() == 0 {
		return socket
	}
	return remote.DefaultSocket
}

// offered are the verbs that work through a controller. All others need root.
func offered() []string {
	return []string{
		"start", "resume", "restart", "run", "apply -f", "list", "get", "describe", "top",
		"attach", "logs", "exec", "port-forward", "stop", "wait", "cp", "rm", "delete",
		"fetch", "merge", "diff", "apply", "fork", "gc",
		"egress allow", "egress deny", "egress pending", "egress approve", "egress test",
	}
}

// openRemote reaches the user's bottles through a controller. Without a verb it is the
// shell that asks.
func (a *application) openRemote(ctx context.Context, socket string, progress backend.Progress) (*remote.Client, error) {
	if a.verb != "" && !strings.HasPrefix(a.verb, "__complete") && !slices.Contains(offered(), a.verb) {
		return nil, fmt.Errorf("`%s` needs root: it is not offered through %s: %w", a.verb, socket, errdefs.ErrPermissionDenied)
	}
	// Only who can't write in a bottle's directories needs no look at where they are.
	if os.Geteuid() == 0 && slices.Contains([]string{"fetch", "merge", "apply", "run"}, a.verb) {
		return nil, fmt.Errorf("`%s` of root is not done through %s: unset %s, and name the bottles by --namespace: %w", a.verb, socket, socketVariable, errdefs.ErrFailedPrecondition)
	}
	return remote.Dial(ctx, socket, progress)
}

// unsavedOf says what is unsaved in a bottle of the backend.
func unsavedOf(ctx context.Context, keeper backend.Keeper, found *backend.Work) (backend.Unsaved, error) {
	if far, ok := keeper.(*remote.Client); ok {
		return far.UnsavedOf(ctx, found)
	}
	return work.Unsaved(ctx, found)
}

// examined are the bottles, with what is unsaved in those of the phases that takes names,
// as far as there is time.
func examined(ctx context.Context, opened backend.Backend, takes func(backend.Phase) bool) ([]backend.Status, error) {
	if far, ok := opened.(*remote.Client); ok {
		return far.Examined(ctx)
	}
	bottles, err := opened.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	work.Examine(within, bottles, takes)
	return bottles, nil
}

// examinedKept are the bottles, with what is unsaved in those that are kept, however long it
// takes to look.
func examinedKept(ctx context.Context, opened backend.Backend) ([]backend.Status, error) {
	if far, ok := opened.(*remote.Client); ok {
		return far.ExaminedKept(ctx)
	}
	bottles, err := opened.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	work.Examine(ctx, bottles, keptBottle)
	return bottles, nil
}

// viewOf is what differs in the work of a bottle from what went in, or, with a second one,
// between the two.
func viewOf(ctx context.Context, keeper backend.Keeper, one, other *backend.Work) (*change.View, error) {
	far, ok := keeper.(*remote.Client)
	switch {
	case ok:
		return far.View(ctx, one, other, false)
	case other != nil:
		return change.Against(ctx, one, other)
	default:
		return change.Open(ctx, one)
	}
}

// applyTarget says where the work of a bottle goes to, and where an apply keeps its own: of
// a bottle behind a controller that is with the user.
func (a *application) applyTarget(keeper backend.Keeper, held *backend.Work, o applyOptions) (change.Target, error) {
	target := change.Target{Into: o.into, Paths: o.paths}
	far, ok := keeper.(*remote.Client)
	if !ok {
		return target, nil
	}
	target.Open = func(ctx context.Context) (*change.View, error) { return far.View(ctx, held, nil, true) }
	state := a.environment("XDG_STATE_HOME", "")
	if !filepath.IsAbs(state) {
		home, err := os.UserHomeDir()
		if err != nil {
			return target, fmt.Errorf("find home directory: %w", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	target.Area = filepath.Join(state, "claude-bottle", "apply", held.ID.String())
	return target, nil
}

// readSessionLog gives what a bottle has said to show. One of which nothing was taken down
// is a NotFound error.
func readSessionLog(ctx context.Context, keeper backend.Keeper, found *backend.Work, show func(supervise.Said) error) error {
	if far, ok := keeper.(*remote.Client); ok {
		return far.SessionLog(ctx, found, show)
	}
	err := supervise.ReadSessionLog(found.State, show)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	return err
}
