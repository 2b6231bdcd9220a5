package controller

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/containerd/log"
)

// Notifier tells the service manager how this process is, as sd_notify(3) does. Where
// there is none it tells nobody.
type Notifier struct {
	socket string
	every  time.Duration // 0 is no watchdog
}

// NewNotifier finds the service manager by the variables that lookup knows.
func NewNotifier(lookup func(string) (string, bool)) Notifier {
	var n Notifier
	n.socket, _ = lookup("NOTIFY_SOCKET")
	text, _ := lookup("WATCHDOG_USEC")
	if period, err := strconv.ParseInt(text, 10, 64); err == nil && n.socket != "" && period > 0 {
		n.every = time.Duration(period) * time.Microsecond / 2
	}
	return n
}

// Notify tells one state, as "READY=1".
func (n Notifier) Notify(ctx context.Context, state string) {
	if n.socket == "" {
		return
	}
	if err := n.send(ctx, state); err != nil {
		log.G(ctx).WithError(err).Warn("tell the service manager")
	}
}

func (n Notifier) send(ctx context.Context, state string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unixgram", n.socket)
	if err != nil {
		return fmt.Errorf("reach service manager: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("write to service manager: %w", err)
	}
	return nil
}

// KeepAlive feeds the watchdog, where there is one, until ctx ends, as long as healthy
// says no error.
func (n Notifier) KeepAlive(ctx context.Context, healthy func() error) {
	if n.every == 0 {
		return
	}
	tick := time.NewTicker(n.every)
	defer tick.Stop()
	for {
		if err := healthy(); err != nil {
			log.G(ctx).WithError(err).Error("the watchdog is not fed")
		} else {
			n.Notify(ctx, "WATCHDOG=1")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
