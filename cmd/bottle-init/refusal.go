package main

import (
	"io"
	"net"
	"time"

	"github.com/containerd/errdefs"
)

const (
	portHTTPS   = 443
	refusalWait = 5 * time.Second // for a client to take its refusal
	maxUnheard  = 64 << 10        // bytes that a client may still send
)

// refuse ends a connection that the host's end has not let through. To a TLS
// client it says so in TLS: who is only reset believes in a bad network, and
// tries again for minutes, as npm does. What can't be reached just now is reset.
func refuse(conn net.Conn, port uint16, reason error) {
	defer reset(conn)
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || port != portHTTPS || !errdefs.IsPermissionDenied(reason) {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(refusalWait))
	// A fatal alert: access denied.
	if _, err := conn.Write([]byte{21, 3, 3, 0, 2, 2, 49}); err != nil {
		return
	}
	_ = half.CloseWrite()
	// A reset behind the alert would overtake it.
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxUnheard))
}
