package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// Planner plans and launches from what another process has read.
type Planner interface {
	// PrepareGiven is that of backend.Backend, and opens nothing that the spec names.
	PrepareGiven(ctx context.Context, spec backend.Spec, things provision.Provisions) (*backend.Plan, error)
	// LaunchGiven is that of backend.Backend, with the places filled by the provisioner.
	LaunchGiven(ctx context.Context, plan *backend.Plan, secrets backend.Secrets, by backend.Provisioner) (backend.Bottle, error)
}

// Recorder knows what has become of bottles, what was declared of them, and what they take.
type Recorder interface {
	backend.Historian
	backend.Declarer
	backend.Meter
}

// Backend is the backend of one user: its bottles are that user's, and no others.
type Backend interface {
	Planner
	backend.Keeper
	Recorder
	// ListActive is that of backend.Backend.
	ListActive(ctx context.Context) ([]backend.Status, error)
	// Supervisor connects to the supervisor of a running bottle.
	Supervisor(ctx context.Context, name string) (*backend.Work, *supervise.Client, error)
}

// Options say whom a server serves, and with what.
type Options struct {
	// Open returns the backend of a user. It is asked once a user, and goes on to own it.
	Open func(ctx context.Context, uid uint32) (Backend, error)
	// Quota reads what the host demands of bottles, and gives to a user.
	Quota func(uid uint32) (backend.HostFile, backend.Quota, error)
}

// Bounds of what all clients may have under way.
const (
	maxConnections     = 256
	maxUserConnections = 16
	maxReached         = 16 // bottles that a user reaches at a time
	// What a stream holds by itself is a request and what was sent beyond it, 1.25 MiB; what a
	// client says beyond that is bounded by maxViews and change.MaxKnown.
	maxUserStreams = 128
)

// Server serves users. Its methods may be called from several goroutines.
type Server struct {
	options Options

	mu          sync.Mutex
	users       map[uint32]*user
	connections int
}

// user is who is behind a connection, as the kernel says.
type user struct {
	options   Options
	uid       uint32
	opening   sync.Mutex // held while the backend is opened
	backend   Backend
	admitting sync.Mutex // held while the bottles of the user are counted
	forking   sync.Mutex // held while one is copied
	viewing   chan struct{}

	mu          sync.Mutex
	connections int
	reached     int
	streams     int // of all connections, and of links to bottles
	launching   map[string]backend.Limits
}

// NewServer returns a server that serves nobody yet.
func NewServer(options Options) *Server {
	return &Server{options: options, users: map[uint32]*user{}}
}

// Serve serves on the listener, which it closes, until ctx ends, and then waits for the
// bottles that have lost their client by that.
func (s *Server) Serve(ctx context.Context, listener *net.UnixListener) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept user: %w", err)
		case err != nil: // as one without a descriptor left: the others are served
			log.G(ctx).WithError(err).Error("accept user")
			pause(ctx)
			continue
		}
		group.Go(func() {
			defer func() { _ = conn.Close() }()
			if err := s.serve(ctx, conn); err != nil && ctx.Err() == nil {
				log.G(ctx).WithError(err).Debug("serve user")
			}
		})
	}
}

func pause(ctx context.Context) {
	const long = time.Second
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// serve serves one connection to its end.
func (s *Server) serve(ctx context.Context, conn *net.UnixConn) error {
	uid, err := supervise.PeerOf(conn)
	if err != nil {
		return err
	}
	u, leave, err := s.enter(uid)
	if err != nil {
		return err
	}
	defer leave()
	link, err := neck.ServerOfStranger(conn)
	if err != nil {
		return err
	}
	defer func() { _ = link.Close() }()
	c := &connection{user: u, held: map[string]*held{}}
	defer c.end(ctx)
	if err := link.Serve(ctx, neck.Bounds{Streams: maxStreams, Request: maxBody, Strict: true, Enter: u.stream}, c.handle); err != nil {
		log.G(ctx).WithError(err).WithField("uid", uid).Debug("user leaves")
	}
	return nil
}

// enter counts one more connection of a user.
func (s *Server) enter(uid uint32) (_ *user, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.users[uid]
	if !ok {
		u = &user{options: s.options, uid: uid, launching: map[string]backend.Limits{}, viewing: make(chan struct{}, maxViews)}
		s.users[uid] = u
	}
	if s.connections >= maxConnections || u.connections >= maxUserConnections {
		return nil, nil, fmt.Errorf("uid %d has %d connections, all together %d: %w", uid, u.connections, s.connections, errdefs.ErrResourceExhausted)
	}
	s.connections++
	u.connections++
	return u, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.connections--
		u.connections--
	}, nil
}

// stream counts one more stream of a user. Who opens too many loses the link on which that
// was, as with too many on one.
func (u *user) stream() (leave func(), ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.streams >= maxUserStreams {
		return nil, false
	}
	u.streams++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.streams--
	}, true
}

// open opens the user's backend, once.
func (u *user) open(ctx context.Context) error {
	u.opening.Lock()
	defer u.opening.Unlock()
	if u.backend != nil {
		return nil
	}
	// It outlives the request that came first.
	opened, err := u.options.Open(context.WithoutCancel(ctx), u.uid)
	if err != nil {
		return err
	}
	u.backend = opened
	return nil
}
