package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// Kinds of request about egress. Host and port are in the request, the answer
// follows as JSON.
const (
	kindAllow   neck.Kind = "egress allow"
	kindDeny    neck.Kind = "egress deny"
	kindApprove neck.Kind = "egress approve"
	kindPending neck.Kind = "egress pending"
	kindTest    neck.Kind = "egress test"
)

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 1 << 20

// Changed is what came of a change.
type Changed struct {
	// Cut counts the connections that were ended.
	Cut int `json:"cut"`
	// Approved is what is no longer held.
	Approved []egress.Held `json:"approved,omitempty"`
}

// ask makes hosts that no rule names be asked for, if that is the plan.
func (g *gate) ask(ask *backend.PlanAsk) error {
	if ask == nil {
		return nil
	}
	return g.policy.AskFor(*ask, g.log)
}

// egress answers a client's request about egress.
func (s *supervisor) egress(ctx context.Context, request neck.Request, stream neck.Stream) error {
	var answer any
	var err error
	switch request.Kind {
	case kindAllow:
		answer, err = s.change(ctx, request, s.policy.policy.Allow)
	case kindDeny:
		answer, err = s.change(ctx, request, s.policy.policy.Deny)
	case kindApprove:
		answer, err = s.approve(ctx, request)
	case kindPending:
		answer = s.policy.policy.Pending()
	case kindReport:
		answer = s.policy.report()
	case kindFence:
		answer, err = s.proved(ctx)
	case kindTest:
		answer = s.policy.test(request.Host, request.Port)
	default:
		err = fmt.Errorf("request %q: %w", request.Kind, errdefs.ErrNotImplemented)
	}
	if err != nil {
		return stream.Refuse(err)
	}
	defer func() { _ = stream.Close() }()
	if err := stream.Accept(); err != nil {
		return err
	}
	return json.NewEncoder(stream).Encode(answer)
}

// change does what the user says, and returns once it holds everywhere.
func (s *supervisor) change(ctx context.Context, request neck.Request, say func(string) error) (Changed, error) {
	if err := say(request.Host); err != nil {
		return Changed{}, err
	}
	s.policy.note(request.Kind, request.Host)
	s.noteChange(ctx, Change{Kind: request.Kind, Entry: request.Host})
	return Changed{Cut: s.applied(ctx)}, nil
}

func (s *supervisor) approve(ctx context.Context, request neck.Request) (Changed, error) {
	approved, err := s.policy.policy.Approve(request.Host)
	for _, held := range approved {
		s.policy.note(request.Kind, fmt.Sprintf("%s:%d", held.Host, held.Port))
	}
	if err != nil {
		return Changed{}, err
	}
	return Changed{Cut: s.applied(ctx), Approved: approved}, nil
}

// note logs a change.
func (g *gate) note(kind neck.Kind, what string) {
	g.log(egress.Event{Kind: egress.KindChange, Host: backend.Printable(what), Allowed: kind != kindDeny, Rule: string(kind)})
}

// applied cuts what is no longer allowed, and tells PID 1 of the names. A bottle
// that can't be told now is told when it dials again; the host decides anyway.
func (s *supervisor) applied(ctx context.Context) int {
	cut := s.policy.screen.Recheck()
	s.renaming.Lock()
	defer s.renaming.Unlock()
	if err := s.host.SetNames(ctx, s.policy.names()); err != nil {
		log.G(ctx).WithError(err).Warn("tell the bottle of names")
	}
	return cut
}

func (g *gate) test(host string, port uint16) egress.Test {
	if name, err := egress.Canonical(host); err == nil && name == egress.GatewayHost && port == gatewayPort {
		return egress.Test{Host: name, Port: port, Decision: egress.Allowed, Rule: "the gateway"}
	}
	return egress.Try(g.policy, host, port)
}

// Ask says whether a bottle asks for hosts that no rule names; nil is no.
func Ask(wish backend.Egress) (*backend.PlanAsk, error) { return egress.Ask(wish) }

// Allow allows an entry of egress.allow for this run.
func (c *Client) Allow(ctx context.Context, entry string) (Changed, error) {
	var changed Changed
	err := c.egress(ctx, neck.Request{Kind: kindAllow, Host: entry}, &changed)
	return changed, err
}

// Deny denies it for this run, and cuts its connections.
func (c *Client) Deny(ctx context.Context, entry string) (Changed, error) {
	var changed Changed
	err := c.egress(ctx, neck.Request{Kind: kindDeny, Host: entry}, &changed)
	return changed, err
}

// Approve lets go on what is held for the entry.
func (c *Client) Approve(ctx context.Context, entry string) (Changed, error) {
	var changed Changed
	err := c.egress(ctx, neck.Request{Kind: kindApprove, Host: entry}, &changed)
	return changed, err
}

// Pending lists what is held.
func (c *Client) Pending(ctx context.Context) ([]egress.Held, error) {
	var held []egress.Held
	err := c.egress(ctx, neck.Request{Kind: kindPending}, &held)
	return held, err
}

// Test says what would become of a connection.
func (c *Client) Test(ctx context.Context, host string, port uint16) (egress.Test, error) {
	var test egress.Test
	err := c.egress(ctx, neck.Request{Kind: kindTest, Host: host, Port: port}, &test)
	return test, err
}

// egress asks, and reads the answer.
func (c *Client) egress(ctx context.Context, request neck.Request, answer any) error {
	stream, err := c.conn.Open(ctx, request)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = stream.SetDeadline(time.Now()) })
	defer stop()
	if err := json.NewDecoder(io.LimitReader(stream, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("read answer to %s: %w", request.Kind, err)
	}
	return nil
}
