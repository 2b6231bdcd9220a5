package main

import (
	"errors"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
)

// spec is the wish that the flags and the files say together.
func (a *application) spec(o startOptions) (backend.Spec, manifest.Options, error) {
	return a.specIn("", o)
}

// specIn is spec for another working directory; "" is that of this process.
func (a *application) specIn(cwd string, o startOptions) (backend.Spec, manifest.Options, error) {
	declaration, err := o.life.declaration(o.detach)
	if err != nil {
		return backend.Spec{}, manifest.Options{}, err
	}
	options, err := a.manifestOptions()
	if err != nil {
		return backend.Spec{}, options, err
	}
	if cwd != "" {
		options.Cwd = cwd
	}
	options.Bottle = o.bottle
	loaded, err := manifest.Load(options, o.agent)
	if err != nil {
		return backend.Spec{}, options, err
	}
	limits, err := manifest.Limits(loaded.Bottle.Resources)
	if err != nil {
		return backend.Spec{}, options, err
	}
	if !o.copyCwd && (o.includeIgnored || o.includeSecrets) {
		return backend.Spec{}, options, usageError{errors.New("--include-ignored and --include-secrets say what of the working directory is copied: add --cwd")}
	}
	if o.detach && o.discard {
		return backend.Spec{}, options, usageError{errors.New("--detach and --discard: nobody would be there to see what is thrown away, leave one out")}
	}
	policy := backend.RuntimePolicy(o.runtime)
	switch policy {
	case "", backend.RuntimeAuto, backend.RuntimeGVisor, backend.RuntimeRunc:
	default:
		return backend.Spec{}, options, usageError{fmt.Errorf("--runtime %q: auto, gvisor or runc", o.runtime)}
	}
	args := o.claudeArgs
	return backend.Spec{
		Manifest: loaded, Name: o.name, CopyCwd: o.copyCwd, Cwd: options.Cwd, Home: options.Home, Limits: limits,
		IncludeIgnored: o.includeIgnored, IncludeSecrets: o.includeSecrets,
		ForwardOAuthToken: o.forwardOAuthToken, RemoteControl: o.remoteControl, Runtime: policy, Image: o.image,
		AllowVulnerableRunc: o.allowVulnerableRunc, RawTerminal: o.rawTerminal, DryRun: o.dryRun, Discard: o.discard,
		Declaration: declaration, ClaudeArgs: args, Lookup: a.lookup,
	}, options, nil
}
