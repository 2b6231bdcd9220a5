package controller

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"k8s.io/client-go/util/workqueue"
)

// Defaults of Options.
const (
	DefaultWorkers = 4
	DefaultResync  = 5 * time.Minute
)

// Bounds of the work on one name.
const (
	// reconcileTimeout is above that of a teardown on a slow daemon.
	reconcileTimeout = 3 * time.Minute
	// A name that failed is tried again after firstRetry, which doubles up to lastRetry.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Backend is what a controller needs of one.
type Backend interface {
	backend.Watcher
	backend.Reconciler
	// ListActive is that of backend.Backend.
	ListActive(ctx context.Context) ([]backend.Status, error)
}

// Options say what a controller works on, and how.
type Options struct {
	Backend Backend
	// Workers is how many names are worked on at a time; 0 is DefaultWorkers.
	Workers int
	// Resync is how often all bottles are looked at; 0 is DefaultResync.
	Resync time.Duration
	// UntilIdle ends the controller once there is nothing left to watch over: see Busy.
	UntilIdle bool
}

// Controller watches over the bottles of one backend. Its methods may be called from
// several goroutines, Run once.
type Controller struct {
	options Options
	queue   workqueue.TypedRateLimitingInterface[string]
	metrics *metrics
	settled chan struct{} // something was done since the last look at whether all is idle

	mu      sync.Mutex
	running map[string]time.Time // since when each name is worked on
	failing map[string]string    // why it failed last
}

// New returns a controller that does nothing before Run.
func New(options Options) *Controller {
	if options.Workers == 0 {
		options.Workers = DefaultWorkers
	}
	if options.Resync == 0 {
		options.Resync = DefaultResync
	}
	c := &Controller{
		options: options,
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry)),
		settled: make(chan struct{}, 1),
		running: map[string]time.Time{},
		failing: map[string]string{},
	}
	c.metrics = newMetrics(c.queue.Len)
	return c
}

// Run watches over the bottles until ctx ends or, with UntilIdle, there are none left to
// watch over. Bottles are left as they are.
func (c *Controller) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, c.queue.ShutDown)
	defer stop()
	var group sync.WaitGroup
	group.Go(func() { c.feed(ctx) })
	for range c.options.Workers {
		group.Go(func() {
			for c.work(ctx) {
			}
		})
	}
	if c.options.UntilIdle {
		group.Go(func() {
			defer cancel()
			c.awaitIdle(ctx)
		})
	}
	group.Wait()
}

// work does what there is to do for one name. It says false when there will be no more.
func (c *Controller) work(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	if ctx.Err() != nil {
		return true // the rest is the next controller's
	}
	began := time.Now()
	c.begin(name, began)
	again, err := c.reconcile(ctx, name)
	c.metrics.reconciled(time.Since(began), err)
	isNew := c.end(name, err)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		if isNew {
			log.G(ctx).WithError(err).WithField("bottle", backend.Printable(name)).Warn("reconcile; it is tried again")
		}
		c.queue.AddRateLimited(name)
	default:
		c.queue.Forget(name)
		if again > 0 {
			c.queue.AddAfter(name, again)
		}
	}
	c.settle()
	return true
}

// reconcile is the backend's, bounded. What it panics with is an error of that name.
func (c *Controller) reconcile(ctx context.Context, name string) (again time.Duration, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, reconcileTimeout,
		fmt.Errorf("it is not done after %s: %w", reconcileTimeout, context.DeadlineExceeded))
	defer cancel()
	defer func() {
		if fault := recover(); fault != nil {
			c.metrics.panics.Inc()
			log.G(ctx).WithField("bottle", backend.Printable(name)).Errorf("panic: %v\n%s", fault, debug.Stack())
			err = fmt.Errorf("panic: %v: %w", fault, errdefs.ErrInternal)
		}
	}()
	return c.options.Backend.Reconcile(ctx, name)
}

func (c *Controller) begin(name string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[name] = at
}

// end notes how it went. It says whether that is an error that was not there before: one
// that lasts is logged once.
func (c *Controller) end(name string, err error) (isNew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, name)
	if err == nil {
		delete(c.failing, name)
		return false
	}
	text := err.Error()
	isNew = c.failing[name] != text
	c.failing[name] = text
	return isNew
}

// Healthy is an error when a worker does not come back from a name.
func (c *Controller) Healthy() error {
	const grace = reconcileTimeout + 30*time.Second
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, since := range c.running {
		if time.Since(since) > grace {
			return fmt.Errorf("bottle %s has been worked on for %s: %w", backend.Printable(name), time.Since(since).Round(time.Second), errdefs.ErrUnavailable)
		}
	}
	return nil
}
