package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// lifeFlags say how long a detached bottle lives, and what it is found by.
type lifeFlags struct {
	restart  restartPolicy
	deadline time.Duration
	idle     time.Duration
	ttl      time.Duration
	labels   map[string]string

	flags *pflag.FlagSet
}

func (l *lifeFlags) add(command *cobra.Command) {
	l.flags = command.Flags()
	l.flags.Var(&l.restart, "restart", "with --detach: start claude again when it has ended: Never, OnFailure or Always")
	l.flags.DurationVar(&l.deadline, "deadline", 0, "with --detach: end the bottle after so long, as 2h")
	l.flags.DurationVar(&l.idle, "idle-timeout", 0, "with --detach: end the bottle when nothing is said or reached for so long")
	l.flags.DurationVar(&l.ttl, "ttl", 0, "with --detach: remove the bottle so long after its end, unless it holds unsaved work")
	l.flags.StringToStringVarP(&l.labels, "label", "l", nil, "with --detach: `key=value` that the bottle is found by")
	_ = command.RegisterFlagCompletionFunc("restart", cobra.FixedCompletions(restartWords(), cobra.ShellCompDirectiveNoFileComp))
}

// lifeNames are the flags by name.
func lifeNames() []string { return []string{"restart", "deadline", "idle-timeout", "ttl", "label"} }

// declaration is what the flags declare; nil when they were not given.
func (l *lifeFlags) declaration(detach bool) (*backend.Declaration, error) {
	if l.flags == nil {
		return nil, nil //nolint:nilnil // a verb without these flags declares nothing
	}
	given := false
	for _, name := range lifeNames() {
		if !l.flags.Changed(name) {
			continue
		}
		if given = true; !detach {
			return nil, usageError{fmt.Errorf("--%s is for a bottle that lives on by itself: add --detach", name)}
		}
	}
	if !given {
		return nil, nil //nolint:nilnil // nothing is declared
	}
	declared := &backend.Declaration{Labels: l.labels, Generation: 1, Life: backend.Life{Restart: backend.RestartPolicy(l.restart)}}
	var err error
	seconds := func(name string, value, least time.Duration) int64 {
		if l.flags.Changed(name) && (value < least || value%time.Second != 0) {
			err = errors.Join(err, usageError{fmt.Errorf("--%s %v: give whole seconds, %v at least", name, value, least)})
		}
		return int64(value / time.Second)
	}
	declared.Life.ActiveDeadlineSeconds = seconds("deadline", l.deadline, time.Second)
	declared.Life.IdleTimeoutSeconds = seconds("idle-timeout", l.idle, time.Second)
	if ttl := seconds("ttl", l.ttl, 0); l.flags.Changed("ttl") {
		declared.Life.TTLSecondsAfterFinished = &ttl
	}
	return declared, err
}

// restartPolicy is a flag. It takes the words of docker, too.
type restartPolicy backend.RestartPolicy

func restartWords() []string {
	return []string{string(backend.RestartNever), string(backend.RestartOnFailure), string(backend.RestartAlways)}
}

// Set implements pflag.Value.
func (p *restartPolicy) Set(text string) error {
	plain := strings.ReplaceAll(text, "-", "")
	if plain == "no" {
		plain = string(backend.RestartNever)
	}
	for _, word := range restartWords() {
		if strings.EqualFold(plain, word) {
			*p = restartPolicy(word)
			return nil
		}
	}
	return fmt.Errorf("it is one of %s", strings.Join(restartWords(), ", "))
}

// String implements pflag.Value.
func (p *restartPolicy) String() string { return string(*p) }

// Type implements pflag.Value.
func (*restartPolicy) Type() string { return "policy" }
