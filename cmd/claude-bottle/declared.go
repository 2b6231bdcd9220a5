package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// declaredLaunch are the flags of apply -f for what a Bottle has no word for.
type declaredLaunch struct {
	allowVulnerableRunc bool
	forwardOAuthToken   bool
}

func (l *declaredLaunch) add(command *cobra.Command) {
	flags := command.Flags()
	flags.BoolVar(&l.allowVulnerableRunc, "allow-vulnerable-runc", false, "with -f: accept a runc with known ways out")
	flags.BoolVar(&l.forwardOAuthToken, "forward-oauth-token", false, "with -f: use CLAUDE_CODE_OAUTH_TOKEN, also when an API key is set; it stays on the host")
}

// What apply says of a Bottle, as kubectl does.
const (
	wordCreated    = "created"
	wordConfigured = "configured"
	wordUnchanged  = "unchanged"
)

// applier leads what is there to what is declared.
type applier struct {
	*launching

	options applyOptions
}

// applyFiles applies all Bottles of the files, one after the other. One that can't be
// applied keeps no other from it.
func (a *application) applyFiles(ctx context.Context, o applyOptions) error {
	if err := supervise.Harden(); err != nil { // secrets are read here, as in start
		return err
	}
	declared, err := o.files.read(a)
	if err != nil {
		return err
	}
	l, err := a.newLaunching(ctx, startOptions{}, time.Now())
	if err != nil {
		return err
	}
	defer l.close()
	list, err := l.opened.ListActive(ctx)
	if err != nil {
		return err
	}
	holders := resources.Holders(list)
	each := &applier{launching: l, options: o}
	var failed []error
	for _, bottle := range declared {
		word, err := each.apply(ctx, bottle, holders)
		if ctx.Err() != nil && err != nil {
			return errors.Join(append(failed, err)...)
		}
		if err == nil {
			err = each.say(bottle, word)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", resourceName(bottle), err))
		}
	}
	return firstCode(failed)
}

// firstCode has the exit code of the first of them, and the words of all.
func firstCode(failed []error) error {
	if len(failed) < 2 {
		return errors.Join(failed...)
	}
	return &exitError{code: exitCode(nil, failed[0]), err: errors.Join(failed...)}
}

// say prints what became of a Bottle.
func (p *applier) say(bottle *v1alpha1.Bottle, word string) error {
	a, o := p.app, p.options.output
	if o.value != "text" {
		_, err := o.structured(a.out, appliedResult{Name: resourceName(bottle), Result: word, DryRun: p.options.dryRun})
		return err
	}
	if p.options.dryRun {
		word += " (dry run)"
	}
	_, err := fmt.Fprintf(a.out, "%s %s\n", resourceName(bottle), word)
	return err
}

// appliedResult is what -o json prints of each Bottle.
type appliedResult struct {
	Name   string `json:"name"`
	Result string `json:"result"` // created, configured or unchanged
	DryRun bool   `json:"dryRun,omitempty"`
}

// apply makes one Bottle what is declared, and says how.
func (p *applier) apply(ctx context.Context, bottle *v1alpha1.Bottle, holders map[string]backend.Status) (string, error) {
	holder, there := holders[bottle.Name]
	if !there || holder.Phase == backend.PhaseDead {
		return wordCreated, p.create(ctx, bottle)
	}
	was := resources.Applied(holder.Declaration)
	switch {
	case was == nil && holder.Phase == backend.PhaseKept:
		return wordCreated, p.create(ctx, bottle) // the name is free
	case was == nil:
		return "", fmt.Errorf("a bottle of that name is there, and no apply has declared it: end it with `claude-bottle stop %s`, or choose another name: %w", bottle.Name, errdefs.ErrAlreadyExists)
	}
	change, err := resources.Compare(was, bottle, holder.Declaration)
	switch {
	case err != nil:
		return "", err
	case change.Unchanged:
		return wordUnchanged, nil
	case p.options.dryRun:
		return wordConfigured, nil
	}
	declarer, ok := p.opened.(backend.Declarer)
	if !ok {
		return "", fmt.Errorf("what is declared can't be changed with this backend: %w", errdefs.ErrNotImplemented)
	}
	if err := declarer.Declare(ctx, holder.Name, change.Declaration); err != nil {
		return "", err
	}
	if change.Declaration.Life.TTLSecondsAfterFinished != nil {
		p.app.haveController(ctx, p.opened) // a finished bottle has nobody else who removes it
	}
	return wordConfigured, nil
}

// create launches a Bottle that isn't there, and leaves it to its supervisor.
func (p *applier) create(ctx context.Context, bottle *v1alpha1.Bottle) error {
	a := p.app
	o := startOptions{
		agent: bottle.Spec.Agent, bottle: bottle.Spec.Bottle, yes: p.options.yes, dryRun: p.options.dryRun, detach: true,
		allowVulnerableRunc: p.options.launch.allowVulnerableRunc, forwardOAuthToken: p.options.launch.forwardOAuthToken,
		output: &format{value: "text"},
	}
	base, options, err := a.spec(o)
	if err != nil {
		return err
	}
	spec, err := resources.Wish(bottle, base)
	if err != nil {
		return err
	}
	l := p.of(o)
	plan, err := l.plan(ctx, spec)
	if err != nil {
		return err
	}
	defer func() { _ = plan.Workspace.Close() }()
	if o.dryRun {
		return plan.Print(a.err)
	}
	secrets, err := l.agree(ctx, options, spec, plan)
	if err != nil {
		return err
	}
	return l.detached(ctx, plan, secrets)
}

// diffFiles shows how what the files declare differs from what is there.
func (a *application) diffFiles(ctx context.Context, files fileFlags) error {
	differs, err := a.compareFiles(ctx, files)
	switch {
	case err != nil:
		return &exitError{code: exitUsage, err: err}
	case differs:
		return &exitError{code: exitError1}
	}
	return nil
}

func (a *application) compareFiles(ctx context.Context, files fileFlags) (differs bool, err error) {
	declared, err := files.read(a)
	if err != nil {
		return false, err
	}
	opened, err := a.openBackend(ctx, backend.NoProgress{})
	if err != nil {
		return false, err
	}
	defer func() { _ = opened.Close() }()
	list, err := opened.ListActive(ctx)
	if err != nil {
		return false, err
	}
	there := map[string]*v1alpha1.Bottle{}
	for _, bottle := range resources.Views(list) {
		there[bottle.Name] = bottle
	}
	for _, bottle := range declared {
		was := there[bottle.Name]
		if was != nil && was.Status.Phase == string(backend.PhaseDead) {
			was = nil
		}
		patch, err := resources.Diff(was, bottle)
		if err != nil {
			return false, err
		}
		differs = differs || patch != ""
		err = a.showPatch(a.out, func(w io.Writer) error { _, err := io.WriteString(w, patch); return err })
		if err != nil {
			return false, err
		}
	}
	return differs, nil
}
