// Command bottle-init is PID 1 of every bottle. It reaps, answers DNS for the
// names that the host allows, listens on their loopback addresses, and runs the
// sessions that the host asks for; all of it over the neck. It is no boundary: it
// runs as the agent's own user and holds nothing that the agent may not have.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

var version = "dev" // set by the linker

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bottle-init:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("it is started by claude-bottle: init --neck SOCKET, probe, sync or version")
	}
	switch {
	case args[0] == "version":
		_, err := fmt.Println("bottle-init", version)
		return err
	case args[0] == "probe":
		return probe(os.Stdout)
	case args[0] == "sync":
		unix.Sync()
		return nil
	case args[0] == "init" && len(args) == 3 && args[1] == "--neck":
		return serve(args[2])
	default:
		return fmt.Errorf("unknown arguments %q", args)
	}
}

// serve is PID 1 until it is told to end.
func serve(socket string) error {
	// The agent runs as the same user: it must not read the neck's token
	// out of this process.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make process undumpable: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return newBottle(socket).run(ctx)
}
