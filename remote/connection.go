package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/claude-bottle/claude-bottle/work"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// Bounds of what a connection is waited for, and keeps.
const (
	closeTimeout = time.Minute
	examineTime  = 1500 * time.Millisecond
)

// connection is one client, and the bottles that end with it.
type connection struct {
	user *user

	mu       sync.Mutex
	held     map[string]*held // by name
	prepared []prepared       // the oldest first

	measuring sync.Mutex // held while bottles are measured
	measurer  *supervise.Measurer
}

// prepared is a plan that waits for its launch.
type prepared struct {
	digest string
	plan   *backend.Plan
	size   int // in bytes
}

// held is a bottle that was launched on a connection.
type held struct {
	bottle backend.Bottle // nil while it is launched
	target backend.Target
	known  change.Known
}

// handle answers one request. What it panics with ends nothing but that.
func (c *connection) handle(ctx context.Context, request neck.Request, stream neck.Stream) {
	logger := log.G(ctx).WithField("uid", c.user.uid).WithField("kind", backend.Printable(string(request.Kind)))
	defer func() {
		if fault := recover(); fault != nil {
			logger.Errorf("panic: %v\n%s", fault, debug.Stack())
			_ = stream.Close()
		}
	}()
	if err := c.answer(ctx, request, stream); err != nil {
		logger.WithError(err).Debug("refuse user")
		_ = stream.Refuse(err)
	}
}

// answer returns an error for what has no answer yet.
func (c *connection) answer(ctx context.Context, request neck.Request, stream neck.Stream) error {
	if request.Kind == kindHello {
		return c.greet(ctx, request.Body, stream)
	}
	if c.user.ready() == nil {
		return fmt.Errorf("nobody has said hello: %w", errdefs.ErrFailedPrecondition)
	}
	answers := map[neck.Kind]func(context.Context, json.RawMessage, neck.Stream) error{
		kindList: c.list, kindFind: c.find, kindEvents: c.events, kindUnsaved: c.unsaved, kindRemove: c.remove, kindLog: c.log,
		kindPrepare: c.prepare, kindLaunch: c.launch, kindExtract: c.extract, kindDetach: c.detach, kindClose: c.close,
		kindReach: c.reach, kindPack: c.pack, kindUnpack: c.unpack, kindEnter: c.enter, kindKnown: c.known, kindView: c.view,
		kindCame: c.came, kindFork: c.fork, kindDeclare: c.declare, kindMeasure: c.measure,
	}
	answer, ok := answers[request.Kind]
	if !ok {
		return fmt.Errorf("%s is nothing that can be asked for here: %w", backend.Printable(string(request.Kind)), errdefs.ErrNotImplemented)
	}
	return answer(ctx, request.Body, stream)
}

// ready is the user's backend, or nil.
func (u *user) ready() Backend {
	u.opening.Lock()
	defer u.opening.Unlock()
	return u.backend
}

// greet refuses all where the host's file is wrong.
func (c *connection) greet(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked hello
	if err := decode(body, &asked); err != nil {
		return err
	}
	if asked.Version != protocolVersion {
		return fmt.Errorf("the client speaks version %d, the controller %d: use the same release of both, and start the controller again: %w", asked.Version, protocolVersion, errdefs.ErrFailedPrecondition)
	}
	if _, _, err := c.user.options.Quota(c.user.uid); err != nil {
		return err
	}
	if err := c.user.open(ctx); err != nil {
		return err
	}
	return say(stream, hello{Version: protocolVersion})
}

// say answers yes, and with a value.
func say(stream neck.Stream, value any) error {
	if err := stream.Accept(); err != nil {
		return nil //nolint:nilerr // the client is gone
	}
	_ = json.NewEncoder(stream).Encode(value) // as above
	_ = stream.Close()
	return nil
}

