package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func (a *application) portForwardCommand() *cobra.Command {
	var address string
	command := &cobra.Command{
		Use:   "port-forward NAME [[LOCAL:]PORT...]",
		Short: "Reach ports of a bottle that runs from this host",
		Long: `Listen on this host, and carry each connection to a port of the bottle's loopback: where a
server that claude has started listens. It goes over the neck, and ends with this client.

LOCAL is the port here; without one it is the same, and 0 is any that is free. Without any
port those are taken that the bottle's devcontainer.json names under forwardPorts. Only this
host can connect, unless --listen says otherwise. What answers is the agent's.`,
		Example: `  claude-bottle port-forward claude 8080
  claude-bottle port-forward claude           # as its devcontainer.json says
  claude-bottle port-forward claude 3000:80 0:5432`,
		ValidArgsFunction: a.completeNames(1, runningBottle),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 {
				return usageError{errors.New("port-forward takes the name of a bottle that runs, and ports such as 8080 or 3000:80")}
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			var ports []forwarding
			for _, text := range args[1:] {
				port, err := parseForwarding(text)
				if err != nil {
					return err
				}
				ports = append(ports, port)
			}
			return a.interruptible(command, func(ctx context.Context) error { return a.portForward(ctx, args[0], address, ports) })
		},
	}
	command.Flags().StringVar(&address, "listen", "127.0.0.1", "`IP` to listen on")
	return command
}

// forwarding is a port of this host, and the one of the bottle that it stands for.
type forwarding struct{ local, remote uint16 }

// parseForwarding reads [LOCAL:]PORT.
func parseForwarding(text string) (forwarding, error) {
	local, remote, both := strings.Cut(text, ":")
	if !both {
		remote = local
	}
	if both && local == "" {
		local = "0"
	}
	from, localErr := strconv.ParseUint(local, 10, 16)
	to, remoteErr := strconv.ParseUint(remote, 10, 16)
	if localErr != nil || remoteErr != nil || to == 0 {
		return forwarding{}, usageError{fmt.Errorf("port %s: give PORT or LOCAL:PORT with numbers from 1 to 65535", backend.Printable(text))}
	}
	return forwarding{local: uint16(from), remote: uint16(to)}, nil
}

// portForward serves until ctx ends.
func (a *application) portForward(ctx context.Context, name, address string, ports []forwarding) error {
	opened, reached, err := a.openLive(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(reached.Close(), opened.Close()) }()
	if len(ports) == 0 {
		if ports, err = plannedPorts(ctx, opened, name); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	for _, port := range ports {
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(int(port.local))))
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		context.AfterFunc(ctx, func() { _ = listener.Close() })
		if _, err := fmt.Fprintf(a.out, "Forwarding from %s -> %d\n", listener.Addr(), port.remote); err != nil {
			return err
		}
		serving.Go(func() { a.serveForward(ctx, listener, reached, port.remote) })
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// plannedPorts are those that the plan of a bottle names.
func plannedPorts(ctx context.Context, opened closingBackend, name string) ([]forwarding, error) {
	keeper, err := keeperOf(opened)
	if err != nil {
		return nil, err
	}
	found, err := keeper.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	if found.Plan == nil || len(found.Plan.Ports) == 0 {
		return nil, fmt.Errorf("the plan of %s names no ports, as forwardPorts of a devcontainer.json does: say which, such as `claude-bottle port-forward %s 8080`: %w", name, name, errdefs.ErrFailedPrecondition)
	}
	ports := make([]forwarding, len(found.Plan.Ports))
	for i, port := range found.Plan.Ports {
		ports[i] = forwarding{local: port, remote: port}
	}
	return ports, nil
}

// serveForward carries every connection of one listener.
func (a *application) serveForward(ctx context.Context, listener net.Listener, reached backend.Live, port uint16) {
	var carried sync.WaitGroup
	defer carried.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // ctx has ended
		}
		carried.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			far, err := reached.Forward(ctx, port)
			if err != nil {
				_, _ = fmt.Fprintf(a.err, "claude-bottle: %s\n", printableLines(err.Error()))
				_ = conn.Close()
				return
			}
			neck.Splice(conn, far)
		})
	}
}
