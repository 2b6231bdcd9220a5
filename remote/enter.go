package remote

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/fetch"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// supervised is a way into a bottle that has a supervisor.
type supervised interface {
	Supervisor() *supervise.Client
}

// leaveTime bounds the end of a helper bottle.
const leaveTime = time.Minute

// enter makes a link of the stream, to where the work of a bottle can be looked at, and to
// the books of it. A helper bottle, and the hold of what is kept, end with the link.
func (c *connection) enter(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked entering
	if err := decode(body, &asked); err != nil {
		return err
	}
	leave, err := c.user.reaches()
	if err != nil {
		return err
	}
	defer leave()
	found, err := c.user.backend.Find(ctx, asked.Name)
	if err != nil {
		return err
	}
	client, out, err := c.wayInto(ctx, found, asked.Pristine)
	if err != nil {
		return err
	}
	defer func() { _ = out() }() // said where it is done
	if err := stream.Accept(); err != nil {
		return err
	}
	books := &entered{work: found, closed: asked.Pristine, leave: out, views: c.user.views}
	defer books.close()
	c.serveLink(ctx, stream, func(ctx context.Context, request neck.Request, stream neck.Stream) {
		if !books.answers(ctx, request, stream) {
			relay(ctx, client, request, stream)
		}
	})
	return nil
}

// wayInto is the supervisor of a running bottle, or of a helper.
func (c *connection) wayInto(ctx context.Context, found *backend.Work, pristine bool) (*supervise.Client, func() error, error) {
	if found.Running && !pristine {
		_, client, err := c.user.backend.Supervisor(ctx, found.ID.Handle())
		if err != nil {
			return nil, nil, err
		}
		return client, func() error { client.Close(); return nil }, nil
	}
	bring := c.user.backend.Enter
	if pristine {
		pristiner, ok := c.user.backend.(backend.Pristiner)
		if !ok {
			return nil, nil, fmt.Errorf("this backend can't bring up a bottle to compare with: %w", errdefs.ErrNotImplemented)
		}
		bring = pristiner.Pristine
	}
	release, err := c.user.admitHelper(ctx, found)
	if err != nil {
		return nil, nil, err
	}
	inside, err := bring(ctx, found)
	if err != nil {
		release()
		return nil, nil, err
	}
	out := sync.OnceValue(func() error {
		defer release()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
		defer cancel()
		err := inside.Close(ctx)
		if err != nil {
			log.G(ctx).WithError(err).WithField("uid", c.user.uid).Warn("take down the helper of a user")
		}
		return err
	})
	way, ok := inside.(supervised)
	if !ok {
		return nil, nil, errors.Join(fmt.Errorf("this backend has no supervisors: %w", errdefs.ErrNotImplemented), out())
	}
	return way.Supervisor(), out, nil
}

// admitHelper makes room for a helper, which has the limits of the bottle that it helps.
func (u *user) admitHelper(ctx context.Context, found *backend.Work) (release func(), err error) {
	if found.Plan == nil {
		return nil, fmt.Errorf("the plan of %s can't be read, so its image is unknown: `claude-bottle cp` copies its files: %w", found.Handle(), errdefs.ErrFailedPrecondition)
	}
	_, quota, err := u.options.Quota(u.uid)
	if err != nil {
		return nil, err
	}
	if err := runtimeAllowed(found.Plan.Runtime.Name, quota); err != nil {
		return nil, err
	}
	// Nothing is kept of it.
	return u.admit(ctx, &backend.Plan{Name: helperOf + found.ID.Handle() + " " + rand.Text(), Limits: found.Plan.Limits, Resume: &backend.PlanResume{}}, quota)
}

// entered keeps the books of a bottle for a client that can't read them.
type entered struct {
	work   *backend.Work
	closed bool // there are none
	leave  func() error
	views  func(context.Context) (func(), error) // makes room in memory

	mu   sync.Mutex
	mark *os.File // without a name; the mark of a large workspace is no burden on memory
}

