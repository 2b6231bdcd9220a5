package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/fetch"
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
		"start", "resume", "restart", "run", "apply -f", "diff -f", "list", "get", "describe", "top",
		"attach", "logs", "exec", "port-forward", "stop", "wait", "cp", "rm", "delete",
		"egress allow", "egress deny", "egress pending", "egress approve", "egress test",
	}
}

// openRemote reaches the user's bottles through a controller. Without a verb it is the
// shell that asks.
func (a *application) openRemote(ctx context.Context, socket string, progress backend.Progress) (*remote.Client, error) {
	if a.verb != "" && !strings.HasPrefix(a.verb, "__complete") && !slices.Contains(offered(), a.verb) {
		return nil, fmt.Errorf("`%s` needs root: it is not offered through %s: %w", a.verb, socket, errdefs.ErrPermissionDenied)
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

// fetcher brings the work of a kept bottle into a repository of the user's.
type fetcher func(ctx context.Context, kept *backend.Work, into string) (*fetch.Fetched, error)

// fetcherOf is how the work of the backend's bottles comes home; nil where cp has to bring it.
func fetcherOf(keeper openedKeeper) fetcher {
	if _, far := keeper.(*remote.Client); far {
		return nil
	}
	return func(ctx context.Context, kept *backend.Work, into string) (*fetch.Fetched, error) {
		return fetch.Fetch(ctx, keeper, kept, fetch.Options{Into: into})
	}
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
