package supervise

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/neck"
)

// kindFence asks for the proof of the fence; it is answered when there is one.
const kindFence neck.Kind = "fence"

// fenceTimeout bounds the proof, on a machine that is busy with other things.
const fenceTimeout = 30 * time.Second

// fence is the proof that the way out is closed but for what is allowed. PID 1
// tries, and what this end saw of it decides: PID 1's own word is not enough.
type fence struct {
	request neck.FenceRequest
	done    chan struct{} // closed when it is proved, or can't be
	proof   backend.Fence
	err     error

	mu             sync.Mutex
	denied, opened bool // seen here
}

// newFence makes up names that nobody can have allowed: no rule matches them.
func newFence() *fence {
	nonce := strings.ToLower(rand.Text())
	return &fence{done: make(chan struct{}), request: neck.FenceRequest{
		Denied: "fence-" + nonce + ".invalid", Open: egress.GatewayHost, Port: gatewayPort, Path: "/fence-" + nonce,
	}}
}

// saw notes what the policy decided about the tries, and names them in the log.
func (f *fence) saw(event *egress.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case event.Kind == egress.KindDial && event.Host == f.request.Denied:
		event.Kind = egress.KindFence
		f.denied = !event.Allowed
	case event.Kind == egress.KindRequest && event.Path == f.request.Path:
		event.Kind = egress.KindFence
		f.opened = true
	}
}

// prove has PID 1 try the fence as soon as the neck is open.
func (s *supervisor) prove(ctx context.Context) {
	f := s.policy.fence
	defer close(f.done)
	select {
	case <-s.host.Ready():
	case <-ctx.Done():
		f.err = fmt.Errorf("prove the fence: %w", context.Cause(ctx))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fenceTimeout)
	defer cancel()
	begun := time.Now()
	err := s.tryFence(ctx)
	if err == nil {
		err = f.unseen()
	}
	if err != nil {
		f.err = fmt.Errorf("the bottle's fence does not hold, so nothing is started in it: %w", err)
		return
	}
	f.proof = backend.Fence{
		Time:    begun.UTC(),
		Denied:  []string{"a connection past the neck", f.request.Denied},
		Allowed: []string{f.request.Open},
		Micros:  time.Since(begun).Microseconds(),
	}
	if err := writeNote(filepath.Join(s.config.State, backend.FenceFile), f.proof); err != nil {
		f.err = fmt.Errorf("write proof of the fence: %w", err)
	}
}

func (s *supervisor) tryFence(ctx context.Context) error {
	stream, err := s.host.Open(ctx, neck.Request{Kind: neck.KindFence, Fence: &s.policy.fence.request})
	if err != nil {
		return err
	}
	return stream.Close()
}

// unseen says what this end should have seen, and did not.
func (f *fence) unseen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	if !f.denied {
		err = errors.New("no connection to a host that is not allowed was refused here")
	}
	if !f.opened {
		err = errors.Join(err, errors.New("no request to the gateway arrived here"))
	}
	return err
}

// proved returns the proof once there is one.
func (s *supervisor) proved(ctx context.Context) (backend.Fence, error) {
	select {
	case <-s.policy.fence.done:
		return s.policy.fence.proof, s.policy.fence.err
	case <-ctx.Done():
		return backend.Fence{}, context.Cause(ctx)
	}
}

// Fence returns the proof that the bottle's fence holds, or why it does not.
func (c *Client) Fence(ctx context.Context) (backend.Fence, error) {
	var proof backend.Fence
	err := c.egress(ctx, neck.Request{Kind: kindFence}, &proof)
	return proof, err
}
