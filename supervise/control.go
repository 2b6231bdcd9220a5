package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
)

// serveControl answers clients on the control socket until ctx ends.
func (s *supervisor) serveControl(ctx context.Context, listener *net.UnixListener) {
	var group sync.WaitGroup
	defer group.Wait()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			if ctx.Err() == nil {
				log.G(ctx).WithError(err).Error("accept control client")
			}
			return
		}
		if err := checkPeer(conn); err != nil {
			log.G(ctx).WithError(err).Warn("refuse control client")
			_ = conn.Close()
			continue
		}
		group.Go(func() { s.serveClient(ctx, conn) })
	}
}

// checkPeer lets in root and whoever runs this process, nobody else: the mode of
// the socket says the same, and this holds also where the mode doesn't.
func checkPeer(conn *net.UnixConn) error {
	uid, err := PeerOf(conn)
	if err != nil {
		return err
	}
	if uid != 0 && int(uid) != os.Geteuid() {
		return fmt.Errorf("uid %d may not control this bottle: %w", uid, errdefs.ErrPermissionDenied)
	}
	return nil
}

// PeerOf is the user of the process that has made the other end of a connection, or
// listened for it.
func PeerOf(conn *net.UnixConn) (uid uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("check peer: %w", err)
	}
	var peer *unix.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) {
		peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, fmt.Errorf("check peer: %w", err)
	}
	if peerErr != nil {
		return 0, fmt.Errorf("check peer: %w", peerErr)
	}
	return peer.Uid, nil
}

// fromClients bounds what one client asks at a time.
func fromClients() neck.Bounds { return neck.Bounds{Streams: 64, Request: 1 << 20} }

// serveClient answers one client until it or ctx ends.
func (s *supervisor) serveClient(ctx context.Context, conn net.Conn) {
	link, err := neck.Server(conn)
	if err != nil {
		_ = conn.Close()
		log.G(ctx).WithError(err).Warn("serve control client")
		return
	}
	defer func() { _ = link.Close() }()
	if err := link.Serve(ctx, fromClients(), s.fromClient); err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Debug("control client ends")
	}
}

// fromClient answers one request of a client.
func (s *supervisor) fromClient(ctx context.Context, request neck.Request, stream neck.Stream) {
	var err error
	switch request.Kind {
	case kindReady:
		err = s.ready(ctx, stream)
	case kindDown:
		err = s.down(ctx, stream)
	case kindBegin:
		err = s.begin(ctx, request, stream)
	case kindDetach:
		err = s.detach(ctx, stream)
	case kindOutfitted:
		if err = s.outfitted(); err != nil {
			err = stream.Refuse(err)
		} else {
			err = errors.Join(stream.Accept(), stream.Close())
		}
	case kindHalt:
		err = s.halt(ctx, stream)
	case neck.KindSession, neck.KindAttach, neck.KindForward, neck.KindPack, neck.KindUnpack, neck.KindList:
		err = s.session(ctx, request, stream)
	case kindFollow:
		err = s.follow(ctx, stream)
	default:
		err = s.egress(ctx, request, stream)
	}
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).WithField("kind", request.Kind).Debug("answer control client")
	}
}

func (s *supervisor) ready(ctx context.Context, stream neck.Stream) error {
	select {
	case <-s.host.Ready():
		return stream.Accept()
	case <-ctx.Done():
		return stream.Refuse(context.Cause(ctx))
	}
}

// down answers at once; the end of the stream says that the bottle is gone.
func (s *supervisor) down(ctx context.Context, stream neck.Stream) error {
	err := stream.Accept()
	s.end()
	select {
	case <-s.gone:
	case <-ctx.Done():
	}
	return err
}

// session carries a session to PID 1 and back, without looking into it.
func (s *supervisor) session(ctx context.Context, request neck.Request, stream neck.Stream) error {
	inside, err := s.host.Open(ctx, request)
	if err != nil {
		return stream.Refuse(err)
	}
	if err := stream.Accept(); err != nil {
		_ = inside.Close()
		return err
	}
	neck.Splice(s.through(stream), inside)
	return nil
}
