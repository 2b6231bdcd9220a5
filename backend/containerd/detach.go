package containerd

import (
	"context"
	"fmt"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

var _ backend.Detacher = (*bottle)(nil)

// yes is the value of labels that say that something is so.
const yes = "yes"

// command is claude's command line, with what was provisioned for it.
func (b *bottle) command(argv []string) ([]string, error) {
	if len(argv) == 0 {
		return nil, fmt.Errorf("run claude: the command is empty: %w", errdefs.ErrInvalidArgument)
	}
	if b.promptPath != "" {
		argv = slices.Concat(argv[:1], []string{"--append-system-prompt-file", b.promptPath}, argv[1:])
	}
	return argv, nil
}

// Begin implements backend.Detacher.
func (b *bottle) Begin(ctx context.Context, argv []string, tty bool) error {
	argv, err := b.command(argv)
	if err != nil {
		return err
	}
	request := &neck.SessionRequest{Argv: argv, Env: b.env, Dir: backend.WorkspacePath, TTY: tty, NoInput: !tty}
	if err := b.supervisor.Begin(ctx, request); err != nil {
		_, err = b.notRun(ctx, argv[0], err)
		return err
	}
	return nil
}

// Detach implements backend.Detacher. The label comes first: who finds it and no
// supervisor behind the bottle knows that nobody else was to hold it.
func (b *bottle) Detach(ctx context.Context) error {
	if err := b.backend.client.SetLabel(ctx, b.plan.Name, backend.LabelDetached, yes); err != nil {
		return fmt.Errorf("detach from %s: %w", b.plan.Name, err)
	}
	if err := b.supervisor.Detach(ctx); err != nil {
		return fmt.Errorf("detach from %s: %w", b.plan.Name, err)
	}
	b.closing.Do(b.lock.release)
	return nil
}
