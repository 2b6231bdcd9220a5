package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/engine"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// withoutEngine is the variable that does what --no-engine does.
const withoutEngine = "CLAUDE_BOTTLE_NO_ENGINE"

// findDaemon is the socket of the containerd to use, the same for the whole of a command.
// The engine is started when it is the one and does not answer, and is in use from then
// on until this process has ended.
func (a *application) findDaemon(ctx context.Context, parts installation) (string, error) {
	if a.daemon != "" {
		return a.daemon, nil
	}
	bundled, err := a.engine(parts)
	if err != nil {
		return "", err
	}
	address, err := a.chooseDaemon(bundled)
	if err != nil {
		return "", err
	}
	if address == bundled.Address() {
		if err := a.useEngine(ctx, bundled, parts); err != nil {
			return "", err
		}
	}
	a.daemon = address
	return address, nil
}

// engine names the engine of these roots.
func (a *application) engine(parts installation) (*engine.Engine, error) {
	root, rootErr := filepath.Abs(a.root)
	runRoot, runErr := filepath.Abs(a.runRoot)
	if err := errors.Join(rootErr, runErr); err != nil {
		return nil, fmt.Errorf("find roots: %w", err)
	}
	return engine.New(engine.Options{Root: root, RunRoot: runRoot, Libexec: parts.libexec}), nil
}

// chooseDaemon starts nothing. It is the one that the user names, else the host's own or
// the engine.
func (a *application) chooseDaemon(bundled *engine.Engine) (string, error) {
	given, err := runtime.GivenAddress(a.address, a.lookup)
	if err != nil || given != "" {
		return given, err
	}
	seen := func(address string) seenDaemon {
		live, anything := containerd.Traces(containerd.Options{Address: address, Namespace: a.namespace, Root: a.root, RunRoot: a.runRoot})
		return seenDaemon{address: address, answers: runtime.Listening(address), live: live, anything: anything}
	}
	return betterDaemon(seen(runtime.SystemAddress), seen(bundled.Address())), nil
}

// seenDaemon is what is known of a containerd without a word from it: whether it has live
// bottles, or anything, also if it is kept.
type seenDaemon struct {
	address                 string
	answers, live, anything bool
}

// betterDaemon keeps bottles in sight: a host's own containerd that is away for a moment is
// no reason to start another one, nor is one that came later a reason to leave the engine.
func betterDaemon(own, bundled seenDaemon) string {
	switch {
	case own.answers && (own.anything || !bundled.anything), !own.answers && own.live:
		return own.address
	default:
		return bundled.address
	}
}

// useEngine says that the engine is in use, and starts it where that is wanted.
func (a *application) useEngine(ctx context.Context, bundled *engine.Engine, parts installation) error {
	given, err := runtime.GivenAddress(a.address, a.lookup)
	if err != nil {
		return err
	}
	looksOn := a.looksOn && !a.needsEngine()
	wanted := given == "" && !a.noEngine && !looksOn && os.Geteuid() == 0
	if !wanted && !bundled.Answers() {
		if given != "" {
			return nil // who connects is told what is wrong
		}
		return a.noDaemon()
	}
	if looksOn || os.Geteuid() != 0 {
		return nil
	}
	if a.held == nil {
		if _, err := bundled.Use(ctx); err != nil { // until this process ends
			return err
		}
		a.held = &heldEngine{bundled, parts}
	}
	if !wanted {
		return nil
	}
	return a.startEngine(ctx, bundled, parts)
}

// heldEngine is an engine with what is needed to start it.
type heldEngine struct {
	*engine.Engine
	parts installation
}

// needsEngine says that a service is to have the engine up: users can't start it. Where the
// host's own containerd has bottles, it is waited for: at boot it may come later.
func (a *application) needsEngine() bool {
	if !a.serves {
		return false
	}
	_, anything := containerd.Traces(containerd.Options{Address: runtime.SystemAddress, Namespace: a.namespace, Root: a.root, RunRoot: a.runRoot})
	return !anything
}

// keepEngine starts the engine again, when it was ended under a service that uses it, until
// ctx ends.
func (a *application) keepEngine(ctx context.Context) {
	const pause = 2 * time.Second
	if !a.serves || a.held == nil {
		return
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if a.held.Answers() {
			continue
		}
		if err := a.startEngine(ctx, a.held.Engine, a.held.parts); err != nil && ctx.Err() == nil {
			log.G(ctx).WithError(err).Warn("start the engine again")
		}
	}
}

func (a *application) noDaemon() error {
	remedy := "start containerd, name its socket with --address"
	switch {
	case os.Geteuid() != 0:
		remedy += ", or run this with sudo, which starts the bundled engine"
	case a.noEngine:
		remedy += ", or leave out --no-engine ($" + withoutEngine + ")"
	}
	return fmt.Errorf("no containerd answers on %s: %s: %w", runtime.SystemAddress, remedy, errdefs.ErrUnavailable)
}

// startEngine starts the engine, unless it runs.
func (a *application) startEngine(ctx context.Context, bundled *engine.Engine, parts installation) error {
	if _, err := os.Stat(bundled.Binary()); err != nil {
		return fmt.Errorf("no containerd answers on %s, and the bundled one is not at %s: start containerd, name its socket with --address, or install it: %w", runtime.SystemAddress, bundled.Binary(), errdefs.ErrUnavailable)
	}
	if err := runtime.CheckTrusted(bundled.Binary()); err != nil {
		return err
	}
	idle, err := a.idleTime()
	if err != nil {
		return err
	}
	root, rootErr := filepath.Abs(a.root)
	runRoot, runErr := filepath.Abs(a.runRoot)
	if err := errors.Join(rootErr, runErr); err != nil {
		return fmt.Errorf("find roots: %w", err)
	}
	// Not CommandContext: it outlives the call by design.
	command := exec.Command(parts.executable, "--root", root, "--run-root", runRoot, "--engine-idle", idle.String(), "engine", "keep") //nolint:noctx // as said
	command.Env = supervise.Environment(nil)
	started, err := bundled.Start(ctx, command)
	if err != nil {
		return err
	}
	if started && !a.quiet {
		ends := "goes on until `claude-bottle engine stop`"
		if idle > 0 {
			ends = fmt.Sprintf("ends by itself %s after its last use", idle)
		}
		_, _ = fmt.Fprintf(a.err, "claude-bottle: no containerd answers here: started the bundled engine, which %s; --no-engine leaves that out\n", ends)
	}
	return nil
}

// idleTime is the flag's, else the host file's.
func (a *application) idleTime() (time.Duration, error) {
	if a.idleGiven != nil && a.idleGiven() {
		if a.engineIdle < 0 {
			return 0, usageError{fmt.Errorf("--engine-idle %s: give how long, as 10m, or 0 for ever", a.engineIdle)}
		}
		return a.engineIdle, nil
	}
	host, err := manifest.LoadHost(manifest.Options{HostFile: manifest.DefaultHostFile})
	if err != nil || host.EngineIdle == "" {
		return engine.DefaultIdle, err
	}
	return time.ParseDuration(host.EngineIdle) // it was checked when it was read
}
