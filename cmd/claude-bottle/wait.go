package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// waitOptions are the flags of wait.
type waitOptions struct {
	condition condition
	timeout   time.Duration
	output    *format
}

// waited is a bottle whose condition is met, in the output.
type waited struct {
	Name      string           `json:"name"`
	Handle    string           `json:"handle,omitempty"`
	ID        string           `json:"id,omitempty"`
	Condition string           `json:"condition"`
	Outcome   *backend.Outcome `json:"outcome,omitempty"`
}

func (a *application) waitCommand() *cobra.Command {
	o := waitOptions{condition: conditionFinished}
	command := &cobra.Command{
		Use:   "wait NAME... [--for=CONDITION] [--timeout 30s]",
		Short: "Wait until bottles are ready, have ended, or are gone",
		Long: `Wait for a condition of bottles, as kubectl wait does:

  condition=Ready      the bottle runs
  condition=Finished   its claude has ended for good: the bottle is kept, or gone
  condition=CredentialsMissing
                       it was lost with secrets that only resume brings again
  delete               nothing is left of it, also no kept work

What is waited for is the life of the bottle that NAME stands for at the beginning, and
not another one that has its name later. The exit code is 1 when the time is over.

-o exit-code prints the exit code of each claude and nothing else, as docker wait does, or
- where nobody knows it; -o json has the whole outcome.`,
		Example: `  claude-bottle wait claude --timeout 10m
  claude-bottle wait claude --for=condition=Ready
  claude-bottle wait one two --timeout -1s -o exit-code
  claude-bottle rm claude@k3x9p & claude-bottle wait claude@k3x9p --for=delete`,
		ValidArgsFunction: a.completeNames(math.MaxInt, everyBottle),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("wait takes names of bottles: `claude-bottle list` shows them")}
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.Var(&o.condition, "for", "what is waited for: condition=Ready, condition=Finished, condition=CredentialsMissing or delete")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "give up after this time; 0 looks once, less than 0 waits for ever")
	o.output = addFormat(command, "text", "exit-code", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		if o.output.value == "exit-code" && o.condition != conditionFinished {
			return usageError{errors.New("-o exit-code: a bottle has one when it has ended: add --for=condition=Finished")}
		}
		return a.interruptible(command, func(ctx context.Context) error { return a.waitAll(ctx, args, o) })
	}
	return command
}

// waitAll waits for one bottle after the other.
func (a *application) waitAll(ctx context.Context, names []string, o waitOptions) error {
	keeper, err := a.openKeeper(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close() }()
	lives := make([]*backend.ID, len(names))
	for i, name := range names {
		names[i] = plainName(name)
		if lives[i], err = lifeOf(ctx, keeper, names[i], o.condition); err != nil {
			return err
		}
	}
	look, stop, err := newLookout(ctx, keeper)
	if err != nil {
		return err
	}
	defer stop()
	waiting, cancel := o.bounded(ctx)
	defer cancel()
	list := []waited{}
	for i, name := range names {
		met := waited{Name: name, Condition: o.condition.name()}
		if id := lives[i]; id != nil {
			met.ID, met.Handle = id.String(), id.Handle()
			if met.Outcome, err = o.wait(waiting, look, *id); err != nil {
				return err
			}
		}
		if list = append(list, met); o.output.value == "text" {
			_, err = fmt.Fprintf(a.out, "%s/%s condition met\n", v1alpha1.Resource, backend.Printable(name))
		} else if o.output.value == "exit-code" {
			_, err = fmt.Fprintln(a.out, met.exitCode())
		}
		if err != nil {
			return err
		}
	}
	_, err = o.output.structured(a.out, list)
	return err
}

// lifeOf is what the name stands for now. One that is to go may be gone already: nil.
func lifeOf(ctx context.Context, keeper backend.Keeper, name string, until condition) (*backend.ID, error) {
	found, err := keeper.Find(ctx, name)
	if until == conditionDelete && errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &found.ID, nil
}

func (o waitOptions) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.timeout < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, o.timeout, errTimedOut)
}

// errTimedOut is how a wait ends in vain.
var errTimedOut = fmt.Errorf("timed out waiting for the condition: %w", context.DeadlineExceeded)

func (o waitOptions) wait(ctx context.Context, look *lookout, id backend.ID) (*backend.Outcome, error) {
	var outcome *backend.Outcome
	err := look.until(ctx, id, func(status *backend.Status) bool {
		if status != nil {
			outcome = status.Outcome
		}
		return o.condition.met(status)
	})
	if errors.Is(err, errTimedOut) {
		return nil, fmt.Errorf("%s/%s: %w", v1alpha1.Resource, id.Name, err)
	}
	return outcome, err
}

// exitCode is claude's, or - where nobody has noted it.
func (w waited) exitCode() string {
	if w.Outcome == nil {
		return "-"
	}
	return strconv.Itoa(w.Outcome.ExitCode)
}

// condition is a flag: what a bottle is waited for to become.
type condition string

// The conditions.
const (
	conditionReady    condition = "condition=Ready"
	conditionFinished condition = "condition=Finished"
	conditionMissing  condition = "condition=CredentialsMissing"
	conditionDelete   condition = "delete"
)

func (c condition) name() string { return strings.TrimPrefix(string(c), "condition=") }

func (c condition) met(status *backend.Status) bool {
	switch c {
	case conditionReady:
		return ready(status)
	case conditionDelete:
		return gone(status)
	case conditionMissing:
		return status != nil && status.Outcome.WaitsForCredentials()
	default:
		return finished(status)
	}
}

// String implements pflag.Value.
func (c *condition) String() string { return string(*c) }

// Type implements pflag.Value.
func (*condition) Type() string { return "condition" }

// Set implements pflag.Value.
func (c *condition) Set(text string) error {
	for _, known := range []condition{conditionReady, conditionFinished, conditionMissing, conditionDelete} {
		if strings.EqualFold(text, string(known)) {
			*c = known
			return nil
		}
	}
	return fmt.Errorf("unknown condition %q, known are: %s, %s, %s, %s", text, conditionReady, conditionFinished, conditionMissing, conditionDelete)
}