func (e *entered) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mark != nil {
		_ = e.mark.Close()
	}
}

// answers says whether a request was for the books, and answers it then.
func (e *entered) answers(ctx context.Context, request neck.Request, stream neck.Stream) bool {
	var answer func(context.Context, neck.Stream) error
	switch request.Kind {
	case kindLeave:
		answer = e.left
	case kindTips:
		answer = e.tips
	case kindMark:
		answer = e.note
	case kindSettle:
		answer = e.settle
	}
	if answer == nil || e.closed && request.Kind != kindLeave {
		return false
	}
	if err := answer(ctx, stream); err != nil {
		_ = stream.Refuse(err)
	}
	return true
}

// left answers once the helper is gone: then the next one may come.
func (e *entered) left(_ context.Context, stream neck.Stream) error {
	if err := e.leave(); err != nil {
		return err
	}
	return say(stream, struct{}{})
}

func (e *entered) tips(_ context.Context, stream neck.Stream) error {
	known, err := ledger.Tips(e.work)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(known))
	return say(stream, names[:min(len(names), fetch.MaxHaves)])
}

func (e *entered) note(ctx context.Context, stream neck.Stream) error {
	leave, err := e.views(ctx)
	if err != nil {
		return err
	}
	defer leave()
	e.mu.Lock()
	defer e.mu.Unlock()
	now, err := fetch.Mark(ctx, e.work)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(e.work.State, "mark-*")
	if err != nil {
		return fmt.Errorf("note how the workspace is: %w", err)
	}
	err = errors.Join(os.Remove(file.Name()), now.Write(file), ledger.KeepTime(e.work))
	if err != nil {
		return errors.Join(fmt.Errorf("note how the workspace is: %w", err), file.Close())
	}
	if e.mark != nil {
		_ = e.mark.Close()
	}
	e.mark = file
	return say(stream, struct{}{})
}

// marked reads the mark.
func (e *entered) marked() (archive.Baseline, error) {
	if e.mark == nil {
		return nil, fmt.Errorf("settle: nothing was marked: %w", errdefs.ErrFailedPrecondition)
	}
	if _, err := e.mark.Seek(0, 0); err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	return archive.ReadBaseline(e.mark)
}

func (e *entered) settle(ctx context.Context, stream neck.Stream) error {
	leave, err := e.views(ctx)
	if err != nil {
		return err
	}
	defer leave()
	e.mu.Lock()
	defer e.mu.Unlock()
	mark, err := e.marked()
	if err != nil {
		return err
	}
	if err := stream.Accept(); err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	command := neck.NewCommand(stream)
	var came homecoming
	err = decodeAll(&sent{command: command, left: maxHomecoming}, &came)
	var home fetch.Home
	if err == nil {
		home, err = came.home()
	}
	var left fetch.Left
	if err == nil {
		left, err = fetch.Settle(ctx, e.work, mark, home)
	}
	if err == nil {
		err = json.NewEncoder(command.Stdout()).Encode(left)
	}
	return finish(command, err)
}

// maxHomecoming bounds what a client says of what has come home, in bytes.
const maxHomecoming = 64 << 20

// home is what the client says, checked. A lie in it costs the liar's own work.
func (h *homecoming) home() (fetch.Home, error) {
	home := fetch.Home{Whole: h.Whole, Objects: h.Objects, Tree: make(map[string]fetch.Entry, len(h.Files))}
	for _, name := range h.Objects {
		if !ledger.IsObjectName(name) {
			return home, refuse("an object has no name of git's")
		}
	}
	for _, file := range h.Files {
		if !ledger.IsObjectName(file.Object) {
			return home, refuse("an object has no name of git's")
		}
		home.Tree[string(file.Path)] = fetch.Entry{Mode: file.Mode, Object: file.Object}
	}
	return home, nil
}
