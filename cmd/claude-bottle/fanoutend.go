package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/fetch"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// haltWait is how long a bottle that is halted is waited for.
const haltWait = time.Minute

// askWait is how long it takes at most to ask bottles for their end.
const askWait = 2 * time.Second

// await returns once the bottle has ended: by itself, or since ctx has, whose end halts
// it. A hang-up halts nothing.
func (f *fanOut) await(ctx, patience context.Context, result *runResult) error {
	ended := func(status *backend.Status) bool {
		if status != nil && status.Outcome != nil {
			result.ends(*status.Outcome)
		}
		return finished(status)
	}
	err := f.look.until(ctx, result.id, ended)
	if err == nil || ctx.Err() == nil {
		return err
	}
	if hungUp(ctx) {
		return errors.New("it works on")
	}
	halting, cancel := context.WithTimeoutCause(context.WithoutCancel(patience), haltWait, fmt.Errorf("it is not gone after %s: %w", haltWait, context.DeadlineExceeded))
	defer cancel()
	// Who has no patience left still asks for the end of each bottle.
	stop := context.AfterFunc(patience, func() {
		timer := time.NewTimer(askWait)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-halting.Done():
		}
	})
	defer stop()
	if err := halt(halting, f.keeper, result.id.Handle()); err != nil && !errdefs.IsNotFound(err) { // nothing of it was kept
		return fmt.Errorf("halt it: %w", err)
	}
	return f.look.until(halting, result.id, ended)
}

// hungUp says that the terminal went away, rather than that somebody wants an end.
func hungUp(ctx context.Context) bool {
	var ended signalError
	return errors.As(context.Cause(ctx), &ended) && ended.signal == syscall.SIGHUP
}

// sayHalting says what the end of ctx means.
func (f *fanOut) sayHalting(ctx context.Context) {
	if hungUp(ctx) {
		return // nobody reads it
	}
	f.telling.Lock()
	defer f.telling.Unlock()
	_, _ = fmt.Fprintln(f.app.err, "claude-bottle: halting all bottles, and keeping their work; Ctrl-C again leaves them to end by themselves")
}

// bringHome hears what claude has said, brings home what it has made, and removes a
// bottle that nobody needs any more. After the end of ctx it only looks.
func (f *fanOut) bringHome(ctx, patience context.Context, result *runResult) error {
	kept, err := f.keeper.Find(patience, result.id.Handle())
	if err != nil {
		return err
	}
	if err := f.hear(patience, kept, result); err != nil {
		return err
	}
	f.quote(result)
	made, err := unsavedOf(patience, f.keeper, kept)
	if err != nil {
		return err
	}
	result.made(made)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if made.Any() && f.home() != "" {
		if err := f.fetch(ctx, kept, result); err != nil {
			return err
		}
	}
	if f.options.keep || !result.succeeded() && !f.options.removeAll {
		return nil
	}
	left, err := removeKept(ctx, f.keeper, kept, false)
	if err == nil && !left.Any() {
		result.Handle = ""
	}
	return err
}

// home is the repository that work comes home to, or "".
func (f *fanOut) home() string {
	if tree := f.first.Workspace; tree != nil && tree.GitDir != "" {
		return tree.Path
	}
	return ""
}

// fetch brings work into the repository that it began from.
func (f *fanOut) fetch(ctx context.Context, kept *backend.Work, result *runResult) error {
	f.fetching.Lock()
	defer f.fetching.Unlock()
	fetched, err := fetch.Fetch(ctx, f.keeper, kept, fetch.Options{Into: f.home()})
	if err != nil {
		return err
	}
	left, err := unsavedOf(ctx, f.keeper, kept)
	if err != nil {
		return err
	}
	result.Work.cameHome(fetched, left)
	f.tell(result, "%s: refs/bottle/%s/", result.Work.Words, result.Name)
	return nil
}

// hear takes what claude has said last, the end of it when it is much.
func (f *fanOut) hear(ctx context.Context, kept *backend.Work, result *runResult) error {
	said, errs := tail{most: maxSaid}, tail{most: maxSaid}
	err := readSessionLog(ctx, f.keeper, kept, func(piece supervise.Said) error {
		switch {
		case piece.Offset == 0: // claude was started again
			said.text, errs.text = nil, nil
		case piece.Stream == "stderr":
			errs.add(piece.Data)
		default:
			said.add(piece.Data)
		}
		return nil
	})
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	result.Said, result.SaidAside = string(said.text), string(errs.text)
	return nil
}
