package sshagent

import (
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
)

// maxConnections bounds how many connections are served at a time. A program
// inside holds one while it logs in.
const maxConnections = 32

// Entry is one key, and the one host and user that it is for. It has a JSON form
// because it goes from one process to the next; that form holds the key.
type Entry struct {
	// Host is what the bottle file calls the host.
	Host string `json:"host"`
	User string `json:"user"`
	// HostKey is the public key that the host must have, as TYPE and BASE64.
	HostKey string `json:"hostKey"`
	// Key is the private key file, Passphrase opens it when it is locked.
	Key        []byte `json:"key"`
	Passphrase string `json:"passphrase,omitempty"`
}

// Format implements fmt.Formatter, so that no verb shows the key.
func (e Entry) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "SSH key for "+e.Host) }

// Decision is what was answered to a wish for a signature, or to the attempt to
// bind a connection to a host that none of the keys is for.
type Decision struct {
	// Host is that of the entry; "" when no entry fits.
	Host string
	// Err says why not; nil says that it was signed.
	Err error
}

// Agent signs. Its Serve may be called from several goroutines.
type Agent struct {
	keys  []*key
	log   func(Decision)
	slots chan struct{}
}

// New returns an agent of the entries' keys, and overwrites the bytes that they
// came in. A key that can't be read, or a passphrase that does not open it, is an
// InvalidArgument error. The caller closes the Agent.
func New(entries []Entry, log func(Decision)) (*Agent, error) {
	agent := &Agent{log: log, slots: make(chan struct{}, maxConnections)}
	var failed error
	for _, entry := range entries {
		parsed, err := parseKey(entry)
		clear(entry.Key)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("ssh %s: %w", entry.Host, err))
			continue
		}
		agent.keys = append(agent.keys, parsed)
	}
	if failed != nil {
		agent.Close()
		return nil, failed
	}
	return agent, nil
}

// Close overwrites the keys, as far as the runtime lets go of them. No Serve may
// be under way.
func (a *Agent) Close() {
	for _, key := range a.keys {
		wipe(key.private)
	}
	a.keys = nil
}

// Empty says that there is no key to sign with.
func (a *Agent) Empty() bool { return len(a.keys) == 0 }

// Stream is a connection that the bottle asks for, until it is accepted or
// refused.
type Stream interface {
	io.ReadWriteCloser
	Accept() error
	Refuse(err error) error
}

// Serve answers one connection until its client ends it, and closes it.
func (a *Agent) Serve(stream Stream) error {
	if a.Empty() {
		return stream.Refuse(fmt.Errorf("this bottle has no SSH agent: name a host under ssh in the bottle file: %w", errdefs.ErrNotFound))
	}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	default:
		return stream.Refuse(fmt.Errorf("%d connections to the SSH agent are open already: %w", maxConnections, errdefs.ErrResourceExhausted))
	}
	if err := stream.Accept(); err != nil {
		return errors.Join(err, stream.Close())
	}
	return errors.Join(a.serve(stream), stream.Close())
}

// serve answers messages until the end of what the client says.
func (a *Agent) serve(stream io.ReadWriter) error {
	open := &connection{agent: a}
	for {
		message, err := readMessage(stream)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read message for SSH agent: %w", err)
		}
		if err := writeMessage(stream, open.answer(message)); err != nil {
			return fmt.Errorf("answer for SSH agent: %w", err)
		}
	}
}