func (c *connection) list(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked listing
	if err := decode(body, &asked); err != nil {
		return err
	}
	list, err := c.user.backend.ListActive(ctx)
	if err != nil {
		return err
	}
	if asked.Examine {
		long, takes := examineTime, func(phase backend.Phase) bool { return phase == backend.PhaseKept || phase == backend.PhaseRunning }
		if asked.Kept {
			long, takes = viewTime, func(phase backend.Phase) bool { return phase == backend.PhaseKept }
		}
		within, cancel := context.WithTimeout(ctx, long)
		defer cancel()
		work.Examine(within, list, takes)
	}
	for i := range list {
		list[i].Workspace = "" // root's
		if list[i].Unsaved != nil {
			list[i].Unsaved.Workspace = ""
		}
	}
	return say(stream, list)
}

func (c *connection) find(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	found, err := c.work(ctx, body)
	if err != nil {
		return err
	}
	found.State = ""
	return say(stream, found)
}

func (c *connection) work(ctx context.Context, body json.RawMessage) (*backend.Work, error) {
	var asked named
	if err := decode(body, &asked); err != nil {
		return nil, err
	}
	return c.user.backend.Find(ctx, asked.Name)
}

func (c *connection) events(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked named
	if err := decode(body, &asked); err != nil {
		return err
	}
	events, err := c.user.backend.Events(ctx, asked.Name)
	if err != nil {
		return err
	}
	return say(stream, events)
}

func (c *connection) unsaved(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked unsavedOf
	if err := decode(body, &asked); err != nil {
		return err
	}
	var unsaved backend.Unsaved
	if asked.Held {
		bottle, err := c.bottle(asked.Name)
		if err != nil {
			return err
		}
		unsaver, ok := bottle.(backend.Unsaver)
		if !ok {
			return fmt.Errorf("this backend can't tell what is unsaved: %w", errdefs.ErrNotImplemented)
		}
		if unsaved, err = unsaver.Unsaved(ctx); err != nil {
			return err
		}
	} else {
		found, err := c.user.backend.Find(ctx, asked.Name)
		if err != nil {
			return err
		}
		if unsaved, err = work.Unsaved(ctx, found); err != nil {
			return err
		}
	}
	unsaved.Workspace = ""
	return say(stream, unsaved)
}

// bottle is one that was launched on this connection.
func (c *connection) bottle(name string) (backend.Bottle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.held[name]; one != nil && one.bottle != nil {
		return one.bottle, nil
	}
	return nil, fmt.Errorf("bottle %s was not launched by this client: %w", backend.Printable(name), errdefs.ErrNotFound)
}

// launched is bottle for a request that names it.
func (c *connection) launched(body json.RawMessage) (backend.Bottle, error) {
	var asked named
	if err := decode(body, &asked); err != nil {
		return nil, err
	}
	return c.bottle(asked.Name)
}

func (c *connection) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, name)
}

func (c *connection) detach(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	bottle, err := c.launched(body)
	if err != nil {
		return err
	}
	detacher, ok := bottle.(backend.Detacher)
	if !ok {
		return fmt.Errorf("bottles of this backend end with their client: %w", errdefs.ErrNotImplemented)
	}
	if err := detacher.Detach(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	c.forget(bottle.Name())
	return say(stream, struct{}{})
}

func (c *connection) close(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	bottle, err := c.launched(body)
	if err != nil {
		return err
	}
	err = bottle.Close(context.WithoutCancel(ctx))
	c.forget(bottle.Name())
	if err != nil {
		return err
	}
	return say(stream, struct{}{})
}

// end takes down what has lost its client.
func (c *connection) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	c.measuring.Lock()
	if c.measurer != nil {
		c.measurer.Close()
	}
	c.measuring.Unlock()
	var failed error
	for _, one := range c.held {
		if one.bottle != nil {
			failed = errors.Join(failed, one.bottle.Close(ctx))
		}
	}
	if failed != nil {
		log.G(ctx).WithError(failed).WithField("uid", c.user.uid).Warn("take down the bottles of a client that is gone")
	}
}
