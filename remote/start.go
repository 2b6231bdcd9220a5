package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
)

// detail is what this backend adds to a plan.
type detail struct {
	Controller string `json:"controller"` // its socket
	Backend    string `json:"backend"`
	Plan       string `json:"plan"` // digest of the controller's own
}

// String implements fmt.Stringer.
func (d detail) String() string {
	return d.Backend + ", through the controller at " + d.Controller
}

// Prepare implements backend.Backend. What the spec names is read here, with the rights of
// the user; the rest is planned by the controller.
func (c *Client) Prepare(ctx context.Context, spec backend.Spec) (*backend.Plan, error) {
	if spec.Resume != nil { // as the controller does: nothing of the directory goes in again
		spec.CopyCwd, spec.Discard = false, false
	}
	things, err := provision.Gather(ctx, spec)
	if err != nil {
		return nil, err
	}
	var answer planned
	if err := c.ask(ctx, kindPrepare, newWish(spec, things), &answer); err != nil {
		return nil, fmt.Errorf("%w%s", err, closed(things))
	}
	plan := answer.Plan.Plan
	plan.Detail = detail{Controller: c.path, Backend: answer.Detail, Plan: answer.Digest}
	if err := complete(&plan, spec, things); err != nil {
		return nil, fmt.Errorf("%w%s", err, closed(things))
	}
	return &plan, nil
}

// closed closes the working directory of a plan that came to nothing, and says when that
// failed.
func closed(things provision.Provisions) string {
	if err := things.Workspace.Close(); err != nil {
		return fmt.Sprintf(" (and close the working directory: %v)", err)
	}
	return ""
}

// complete adds to the controller's plan what is the user's own, and was not said there.
func complete(plan *backend.Plan, spec backend.Spec, things provision.Provisions) error {
	env, err := provision.Environment(spec, plan.Anthropic.Credential)
	if err != nil {
		return err
	}
	plan.Env = append(env, provision.TerminalEnvironment(spec)...)
	plan.Files, plan.Inputs, plan.SSH, plan.Workspace = spec.Manifest.Files, things.Inputs, things.SSH, things.Workspace
	plan.Warnings = append(things.Warnings, plan.Warnings...)
	for i := range plan.Routes {
		for _, entry := range spec.Manifest.Bottle.Credentials {
			if entry.Name == plan.Routes[i].Name {
				plan.Routes[i].Source = entry.Secret
			}
		}
	}
	for i := range plan.Mounts {
		if plan.Mounts[i].Destination == backend.WorkspacePath && things.Workspace != nil {
			plan.Mounts[i].From = "the copy of " + things.Workspace.Path
		}
	}
	return nil
}

// Launch implements backend.Backend.
func (c *Client) Launch(ctx context.Context, plan *backend.Plan, secrets backend.Secrets) (backend.Bottle, error) {
	own, ok := plan.Detail.(detail)
	if !ok {
		return nil, fmt.Errorf("launch: the plan was not made by this backend: %w", errdefs.ErrInvalidArgument)
	}
	stream, err := c.request(ctx, kindLaunch, newLaunching(own.Plan, plan, secrets))
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	launched := c.progress.Step("launch")
	prompt, err := c.followLaunch(ctx, stream, plan)
	launched(err)
	if err != nil {
		return nil, err
	}
	supervisor, err := c.reach(ctx, plan.Name)
	if err != nil {
		return nil, err // it ends with this process
	}
	return newBottle(c, plan, supervisor, prompt, secrets), nil
}

func newLaunching(digest string, plan *backend.Plan, secrets backend.Secrets) launching {
	body := launching{
		Plan: digest, Credential: secrets.Credential.Reveal(), Routes: map[string]string{},
		Env: map[string]string{}, Keys: map[string][]byte{}, Passphrases: map[string]string{},
	}
	for _, route := range plan.Routes {
		body.Routes[route.Name] = secrets.Routes[route.Name].Secret.Reveal()
	}
	if plan.DLP != "" {
		for _, variable := range plan.Env {
			if variable.Origin == backend.EnvForwarded || variable.Origin == backend.EnvAsked {
				body.Env[variable.Name] = secrets.Env[variable.Name].Reveal()
			}
		}
	}
	for _, entry := range plan.SSH {
		if !entry.Copied {
			body.Keys[entry.Host] = entry.Key()
		}
	}
	for host, value := range secrets.Passphrases {
		body.Passphrases[host] = value.Reveal()
	}
	return body
}

// followLaunch does what the controller asks for, until the bottle is up.
func (c *Client) followLaunch(ctx context.Context, stream neck.Stream, plan *backend.Plan) (prompt string, err error) {
	// The end of the stream breaks the launch off at the other end, too.
	stop := context.AfterFunc(ctx, func() { _ = stream.Close(); _ = stream.SetDeadline(time.Now()) })
	defer stop()
	decoder := json.NewDecoder(io.LimitReader(stream, maxBody))
	for {
		var step launched
		if err := decoder.Decode(&step); err != nil {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			return "", fmt.Errorf("launch %s: the controller is gone: %w: %w", plan.Name, err, errdefs.ErrUnavailable)
		}
		switch {
		case step.Failure != nil:
			return "", step.Failure.Err()
		case step.Done:
			return prompt, nil
		case step.Fill:
			var answer filled
			if prompt, err = c.fill(ctx, plan); err != nil {
				answer.Failure = neck.FailureOf(err)
			}
			_ = json.NewEncoder(stream).Encode(answer) // why it was broken off is read next
		}
	}
}

// fill sends what goes in, and beside it which of that is in the user's repository.
func (c *Client) fill(ctx context.Context, plan *backend.Plan) (prompt string, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		prompt, err = provision.Provisioner{Progress: c.progress}.Provision(ctx, plan, target{c, plan.Name})
		return err
	})
	if tree := plan.Workspace; tree != nil && plan.Resume == nil && !plan.Discard {
		group.Go(func() error {
			read, write := io.Pipe()
			go func() { _ = write.CloseWithError(change.WriteKnown(ctx, write, tree, provision.Goes(tree))) }()
			defer func() { _ = read.Close() }()
			return c.transfer(ctx, kindKnown, named{plan.Name}, neck.SessionIO{In: read, Out: io.Discard, Err: io.Discard})
		})
	}
	err = group.Wait()
	return prompt, err
}

// target is a bottle of the controller's that this process fills.
type target struct {
	client *Client
	name   string
}

// Extract implements backend.Target.
func (t target) Extract(ctx context.Context, place backend.Place, tar io.Reader) error {
	return t.client.transfer(ctx, kindExtract, extraction{t.name, place}, neck.SessionIO{In: tar, Out: io.Discard, Err: io.Discard})
}
