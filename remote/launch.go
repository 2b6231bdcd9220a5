package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// errClientGone is why a launch whose client has left is broken off.
var errClientGone = fmt.Errorf("the client is gone: %w", errdefs.ErrAborted)

func (c *connection) prepare(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	wish, err := DecodeWish(body)
	if err != nil {
		return err
	}
	plan, err := c.user.prepare(ctx, wish)
	if err != nil {
		return err
	}
	digest := plan.Digest()
	if !wish.DryRun {
		size, err := json.Marshal(plan)
		if err != nil {
			return fmt.Errorf("encode plan: %w", err)
		}
		c.note(prepared{digest: digest, plan: plan, size: len(size)})
	}
	answer := planned{Plan: wirePlan{Plan: *plan}, Digest: digest}
	if plan.Detail != nil {
		answer.Detail = plan.Detail.String()
	}
	answer.Plan.Plan.Detail = nil
	return say(stream, answer)
}

// note keeps a plan for its launch. There is room for so many bytes: the oldest plans, which
// nobody has launched, make it.
func (c *connection) note(one prepared) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.prepared = slices.DeleteFunc(c.prepared, func(other prepared) bool { return other.digest == one.digest })
	c.prepared = append(c.prepared, one)
	total := 0
	for _, each := range c.prepared {
		total += each.size
	}
	for len(c.prepared) > 1 && total > maxPrepared {
		total -= c.prepared[0].size
		c.prepared = slices.Delete(c.prepared, 0, 1)
	}
}

// planned takes a plan for its launch.
func (c *connection) planned(digest string) (*backend.Plan, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.prepared, func(one prepared) bool { return one.digest == digest })
	if at < 0 {
		return nil, fmt.Errorf("there is no such plan to launch, or none any more: plan it anew: %w", errdefs.ErrNotFound)
	}
	plan := c.prepared[at].plan
	c.prepared = slices.Delete(c.prepared, at, at+1)
	return plan, nil
}

// secrets are what the client has read. Nothing that was said is renewed here.
func (l *launching) secrets(plan *backend.Plan) (*backend.Plan, backend.Secrets) {
	secrets := backend.Secrets{
		Credential: backend.NewSecret(l.Credential),
		Env:        map[string]backend.Secret{}, Routes: map[string]backend.RouteSecret{}, Passphrases: map[string]backend.Secret{},
	}
	for name, value := range l.Env {
		secrets.Env[name] = backend.NewSecret(value)
	}
	for name, value := range l.Routes {
		secrets.Routes[name] = backend.RouteSecret{Secret: backend.NewSecret(value)}
	}
	for host, value := range l.Passphrases {
		secrets.Passphrases[host] = backend.NewSecret(value)
	}
	with := *plan
	with.SSH = make([]backend.PlanSSH, len(plan.SSH))
	for i, entry := range plan.SSH {
		with.SSH[i] = backend.NewPlanSSH(entry, l.Keys[entry.Host])
	}
	return &with, secrets
}

func (c *connection) launch(ctx context.Context, body json.RawMessage, stream neck.Stream) error {
	var asked launching
	if err := decode(body, &asked); err != nil {
		return err
	}
	plan, err := c.planned(asked.Plan)
	if err != nil {
		return err
	}
	_, quota, err := c.user.options.Quota(c.user.uid)
	if err != nil {
		return err
	}
	if err := runtimeAllowed(plan.Runtime.Name, quota); err != nil {
		return err
	}
	release, err := c.user.admit(ctx, plan, quota)
	if err != nil {
		return err
	}
	defer release()
	plan, secrets := asked.secrets(plan)
	if err := c.hold(plan.Name); err != nil {
		return err
	}
	if err := stream.Accept(); err != nil {
		c.forget(plan.Name)
		return err
	}
	bottle, err := c.launchFor(ctx, plan, secrets, stream)
	last := launched{Done: true}
	if err != nil {
		c.forget(plan.Name)
		last = launched{Failure: neck.FailureOf(err)}
	} else {
		c.mu.Lock()
		c.held[plan.Name].bottle = bottle
		c.mu.Unlock()
	}
	_ = json.NewEncoder(stream).Encode(last) // one who is gone ends the connection
	_ = stream.Close()
	return nil
}

// hold takes the name for a launch: one at a time has it.
func (c *connection) hold(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[name] != nil {
		return fmt.Errorf("bottle %s was launched by this client already: %w", name, errdefs.ErrAlreadyExists)
	}
	c.held[name] = &held{}
	return nil
}

func (c *connection) launchFor(ctx context.Context, plan *backend.Plan, secrets backend.Secrets, stream neck.Stream) (backend.Bottle, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answers := make(chan filled, 1)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		defer cancel(errClientGone)
		decoder := json.NewDecoder(io.LimitReader(stream, maxBody))
		for first := true; ; first = false {
			var answer filled
			if decoder.Decode(&answer) != nil || !first {
				return
			}
			answers <- answer
		}
	}()
	bottle, err := c.user.backend.LaunchGiven(ctx, plan, secrets, &filler{connection: c, stream: stream, answers: answers})
	_ = stream.SetReadDeadline(time.Now())
	<-heard
	return bottle, err
}

// baseKeeper is a target that can keep what has gone into its workspace.
type baseKeeper interface {
	KeepBase(ctx context.Context, known change.Known) error
}

// keepBase keeps what went in, if the client has said which of it is in its repository.
func (f *filler) keepBase(ctx context.Context, plan *backend.Plan, target backend.Target) error {
	var known change.Known
	f.connection.mu.Lock()
	if one := f.connection.held[plan.Name]; one != nil {
		known, one.known = one.known, nil
	}
	f.connection.mu.Unlock()
	keeper, ok := target.(baseKeeper)
	if !ok || known == nil || plan.Resume != nil || plan.Discard {
		return nil
	}
	return keeper.KeepBase(ctx, known)
}

// filler has the client fill the places of a bottle.
type filler struct {
	connection *connection
	stream     neck.Stream
	answers    <-chan filled
}

// Provision implements backend.Provisioner.
func (f *filler) Provision(ctx context.Context, plan *backend.Plan, target backend.Target) (string, error) {
	f.connection.mu.Lock()
	if one := f.connection.held[plan.Name]; one != nil {
		one.target = target
	}
	f.connection.mu.Unlock()
	if err := json.NewEncoder(f.stream).Encode(launched{Fill: true}); err != nil {
		return "", errors.Join(errClientGone, err)
	}
	select {
	case answer := <-f.answers:
		if answer.Failure != nil {
			return "", answer.Failure.Err()
		}
		return "", f.keepBase(ctx, plan, target) // who starts claude has the path of the prompt
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
