package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/controller"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/remote"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/spf13/cobra"
)

// controllerOptions are the flags of controller.
type controllerOptions struct {
	untilIdle bool
	workers   int
	resync    time.Duration
	listen    string
	users     usersOptions
}

func (a *application) controllerCommand() *cobra.Command {
	var o controllerOptions
	command := &cobra.Command{
		Use:   "controller",
		Short: "Watch over the bottles that live on without a client",
		Long: `Watch over bottles: start the supervisor of a detached one again when it has died, take
down what nobody holds, and remove what was declared to go some time after its end.

One controller works for a containerd socket, its namespace and --run-root. Another one
waits, and takes over when the first has ended. SIGTERM ends it; bottles live on.

` + "`start --detach`" + ` starts one by itself, with --until-idle, when none is there. What it
does is logged; /healthz and /metrics are served on controller.sock in the run directory,
and with --listen on a port of the loopback.

One that stays serves users who are not root, too: members of the group claude-bottle run
bottles of their own through ` + remote.DefaultSocket + `, within the limits under users in
` + manifest.DefaultHostFile + `. Where there is no such group, no socket is made. For
them it starts the bundled engine, where no other containerd is there, and keeps it up.`,
		Example: `  claude-bottle controller
  claude-bottle controller --listen 127.0.0.1:9120 --log-format json
  claude-bottle controller --users-socket none
  claude-bottle controller --until-idle`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			if o.workers < 1 || o.resync < time.Second {
				return usageError{errors.New("--workers takes 1 at least, --resync 1s at least")}
			}
			if !command.Flags().Changed("log-level") {
				if err := log.SetLevel("info"); err != nil {
					return fmt.Errorf("set log level: %w", err)
				}
			}
			a.looksOn, a.serves = !o.untilIdle, !o.untilIdle && o.users.served()
			signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
			ctx, stop := signal.NotifyContext(command.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return a.controller(ctx, o)
		},
	}
	flags := command.Flags()
	flags.BoolVar(&o.untilIdle, "until-idle", false, "end when no detached bottle is left, nor one that is to be removed later")
	flags.IntVar(&o.workers, "workers", controller.DefaultWorkers, "how many bottles are seen to at a time")
	flags.DurationVar(&o.resync, "resync", controller.DefaultResync, "how often all bottles are looked at")
	o.users.add(flags)
	flags.StringVar(&o.listen, "listen", "", "loopback `address` and port for /healthz and /metrics, as 127.0.0.1:9120")
	return command
}

// watchedBackend is a Backend that a controller can work on.
type watchedBackend interface {
	controller.Backend
	backend.Leader
}

// controller leads, or waits until it may, until ctx ends or there is nothing left to do.
func (a *application) controller(ctx context.Context, o controllerOptions) error {
	if err := supervise.Harden(); err != nil { // it hands secrets to supervisors
		return err
	}
	// Ready is said at once: whoever boots the machine is not to wait for containerd.
	notifier := controller.NewNotifier(a.lookup)
	notifier.Notify(ctx, "READY=1")
	defer notifier.Notify(context.WithoutCancel(ctx), "STOPPING=1")
	var work atomic.Pointer[controller.Controller]
	alive, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() {
		notifier.KeepAlive(alive, func() error {
			if at := work.Load(); at != nil {
				return at.Healthy()
			}
			return nil
		})
	})
	opened, err := a.openPatiently(ctx)
	if err != nil || opened == nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	watched, ok := opened.(watchedBackend)
	if !ok {
		return fmt.Errorf("bottles of this backend are not watched over by a controller: %w", errdefs.ErrNotImplemented)
	}
	group.Go(func() { a.keepEngine(alive) })
	defer a.startServingUsers(ctx, opened, o)()
	for ctx.Err() == nil {
		notifier.Notify(ctx, "STATUS=waiting for the end of another controller, if there is one")
		release, err := lead(ctx, watched, o.untilIdle)
		if err != nil || release == nil {
			return err
		}
		notifier.Notify(ctx, "STATUS=watching over bottles")
		work.Store(controller.New(controller.Options{Backend: watched, Workers: o.workers, Resync: o.resync, UntilIdle: o.untilIdle}))
		err = watchOver(ctx, watched, work.Load(), o.listen)
		work.Store(nil)
		release()
		if err != nil || ctx.Err() != nil {
			return err
		}
		// A bottle that was detached a moment ago has seen this one at work, perhaps.
		bottles, err := watched.ListActive(ctx)
		if err != nil || !controller.Busy(bottles, time.Now()) {
			return err
		}
	}
	return nil
}

// openPatiently is openBackend for who waits for a daemon that is away. Nothing and no
// error say that ctx has ended.
func (a *application) openPatiently(ctx context.Context) (closingBackend, error) {
	const pause = time.Second
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for first := true; ; first = false {
		opened, err := a.openBackend(ctx, backend.NoProgress{})
		if !errdefs.IsUnavailable(err) {
			return opened, err
		}
		if first {
			log.G(ctx).WithError(err).Warn("wait for containerd")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // as said
		}
	}
}

// lead waits for its turn. No release and no error say that there is none to come: ctx
// has ended, or another one leads and this one is not to wait.
func lead(ctx context.Context, leader backend.Leader, unlessLed bool) (release func(), err error) {
	const pause = 200 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for first := true; ; first = false {
		release, err := leader.Lead()
		switch {
		case !errdefs.IsUnavailable(err):
			return release, err
		case unlessLed:
			log.G(ctx).WithError(err).Info("nothing to do")
			return nil, nil //nolint:nilnil // as said
		case first:
			log.G(ctx).Info("another controller is at work: wait for its end")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // as said
		}
	}
}

// watchOver is the work of the one that leads, and answers who asks for it.
func watchOver(ctx context.Context, leader backend.Leader, work *controller.Controller, loopback string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listener, err := controller.ListenUnix(leader.ControllerFile("sock"))
	if err != nil {
		return err
	}
	listeners := []net.Listener{listener}
	if loopback != "" {
		listener, err := controller.ListenLoopback(loopback)
		if err != nil {
			return errors.Join(err, listeners[0].Close())
		}
		listeners = append(listeners, listener)
	}
	var group sync.WaitGroup
	for _, listener := range listeners {
		group.Go(func() {
			if err := controller.Serve(ctx, listener, work.Handler()); err != nil {
				log.G(ctx).WithError(err).Error("answer no more")
			}
		})
	}
	log.G(ctx).Info("watch over bottles")
	work.Run(ctx)
	cancel()
	group.Wait()
	return nil
}
