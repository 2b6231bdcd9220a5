package remote

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/supervise"
)

// bottle is a running bottle that ends with this process, unless it is detached.
type bottle struct {
	client     *Client
	plan       *backend.Plan
	supervisor *supervise.Client
	claude     supervise.Claude
	closing    sync.Once
	closed     error
}

var (
	_ backend.Bottle    = (*bottle)(nil)
	_ backend.Unsaver   = (*bottle)(nil)
	_ backend.Detacher  = (*bottle)(nil)
	_ backend.Outfitter = (*bottle)(nil)
	_ backend.Reporter  = (*bottle)(nil)
)

func newBottle(client *Client, plan *backend.Plan, stays *supervise.Client, prompt string, secrets backend.Secrets) *bottle {
	return &bottle{
		client: client, plan: plan, supervisor: stays,
		claude: supervise.Claude{Supervisor: stays, Image: plan.Image.Reference, Prompt: prompt, Env: secrets.Env, Lost: lost},
	}
}

// lost says what became of a bottle whose session broke off: nothing is known here.
func lost(_ context.Context, cause error) (int, error) {
	const codeOurs = 125
	return codeOurs, fmt.Errorf("the bottle, or the controller, was lost under claude; what it has made is kept: %w", cause)
}

// Name implements backend.Bottle.
func (b *bottle) Name() string { return b.plan.Name }

// ExecClaude implements backend.Bottle.
func (b *bottle) ExecClaude(ctx context.Context, argv []string, terminal backend.Terminal) (int, error) {
	return b.claude.Exec(ctx, argv, terminal)
}

// CopyIn implements backend.Bottle.
func (b *bottle) CopyIn(ctx context.Context, hostPath, bottlePath string) error {
	return provision.CopyIn(ctx, hostPath, bottlePath, target{b.client, b.plan.Name})
}

// Unsaved implements backend.Unsaver.
func (b *bottle) Unsaved(ctx context.Context) (backend.Unsaved, error) {
	var unsaved backend.Unsaved
	return unsaved, b.client.ask(ctx, kindUnsaved, unsavedOf{Name: b.plan.Name, Held: true}, &unsaved)
}

// Report implements backend.Reporter. The controller does not know where secrets are from.
func (b *bottle) Report(ctx context.Context) (backend.Report, error) {
	report, err := b.supervisor.Report(ctx)
	for i, refused := range report.Refused {
		for _, route := range b.plan.Routes {
			if route.Name == refused.Route {
				report.Refused[i].Source = route.Source
			}
		}
	}
	return report, err
}

// Begin implements backend.Detacher.
func (b *bottle) Begin(ctx context.Context, argv []string, tty bool) error {
	return b.claude.Begin(ctx, argv, tty)
}

// Outfit implements backend.Outfitter.
func (b *bottle) Outfit(ctx context.Context, command backend.SetupCommand, out io.Writer) (int, error) {
	return b.claude.Outfit(ctx, command, out)
}

// Outfitted implements backend.Outfitter.
func (b *bottle) Outfitted(ctx context.Context) error { return b.supervisor.Outfitted(ctx) }

// Detach implements backend.Detacher.
func (b *bottle) Detach(ctx context.Context) error {
	var answer struct{}
	if err := b.client.ask(ctx, kindDetach, named{b.plan.Name}, &answer); err != nil {
		return fmt.Errorf("detach from %s: %w", b.plan.Name, err)
	}
	b.closing.Do(b.supervisor.Close)
	return nil
}

// closeTime bounds the wait for the controller to take a teardown over.
const closeTime = time.Minute

// Close implements backend.Bottle.
func (b *bottle) Close(ctx context.Context) error {
	b.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		var answer struct{}
		b.closed = b.client.ask(ctx, kindClose, named{b.plan.Name}, &answer)
		b.supervisor.Close()
	})
	return b.closed
}
