package remote

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// Exit codes of ours among claude's, as docker and podman have them.
const (
	codeOurs          = 125
	codeNotExecutable = 126
	codeNotFound      = 127
)

// bottle is a running bottle that ends with this process, unless it is detached.
type bottle struct {
	client     *Client
	plan       *backend.Plan
	supervisor *supervise.Client
	prompt     string
	env        []string
	closing    sync.Once
	closed     error
}

var (
	_ backend.Bottle   = (*bottle)(nil)
	_ backend.Unsaver  = (*bottle)(nil)
	_ backend.Detacher = (*bottle)(nil)
	_ backend.Reporter = (*bottle)(nil)
)

func newBottle(client *Client, plan *backend.Plan, supervisor *supervise.Client, prompt string, secrets backend.Secrets) *bottle {
	b := &bottle{client: client, plan: plan, supervisor: supervisor, prompt: prompt}
	for name, value := range secrets.Env {
		b.env = append(b.env, name+"="+value.Reveal())
	}
	slices.Sort(b.env)
	return b
}

// Name implements backend.Bottle.
func (b *bottle) Name() string { return b.plan.Name }

// session is claude with what was provisioned for it.
func (b *bottle) session(argv []string, tty bool) (*neck.SessionRequest, error) {
	if len(argv) == 0 {
		return nil, fmt.Errorf("run claude: the command is empty: %w", errdefs.ErrInvalidArgument)
	}
	if b.prompt != "" {
		argv = slices.Concat(argv[:1], []string{"--append-system-prompt-file", b.prompt}, argv[1:])
	}
	return &neck.SessionRequest{Argv: argv, Env: b.env, Dir: backend.WorkspacePath, TTY: tty}, nil
}

// ExecClaude implements backend.Bottle.
func (b *bottle) ExecClaude(ctx context.Context, argv []string, terminal backend.Terminal) (int, error) {
	request, err := b.session(argv, terminal.TTY)
	if err != nil {
		return codeOurs, err
	}
	status, err := b.supervisor.RunClaude(ctx, request, terminal)
	if err != nil {
		return b.notRun(ctx, argv[0], err)
	}
	return status.Code, nil
}

// notRun says why claude did not run to its end, and with which code.
func (b *bottle) notRun(ctx context.Context, program string, err error) (int, error) {
	switch {
	case errdefs.IsNotFound(err):
		return codeNotFound, fmt.Errorf("image %s has no %s on its PATH: choose one that has, or the default image: %w", b.plan.Image.Reference, program, err)
	case errdefs.IsPermissionDenied(err):
		return codeNotExecutable, fmt.Errorf("%s of image %s can't be executed: %w", program, b.plan.Image.Reference, err)
	case ctx.Err() != nil:
		return codeOurs, fmt.Errorf("run claude: %w", context.Cause(ctx))
	default:
		return codeOurs, fmt.Errorf("the bottle, or the controller, was lost under claude; what it has made is kept: %w", err)
	}
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
	request, err := b.session(argv, tty)
	if err != nil {
		return err
	}
	request.NoInput = !tty
	if err := b.supervisor.Begin(ctx, request); err != nil {
		_, err = b.notRun(ctx, argv[0], err)
		return err
	}
	return nil
}

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
