package supervise

import (
	"context"
	"errors"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// Exit codes of ours among those of a command, as docker and podman have them.
const (
	codeOurs          = 125
	codeNotExecutable = 126
	codeNotFound      = 127
)

// Exec runs a command in the bottle, on the terminal, and returns its exit code as
// backend.Inside has it. Image is what errors call the place.
func (c *Client) Exec(ctx context.Context, image string, request *neck.SessionRequest, terminal backend.Terminal) (int, error) {
	if len(request.Argv) == 0 {
		return codeOurs, fmt.Errorf("run inside: the command is empty: %w", errdefs.ErrInvalidArgument)
	}
	program := request.Argv[0]
	status, err := c.Run(ctx, request, terminal)
	switch {
	case err == nil:
		return status.Code, nil
	case errdefs.IsNotFound(err):
		return codeNotFound, fmt.Errorf("image %s has no %s on its PATH: %w", image, program, err)
	case errdefs.IsPermissionDenied(err):
		return codeNotExecutable, fmt.Errorf("%s of image %s can't be executed: %w", program, image, err)
	case ctx.Err() != nil:
		return codeOurs, fmt.Errorf("run %s inside: %w", program, errors.Join(context.Cause(ctx), err))
	default:
		return codeOurs, fmt.Errorf("the session with the bottle broke off: %w", err)
	}
}
