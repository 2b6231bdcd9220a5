package neck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/containerd/errdefs"
)

// spareLines are open ahead of their use: under gVisor it takes longer to dial
// than all the rest of a connection's beginning. The host counts them as lines.
const spareLines = 4

// dialLine opens a line on which nothing is asked yet.
func (g *Guest) dialLine(ctx context.Context) (Stream, error) {
	g.mu.Lock()
	hello := append([]byte(lineGreeting), g.token[:]...)
	g.mu.Unlock()
	conn, err := g.Dial(ctx)
	if err != nil {
		return Stream{}, fmt.Errorf("dial neck: %w: %w", err, errdefs.ErrUnavailable)
	}
	widen(conn, guestBuffer)
	if _, err := conn.Write(hello); err != nil {
		return Stream{}, errors.Join(fmt.Errorf("greet host: %w: %w", err, errdefs.ErrUnavailable), conn.Close())
	}
	return Stream{&line{Conn: conn, release: func() {}}}, nil
}

// keepSpares has lines ready until ctx ends, which is the end of their link.
func (g *Guest) keepSpares(ctx context.Context, spares chan Stream) {
	pause := firstPause
	for ctx.Err() == nil {
		stream, err := g.dialLine(ctx)
		if err != nil {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, longestPause)
			continue
		}
		pause = firstPause
		select {
		case spares <- stream:
		case <-ctx.Done():
			_ = stream.Close()
		}
	}
	for {
		select {
		case stream := <-spares:
			_ = stream.Close()
		default:
			return
		}
	}
}

// Begin asks for a connection on a line of its own and does not wait for the
// answer: what is written meanwhile arrives after the request. Before the first
// read answer must be called, once; it says no with an error. ctx bounds both.
func (g *Guest) Begin(ctx context.Context, request Request) (stream Stream, answer func() error, err error) {
	g.mu.Lock()
	link, spares := g.link, g.spares
	g.mu.Unlock()
	if link == nil {
		return Stream{}, nil, fmt.Errorf("the neck is closed: %w", errdefs.ErrUnavailable)
	}
	select {
	case stream = <-spares:
	default:
		if stream, err = g.dialLine(ctx); err != nil {
			return Stream{}, nil, err
		}
	}
	if err := writeMessage(stream, request); err != nil {
		return Stream{}, nil, errors.Join(fmt.Errorf("ask host: %w: %w", err, errdefs.ErrUnavailable), stream.Close())
	}
	return stream, func() error { return readAnswer(ctx, stream) }, nil
}

// readAnswer waits for the answer to a request. The end of ctx breaks that off,
// not the stream after it.
func readAnswer(ctx context.Context, stream net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = stream.SetReadDeadline(time.Now()) })
	var answer reply
	err := readMessage(stream, maxMessage, &answer)
	if !stop() {
		return context.Cause(ctx)
	}
	if err == nil && answer.Error != "" {
		err = farError(answer.Error, answer.Class)
	}
	return err
}
