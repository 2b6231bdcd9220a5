package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// withoutController is the variable that does what --no-controller does.
const withoutController = "CLAUDE_BOTTLE_NO_CONTROLLER"

// maxControllerLog bounds the log that a controller goes on with, in bytes.
const maxControllerLog = 1 << 20

// haveController starts a controller for a bottle that lives on by itself, when none is
// at work. That it can't be is said, and no reason to give the bottle up.
func (a *application) haveController(ctx context.Context, opened backend.Backend) {
	leader, ok := opened.(backend.Leader)
	if !ok || a.noController {
		return
	}
	led, err := leader.Led()
	if err != nil || led {
		if err != nil {
			log.G(ctx).WithError(err).Warn("look for a controller")
		}
		return
	}
	pid, err := a.startController(ctx, leader.ControllerFile("log"))
	switch {
	case err != nil:
		_, _ = fmt.Fprintf(a.err, "claude-bottle: no controller watches over it: %s\n", printableLines(err.Error()))
	case !a.quiet:
		_, _ = fmt.Fprintf(a.err, "claude-bottle: started a controller (process %d), which watches over it and ends when it has nothing left to do; --no-controller leaves that out\n", pid)
	}
}

// startController starts one in a session of its own.
func (a *application) startController(ctx context.Context, logPath string) (pid int, err error) {
	parts, err := findInstallation()
	if err != nil {
		return 0, err
	}
	options, err := a.containerdOptions(ctx)
	if err != nil {
		return 0, err
	}
	root, rootErr := filepath.Abs(a.root)
	runRoot, runErr := filepath.Abs(a.runRoot)
	if err := errors.Join(rootErr, runErr); err != nil {
		return 0, fmt.Errorf("find roots: %w", err)
	}
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return 0, fmt.Errorf("open log of controller: %w", err)
	}
	defer func() { _ = logFile.Close() }()
	if info, err := logFile.Stat(); err == nil && info.Size() > maxControllerLog {
		if err := logFile.Truncate(0); err != nil {
			return 0, fmt.Errorf("shorten log of controller: %w", err)
		}
	}
	// Not CommandContext: it outlives the call by design.
	command := exec.Command(parts.executable, //nolint:gosec,noctx // our own binary
		"--address", options.Address, "--namespace", a.namespace, "--root", root, "--run-root", runRoot,
		"controller", "--until-idle")
	command.Stdout, command.Stderr = logFile, logFile
	command.Dir = "/"
	command.Env = supervise.Environment(os.Environ())
	for _, name := range []string{"CLAUDE_BOTTLE_BACKEND", "CLAUDE_BOTTLE_SHIM"} {
		if value, ok := a.lookup(name); ok {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return 0, fmt.Errorf("start controller: %w", err)
	}
	pid = command.Process.Pid
	return pid, command.Process.Release()
}
