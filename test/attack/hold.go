package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// hold opens so many connections to a server that greets with a byte, writes a
// file named held, waits until the first of them breaks, and then dials again
// and again. Arguments: ADDRESS COUNT.
func hold(args []string) {
	if len(args) != 2 {
		report("hold", fmt.Errorf("it needs an address and a count"))
		return
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		report("hold", err)
		return
	}
	broken := make(chan struct{}, count)
	for range count {
		conn, err := greeted(args[0])
		if err != nil {
			report("hold", err)
			return
		}
		go func() {
			_, _ = io.Copy(io.Discard, conn)
			broken <- struct{}{}
		}()
	}
	if err := os.WriteFile("held", nil, 0o600); err != nil {
		report("hold", err)
		return
	}
	<-broken
	for range time.Tick(time.Millisecond) {
		if conn, err := greeted(args[0]); err == nil {
			_ = conn.Close()
		}
	}
}

// greeted is a connection whose server has sent its byte.
func greeted(address string) (net.Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// listen serves on every address of the bottle, of both families, and on the
// abstract and file names that it is given, writes a file named listening once
// one of its own connections has been served, and ends when there is a file
// named over. Argument: PORT.
func listen(args []string) {
	if len(args) != 1 {
		report("listen", fmt.Errorf("it needs a port"))
		return
	}
	serve := func(network, address string) error {
		listener, err := net.Listen(network, address)
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte("!"))
				_ = conn.Close()
			}
		}()
		return nil
	}
	for _, try := range [][2]string{{"tcp4", "0.0.0.0:" + args[0]}, {"tcp6", "[::]:" + args[0]}, {"unix", "@attack-" + args[0]}} {
		report("listen "+try[0], serve(try[0], try[1]))
	}
	conn, err := greeted("127.0.0.1:" + args[0])
	report("own", err)
	if err != nil {
		return
	}
	_ = conn.Close()
	if err := os.WriteFile("listening", nil, 0o600); err != nil {
		report("listen", err)
		return
	}
	for range time.Tick(10 * time.Millisecond) {
		if _, err := os.Stat("over"); err == nil {
			return
		}
	}
}
