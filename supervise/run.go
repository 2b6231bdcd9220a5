package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// downTimeout bounds the teardown of one bottle; after that it is left to
// cleanup. servedTimeout bounds the wait for streams that are under way when the
// bottle is gone already.
const (
	downTimeout   = 5 * time.Minute
	servedTimeout = 10 * time.Second
)

// Sandbox is the running bottle as its backend sees it.
type Sandbox interface {
	// Down takes the bottle down to its kept work, or to nothing with
	// discard. It is idempotent, and waits for a daemon that is away: not for
	// long once hurried is closed.
	Down(ctx context.Context, discard bool, hurried <-chan struct{}) error
}

// Forgetful is a Sandbox that knows which secrets nobody but their user can bring again.
type Forgetful interface{ Missing() []string }

// supervisor is the state of one process.
type supervisor struct {
	config Config
	host   *neck.Host
	policy *gate
	claude *claude
	again  *againNotes
	idle   *idle
	// renaming is held from making a table of names until PID 1 has it.
	renaming sync.Mutex

	// answers are those that clients are to get though the bottle goes.
	answers answers

	left   chan struct{} // closed when its launcher has left
	wanted chan struct{} // closed when the bottle is to go
	once   sync.Once
	gone   chan struct{} // closed when it is gone
}

// Run stays with the bottle until ctx ends, somebody asks for its end, its launcher is
// gone, or, once it is detached, its claude has ended; then it takes the bottle down and
// returns. When it can't serve the bottle it leaves it to the launcher.
func Run(ctx context.Context, config Config, inherited Inherited, sandbox Sandbox) error {
	defer func() { _ = inherited.Lock.Close() }()
	if err := Harden(); err != nil {
		return err
	}
	s := &supervisor{
		config: config, claude: newClaude(config.Again), again: newAgainNotes(config), idle: newIdle(),
		left: make(chan struct{}), wanted: make(chan struct{}), gone: make(chan struct{}),
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served, err := s.serve(serving, inherited.Launcher, sandbox)
	if err != nil {
		// Nobody can reach the bottle. Its launcher is still at work on it,
		// rolls it back, and finds the reason in the log.
		_ = inherited.Launcher.Close()
		return err
	}
	select {
	case <-ctx.Done():
	case <-s.wanted:
		s.awaitTold(ctx)
	}
	down, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
	defer cancel()
	discard := config.Discard || s.halfMade()
	if !discard {
		if ctx.Err() != nil {
			s.lose(sandbox)
		}
		s.settle(down)
	}
	// Who is told to end by a signal is one of many, when the host is shut down: its daemon
	// has been told, too, and does not come back.
	downErr := sandbox.Down(down, discard, ctx.Done())
	close(s.gone)
	s.awaitLauncher()
	stop()
	awaitServed(ctx, served)
	return downErr
}

// awaitLauncher waits for who is to hear why its bottle was ended, bounded.
func (s *supervisor) awaitLauncher() {
	if s.policy.report().Evicted == "" {
		return
	}
	timer := time.NewTimer(servedTimeout)
	defer timer.Stop()
	select {
	case <-s.left:
	case <-timer.C:
	}
}

// awaitServed waits for the streams, so that their last words are logged; the
// lock is held meanwhile, so not for ever.
func awaitServed(ctx context.Context, served func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		served()
	}()
	timer := time.NewTimer(servedTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		log.G(ctx).Warn("streams do not end; leave them")
	}
}

// answers are waited for, as long as there are any.
type answers struct {
	mu    sync.Mutex
	ended bool
	group sync.WaitGroup
}

// begin begins one; the returned function ends it. After the end nobody is waited for.
func (a *answers) begin() (done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return func() {}
	}
	a.group.Add(1)
	return a.group.Done
}

// end waits for those that have begun.
func (a *answers) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	a.group.Wait()
}

// end says that the bottle is to go.
func (s *supervisor) end() { s.once.Do(func() { close(s.wanted) }) }

// Harden keeps the secrets of this process out of core dumps, and out of reach of
// other processes of the same user. Programs that it starts leave no core, too.
func Harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make process undumpable: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}

// serve opens the neck and the control socket. The returned function waits for
// everything that it started, once ctx has ended.
func (s *supervisor) serve(ctx context.Context, launcher net.Conn, sandbox Sandbox) (wait func(), err error) {
	if s.policy, err = newGate(s.config); err != nil {
		return nil, err
	}
	if err := s.policy.repeat(s.config.Again.changes()); err != nil {
		return nil, err
	}
	s.host = neck.NewHost(neck.HostOptions{Names: s.policy.names(), Handle: s.fromBottle, Token: s.config.Again.token(), Issued: s.issued})
	neckListener, err := listen(s.config.neckSocket(), s.config.UID)
	if err != nil {
		return nil, err
	}
	control, err := listen(s.config.controlSocket(), os.Geteuid())
	if err != nil {
		_ = neckListener.Close()
		return nil, err
	}
	// Clients are served until the streams have ended, to follow them to the last.
	clients, release := context.WithCancel(context.WithoutCancel(ctx))
	var group, streams sync.WaitGroup
	streams.Go(func() {
		if err := s.host.Serve(ctx, neckListener); err != nil && ctx.Err() == nil {
			log.G(ctx).WithError(err).Error("neck ends")
			s.end()
		}
	})
	streams.Go(func() { s.prove(ctx) })
	streams.Go(func() { s.keepClaude(ctx) })
	streams.Go(func() { s.limitLife(ctx) })
	streams.Go(func() { s.watchDisk(ctx, sandbox) })
	if reason := s.config.Again.ending(); reason != "" {
		streams.Go(func() { s.finish(ctx, reason) })
	}
	group.Go(func() { s.serveControl(clients, control) })
	group.Go(func() { s.policy.routes.keepFresh(ctx) })
	group.Go(func() {
		s.serveClient(clients, launcher)
		close(s.left)
		if !s.claude.isDetached() {
			s.end()
		}
	})
	return func() {
		_ = neckListener.Close()
		streams.Wait()
		s.answers.end()
		release()
		group.Wait()
		s.policy.close()
	}, nil
}

// listen makes a socket that nobody but root and that user can connect to.
func listen(path string, uid int) (*net.UnixListener, error) {
	// A path longer than sun_path is reached through its directory.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("open socket directory: %w", err)
	}
	defer func() { _ = dir.Close() }()
	short := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	// The one of a supervisor that died answers nobody.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(path, 0o600), os.Lchown(path, uid, -1)); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("close socket to others: %w", err)
	}
	return listener, nil
}
