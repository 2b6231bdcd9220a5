package main

import (
	"net"
	"strings"
	"time"
)

// dials connects to each target, NETWORK=ADDRESS, and sends a byte.
func dials(targets []string) {
	for _, target := range targets {
		network, address, _ := strings.Cut(target, "=")
		conn, err := net.DialTimeout(network, address, 2*time.Second)
		if err == nil {
			_, err = conn.Write([]byte("x"))
			if err == nil && strings.HasPrefix(network, "udp") {
				// A datagram may get lost in silence: only an answer counts.
				_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				_, err = conn.Read(make([]byte, 1))
			}
			_ = conn.Close()
		}
		report("dial "+target, err)
	}
}
