package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/test/attack/attempt"
)

// How many attempts go on at a time, and how long each may take.
const (
	fenceWorkers = 12
	fenceWait    = 20 * time.Second
	nameServer   = "127.0.0.1:53"
)

// fence tries all that is in a file of attempts, a line of JSON each, and prints
// a line of JSON for each.
func fence(files []string) {
	todo := make(chan attempt.Attempt)
	var group sync.WaitGroup
	var mu sync.Mutex
	printer := json.NewEncoder(os.Stdout)
	for range fenceWorkers {
		group.Go(func() {
			for try := range todo {
				outcome := makeAttempt(try)
				mu.Lock()
				_ = printer.Encode(outcome)
				mu.Unlock()
			}
		})
	}
	for _, path := range files {
		if err := readAttempts(path, todo); err != nil {
			report("attempts of "+path, err)
		}
	}
	close(todo)
	group.Wait()
}

func readAttempts(path string, todo chan<- attempt.Attempt) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	for decoder := json.NewDecoder(file); ; {
		var try attempt.Attempt
		if err := decoder.Decode(&try); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		todo <- try
	}
}

func makeAttempt(try attempt.Attempt) attempt.Outcome {
	means := map[attempt.Kind]func(attempt.Attempt) ([]byte, error){
		attempt.Connect: tryConnect, attempt.Socket: trySocket, attempt.Question: tryQuestion, attempt.Descriptor: tryDescriptor,
	}
	outcome := attempt.Outcome{Name: try.Name}
	err := fmt.Errorf("kind %q is unknown", try.Kind)
	if means := means[try.Kind]; means != nil {
		outcome.Answer, err = means(try)
	}
	if err != nil {
		outcome.Error = err.Error()
	}
	return outcome
}

func tryConnect(try attempt.Attempt) ([]byte, error) {
	conn, err := net.DialTimeout(try.Network, try.Address, fenceWait)
	if err != nil {
		return nil, err
	}
	return talk(conn, try)
}

// talk sends what there is to send and reads what comes back.
func talk(conn net.Conn, try attempt.Attempt) ([]byte, error) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(fenceWait))
	var answer []byte
	hear := func() error {
		buffer := make([]byte, 4096)
		n, err := conn.Read(buffer)
		answer = append(answer, buffer[:n]...)
		return err
	}
	for i, piece := range try.Send {
		if i > 0 && try.Turns {
			if err := hear(); err != nil {
				return answer, fmt.Errorf("no answer to piece %d: %w", i, err)
			}
		}
		if _, err := conn.Write(piece); err != nil {
			return answer, fmt.Errorf("send: %w", err)
		}
	}
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return answer, nil // a datagram that is answered is known at the far end
	}
	if try.Stay {
		if err := hear(); err != nil {
			return answer, err
		}
	}
	_ = half.CloseWrite()
	rest, err := io.ReadAll(io.LimitReader(conn, 4096))
	return append(answer, rest...), err
}

// tryQuestion asks the name server as no resolver would, and goes where the
// answer leads.
func tryQuestion(try attempt.Attempt) ([]byte, error) {
	conn, err := net.DialTimeout(try.Network, nameServer, fenceWait)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(fenceWait))
	query, answer := try.Query, make([]byte, 4096)
	if try.Network == "tcp" {
		query = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	}
	if _, err := conn.Write(query); err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	if try.Network == "tcp" {
		if _, err := io.ReadFull(conn, answer[:2]); err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
	}
	n, err := conn.Read(answer)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	address, ok := addressIn(answer[:n])
	if !ok || try.Port == 0 {
		return answer[:n], nil
	}
	far, err := net.DialTimeout("tcp", net.JoinHostPort(address.String(), strconv.Itoa(int(try.Port))), fenceWait)
	if err != nil {
		return nil, err
	}
	return talk(far, try)
}

// addressIn is the address of an answer that ends in an A record, as all of a
// bottle's do.
func addressIn(answer []byte) (net.IP, bool) {
	const record = 2 + 2 + 4 + 2 + 4 // type, class, life, length, address
	if len(answer) < 12+record || binary.BigEndian.Uint16(answer[6:]) != 1 {
		return nil, false
	}
	tail := answer[len(answer)-record:]
	return net.IP(tail[record-4:]), binary.BigEndian.Uint16(tail) == 1 && binary.BigEndian.Uint16(tail[8:]) == 4
}
