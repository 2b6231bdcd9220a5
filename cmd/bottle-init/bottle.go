package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
)

// bottle is everything that PID 1 holds.
type bottle struct {
	guest  *neck.Guest
	reaper *reaper
	names  *names
	ssh    *sshAgent
	kept   kept
	// telling are words to the host about names.
	telling underway
	// pastNeck waits for the outcome of what was tried past the neck.
	pastNeck func() error
}

func newBottle(socket string) *bottle {
	b := &bottle{}
	b.guest = &neck.Guest{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		Handle: b.fromHost,
	}
	return b
}

// run serves until ctx ends.
func (b *bottle) run(ctx context.Context) error {
	open := func(request neck.Request) (neck.Stream, error) { return b.guest.Open(ctx, request) }
	b.names = newNames(newTunnels(func(request neck.Request) (neck.Stream, func() error, error) { return b.guest.Begin(ctx, request) }))
	b.ssh = newSSHAgent(open)
	b.pastNeck = tryPastNeck(ctx)
	b.reaper = newReaper()
	defer b.reaper.close()
	server, err := newNameServer("127.0.0.1:53", b.names, open, &b.telling)
	if err != nil {
		// A bottle without names still answers -p; say why it is mute.
		fmt.Fprintln(os.Stderr, "bottle-init: answer DNS:", err)
	} else {
		defer server.close(ctx)
	}
	defer b.names.close()
	defer b.ssh.close()
	defer b.kept.close()
	b.guest.Run(ctx)
	return nil
}

// fromHost answers a stream that the host has opened.
func (b *bottle) fromHost(ctx context.Context, request neck.Request, stream neck.Stream) {
	switch request.Kind {
	case neck.KindNames:
		if request.Names == nil {
			_ = stream.Refuse(fmt.Errorf("no names: %w", errdefs.ErrInvalidArgument))
			return
		}
		b.names.set(*request.Names)
		if err := b.ssh.set(request.Names.SSHAgent); err != nil {
			// As without names: a bottle without its agent still works.
			fmt.Fprintln(os.Stderr, "bottle-init:", err)
		}
		_ = stream.Accept()
		_ = stream.Close()
	case neck.KindFence:
		err := fmt.Errorf("no fence: %w", errdefs.ErrInvalidArgument)
		if request.Fence != nil {
			err = b.fence(ctx, *request.Fence)
		}
		if err != nil {
			_ = stream.Refuse(err)
			return
		}
		_ = stream.Accept()
		_ = stream.Close()
	case neck.KindPack, neck.KindUnpack, neck.KindList:
		b.files(ctx, request, stream)
	case neck.KindSession:
		b.session(ctx, request.Session, stream)
	case neck.KindForward:
		forward(ctx, request.Port, stream)
	case neck.KindAttach:
		b.attach(ctx, request.Attach, stream)
	default:
		_ = stream.Refuse(fmt.Errorf("request %q: %w", request.Kind, errdefs.ErrNotImplemented))
	}
}
