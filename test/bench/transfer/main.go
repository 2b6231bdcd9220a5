// Command transfer moves bytes over TCP as it is told: one order a line on
// standard input, one line back when it is done. Inside a sandbox it is the
// client of the server that the benchmarks run on the host.
//
//	down ADDRESS BYTES         read that many bytes
//	up ADDRESS BYTES           write that many bytes, and wait until they are read
//	many ADDRESS COUNT BYTES   hold COUNT connections at once, read BYTES over each
//	first ADDRESS COUNT        COUNT times, in turn: connect, ask, wait for a byte
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// bufferSize is what one call reads or writes at most, as programs that move
// much do it.
const bufferSize = 256 << 10

func main() {
	orders := bufio.NewScanner(os.Stdin)
	known := map[string]string{} // names are asked for once: it is connections that are measured
	for orders.Scan() {
		if err := obey(orders.Text(), known); err != nil {
			fmt.Println("failed:", err)
			continue
		}
		fmt.Println("done")
	}
}

func obey(order string, known map[string]string) error {
	var what, address string
	var first, second int64
	if count, _ := fmt.Sscan(order, &what, &address, &first, &second); count < 3 {
		return fmt.Errorf("order %q is not understood", order)
	}
	if known[address] == "" {
		resolved, err := net.ResolveTCPAddr("tcp4", address)
		if err != nil {
			return err
		}
		known[address] = resolved.String()
	}
	address = known[address]
	switch what {
	case "down":
		return read(address, first)
	case "up":
		return write(address, first)
	case "many":
		return many(address, first, second)
	case "first":
		for range first {
			if err := read(address, 1); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("order %q is not understood", order)
	}
}

// ask connects and tells the server what to do.
func ask(address, what string, size int64) (net.Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintln(conn, what, size); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func read(address string, size int64) error {
	conn, err := ask(address, "down", size)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return drain(conn, size)
}

// drain reads to the end, which must come after just so many bytes.
func drain(conn net.Conn, size int64) error {
	buffer := make([]byte, min(bufferSize, size+1))
	var got int64
	for {
		n, err := conn.Read(buffer)
		got += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if got != size {
		return fmt.Errorf("%d bytes came of %d", got, size)
	}
	return nil
}

func write(address string, size int64) error {
	conn, err := ask(address, "up", size)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	buffer := make([]byte, bufferSize)
	for left := size; left > 0; {
		n, err := conn.Write(buffer[:min(left, bufferSize)])
		if err != nil {
			return err
		}
		left -= int64(n)
	}
	return drain(conn, 1)
}

// many opens all connections before it reads from any.
func many(address string, count, size int64) (err error) {
	conns := make([]net.Conn, count)
	results := make(chan error)
	for i := range conns {
		go func() {
			var err error
			conns[i], err = ask(address, "wait", size)
			if err == nil {
				// The first byte says that this one is through.
				_, err = io.ReadFull(conns[i], make([]byte, 1))
			}
			results <- err
		}()
	}
	err = gather(results, len(conns))
	for _, conn := range conns {
		if conn != nil {
			defer func() { _ = conn.Close() }()
		}
	}
	if err != nil {
		return err
	}
	for _, conn := range conns {
		go func() {
			_, err := conn.Write([]byte("\n"))
			results <- errors.Join(err, drain(conn, size))
		}()
	}
	return gather(results, len(conns))
}

func gather(results <-chan error, count int) error {
	failed := 0
	var last error
	for range count {
		if err := <-results; err != nil {
			failed, last = failed+1, err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d connections: %w", failed, count, last)
	}
	return nil
}
