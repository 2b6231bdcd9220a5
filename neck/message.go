package neck

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// SocketName is the name of the neck's socket in the bound directory.
const SocketName = "neck.sock"

// maxMessage bounds a reply, and a request that is sent, in bytes.
const maxMessage = 1 << 20

// Kind says what a stream is for.
type Kind string

// The kinds that both ends of the neck know. The control socket has more.
const (
	KindDial    Kind = "dial"    // from inside: a connection to Host and Port
	KindName    Kind = "name"    // from inside: a name was asked for
	KindSession Kind = "session" // to inside: run a command
	KindNames   Kind = "names"   // to inside: a new table of names
	KindFence   Kind = "fence"   // to inside: try what must be closed, and what must be open
	KindPack    Kind = "pack"    // to inside: files as a tar stream
	KindUnpack  Kind = "unpack"  // to inside: a tar stream becomes files
	KindList    Kind = "list"    // to inside: what the root file system holds

	KindAttach  Kind = "attach"  // to inside: a client of a session that is kept
	KindForward Kind = "forward" // to inside: a connection to a port of the loopback

	KindSSHAgent Kind = "ssh-agent" // from inside: a connection to the SSH agent
)

// Request opens a stream.
type Request struct {
	Kind    Kind            `json:"kind"`
	Host    string          `json:"host,omitempty"`
	Port    uint16          `json:"port,omitempty"`
	Session *SessionRequest `json:"session,omitempty"`
	Names   *Names          `json:"names,omitempty"`
	Fence   *FenceRequest   `json:"fence,omitempty"`
	Files   *FilesRequest   `json:"files,omitempty"`
	Attach  *AttachRequest  `json:"attach,omitempty"`
	// Body is what the kinds of another protocol on such a link say; those of the neck
	// have none.
	Body json.RawMessage `json:"body,omitempty"`
}

// FilesRequest says which files are packed or unpacked. It is answered as a
// session is, by a command that PID 1 is itself: the stream is its input or its
// output, and only its exit says that it was whole.
type FilesRequest struct {
	// Path is the absolute path of what is packed, or of where it is unpacked.
	Path string `json:"path"`
	// Name is what the one thing in a stream that is unpacked is called in a
	// directory; "" puts what it holds there.
	Name string `json:"name,omitempty"`
	// Parents makes the directories that are missing on the way to Path, which ends with
	// a slash when it is one of them.
	Parents bool `json:"parents,omitempty"`
	// Bytes and Entries bound what is unpacked.
	Bytes   int64 `json:"bytes,omitempty"`
	Entries int   `json:"entries,omitempty"`
}

// FenceRequest says what to try: a host that must be refused, and one that must
// answer a request for a path.
type FenceRequest struct {
	Denied string `json:"denied"`
	Open   string `json:"open"`
	Port   uint16 `json:"port"`
	Path   string `json:"path"`
}

// Names is what PID 1 answers and listens for.
type Names struct {
	Entries []Name `json:"entries"`
	// SSHAgent is the path of the socket that stands for the SSH agent; "" is none.
	SSHAgent string `json:"sshAgent,omitempty"`
}

// Name is one allowed host, or every name below it when Suffix is set. Below the
// empty one is every public name.
type Name struct {
	Host   string   `json:"host"`
	Suffix bool     `json:"suffix,omitempty"`
	Ports  []uint16 `json:"ports"`
}

// reply answers a request. An empty one says yes.
type reply struct {
	Error string `json:"error,omitempty"`
	Class string `json:"class,omitempty"`
}

// writeMessage writes a value as JSON behind its length.
func writeMessage(w io.Writer, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if len(data) > maxMessage {
		return fmt.Errorf("message of %d bytes: %w", len(data), errTooLong)
	}
	frame := make([]byte, 4, 4+len(data))
	binary.BigEndian.PutUint32(frame, uint32(len(data)))
	_, err = w.Write(append(frame, data...))
	return err
}

// readMessage reads what writeMessage wrote, if it has no more than most bytes. It takes memory as bytes arrive,
// not as the length promises.
func readMessage(r io.Reader, most int64, value any) error {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	size := int64(binary.BigEndian.Uint32(length[:]))
	if size > most {
		return fmt.Errorf("message of %d bytes: %w", size, errTooLong)
	}
	data, err := io.ReadAll(io.LimitReader(r, size))
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if int64(len(data)) < size {
		return fmt.Errorf("read message: %w", io.ErrUnexpectedEOF)
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	return nil
}

var errTooLong = errors.New("longer than a message may be")
