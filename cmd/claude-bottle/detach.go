package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"github.com/spf13/pflag"
)

// detachKeys is a flag: the keys that leave a bottle as it is.
type detachKeys []byte

func (k *detachKeys) add(flags *pflag.FlagSet) {
	*k, _ = terminal.ParseKeys(terminal.DefaultDetachKeys)
	flags.Var(k, "detach-keys", "`keys` that leave the bottle as it is: characters or ctrl-LETTER, with commas between")
}

// Set implements pflag.Value.
func (k *detachKeys) Set(text string) (err error) {
	*k, err = terminal.ParseKeys(text)
	return err
}

// String implements pflag.Value.
func (k *detachKeys) String() string {
	var names []string
	for _, key := range *k {
		if key < ' ' {
			names = append(names, "ctrl-"+strings.ToLower(string(rune(key|0x40))))
			continue
		}
		names = append(names, string(rune(key)))
	}
	return strings.Join(names, ",")
}

// Type implements pflag.Value.
func (*detachKeys) Type() string { return "keys" }

// printFlags have claude answer without a terminal.
var printFlags = []string{"-p", "--print"}

// beginDetached starts claude, and leaves the bottle to its supervisor. After an error
// it is still the caller's.
func beginDetached(ctx context.Context, bottle backend.Bottle, plan *backend.Plan) error {
	detacher, ok := bottle.(backend.Detacher)
	if !ok {
		return fmt.Errorf("bottles of this backend end with their client: none can be detached: %w", errdefs.ErrNotImplemented)
	}
	tty := !slices.ContainsFunc(plan.Command, func(argument string) bool { return slices.Contains(printFlags, argument) })
	if err := detacher.Begin(ctx, plan.Command, tty); err != nil {
		return err
	}
	return detacher.Detach(context.WithoutCancel(ctx))
}

// leaves says that a session has ended by the wish to leave the bottle as it is: by
// keys, or by a terminal that is gone.
func leaves(err error, tty *terminal.Terminal) bool {
	var ended signalError
	return errors.Is(err, terminal.ErrDetached) || tty.IsTerminal() && errors.As(err, &ended) && ended.signal == syscall.SIGHUP
}

// leave hands the bottle to its supervisor. One that it can't be handed to is to be
// taken down.
func (a *application) leave(ctx context.Context, bottle backend.Bottle, plan *backend.Plan, cause error) (left bool, err error) {
	detacher, ok := bottle.(backend.Detacher)
	if !ok {
		return false, cause
	}
	if err := detacher.Detach(context.WithoutCancel(ctx)); err != nil {
		return false, err
	}
	if !errors.Is(cause, terminal.ErrDetached) {
		return true, cause // nobody is there to read anything
	}
	_, _ = fmt.Fprintf(a.err, "claude-bottle: left running: `claude-bottle attach %s` comes back, `stop %s` ends it\n", plan.Name, plan.Name)
	return true, nil
}
