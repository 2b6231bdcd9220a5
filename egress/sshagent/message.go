package sshagent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

// The server of golang.org/x/crypto/ssh/agent is not used for the frames: it
// takes 16 MiB on the word of a client, parses keys that a client wants to add,
// and writes a line to the process's log for each refusal. Here every client is
// hostile, and three kinds of message are all that is wanted.

// maxMessage bounds a message of a client, in bytes: what is signed holds names
// and two public keys.
const maxMessage = 32 << 10

// Kinds of message, as PROTOCOL.agent numbers them.
const (
	kindFailure   = 5
	kindSuccess   = 6
	kindList      = 11 // answered by 12
	kindSign      = 13 // answered by 14
	kindExtension = 27
)

// extensionBind is the extension by which a client says for which session it is.
const extensionBind = "session-bind@openssh.com"

// kindLogin is SSH_MSG_USERAUTH_REQUEST of the SSH protocol itself.
const kindLogin = 50

var errTooLong = errors.New("longer than a message may be")

// readMessage reads one message without its length. io.EOF says that there is
// none.
func readMessage(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size == 0 || size > maxMessage {
		return nil, fmt.Errorf("message of %d bytes: %w", size, errTooLong)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, fmt.Errorf("message of %d bytes: %w", size, io.ErrUnexpectedEOF)
	}
	return message, nil
}

func writeMessage(w io.Writer, message []byte) error {
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(message)), uint32(len(message)))
	_, err := w.Write(append(frame, message...))
	return err
}

// signRequest is a message of kindSign.
type signRequest struct {
	Key   []byte `sshtype:"13"`
	Data  []byte
	Flags uint32
}

// extension is a message of kindExtension.
type extension struct {
	Name string `sshtype:"27"`
	Rest []byte `ssh:"rest"`
}

// bindRequest is what follows the name of extensionBind.
type bindRequest struct {
	HostKey, SessionID, Signature []byte
	Forwarding                    bool
}

// login is what a client signs to log in: RFC 4252, section 7, after the session
// identifier.
type login struct {
	User      string `sshtype:"50"`
	Service   string
	Method    string
	Signed    bool
	Algorithm string
	Key       []byte
	Rest      []byte `ssh:"rest"` // the host's key, with methodBound
}

// The methods of a login.
const (
	service     = "ssh-connection"
	methodPlain = "publickey"
	methodBound = "publickey-hostbound-v00@openssh.com"
)

// signedBytes are the bytes of a login in a session.
func signedBytes(sessionID []byte, wish login) []byte {
	return append(ssh.Marshal(struct{ SessionID []byte }{sessionID}), ssh.Marshal(wish)...)
}
