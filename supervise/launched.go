package supervise

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// Claude is claude in a bottle, for the client that has launched it.
type Claude struct {
	Supervisor *Client
	// Image is what errors call the image.
	Image string
	// Prompt is the path of the prompt inside, "" without one.
	Prompt string
	// Env are the variables beside those of the bottle, by their names.
	Env map[string]backend.Secret
	// Lost says what became of a bottle whose session broke off, and the exit code.
	Lost func(ctx context.Context, cause error) (exitCode int, err error)
}

// Exec is that of backend.Bottle.
func (c Claude) Exec(ctx context.Context, argv []string, terminal backend.Terminal) (int, error) {
	request, err := c.request(argv, terminal.TTY)
	if err != nil {
		return codeOurs, err
	}
	status, err := c.Supervisor.runClaude(ctx, request, terminal)
	if err != nil {
		return c.notRun(ctx, argv[0], err)
	}
	return status.Code, nil
}

// Begin is that of backend.Detacher.
func (c Claude) Begin(ctx context.Context, argv []string, tty bool) error {
	request, err := c.request(argv, tty)
	if err != nil {
		return err
	}
	request.NoInput = !tty
	if err := c.Supervisor.Begin(ctx, request); err != nil {
		_, err = c.notRun(ctx, argv[0], err)
		return err
	}
	return nil
}

// Outfit is that of backend.Outfitter.
func (c Claude) Outfit(ctx context.Context, command backend.SetupCommand, out io.Writer) (int, error) {
	request := c.session(command.Argv, false)
	request.NoInput = true
	return c.Supervisor.Exec(ctx, c.Image, request, backend.Terminal{Out: out, Err: out})
}

// request is the command line with what was provisioned for it.
func (c Claude) request(argv []string, tty bool) (*neck.SessionRequest, error) {
	if len(argv) == 0 {
		return nil, fmt.Errorf("run claude: the command is empty: %w", errdefs.ErrInvalidArgument)
	}
	if c.Prompt != "" {
		argv = slices.Concat(argv[:1], []string{"--append-system-prompt-file", c.Prompt}, argv[1:])
	}
	return c.session(argv, tty), nil
}

// session is a command with claude's environment, where claude works.
func (c Claude) session(argv []string, tty bool) *neck.SessionRequest {
	var env []string
	for name, value := range c.Env {
		env = append(env, name+"="+value.Reveal())
	}
	slices.Sort(env)
	return &neck.SessionRequest{Argv: argv, Env: env, Dir: backend.WorkspacePath, TTY: tty}
}

// notRun says why claude did not run to its end, and with which code.
func (c Claude) notRun(ctx context.Context, program string, err error) (int, error) {
	switch {
	case errdefs.IsNotFound(err):
		return codeNotFound, fmt.Errorf("image %s has no %s on its PATH: choose one that has, or the default image: %w", c.Image, program, err)
	case errdefs.IsPermissionDenied(err):
		return codeNotExecutable, fmt.Errorf("%s of image %s can't be executed: %w", program, c.Image, err)
	case ctx.Err() != nil:
		return codeOurs, fmt.Errorf("run claude: %w", context.Cause(ctx))
	default:
		return c.Lost(ctx, err)
	}
}
