// Package attempt is what a test on the host and the attack inside a bottle say
// to each other: what is to be tried, and how it looked from inside. What
// really happened only the far end knows.
package attempt

// Kind says by what means an attempt is made.
type Kind string

// The means.
const (
	Connect    Kind = "connect"    // to Address over Network
	Socket     Kind = "socket"     // of Domain, Type and Protocol, to Peer
	Question   Kind = "question"   // to the name server, and to the address that it answers with
	Descriptor Kind = "descriptor" // write to what PID 1 holds open as Number

	// By a PID 1 that was taken over:
	Request Kind = "request" // of kind Network for host Address and Port, on the neck
	Frames  Kind = "frames"  // as they are, on a neck of their own
)

// Attempt is one thing to try.
type Attempt struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`

	Network string `json:"network,omitempty"` // of net.Dial; for a question udp or tcp
	Address string `json:"address,omitempty"`

	Domain   int    `json:"domain,omitempty"`
	Type     int    `json:"type,omitempty"`
	Protocol int    `json:"protocol,omitempty"`
	Peer     []byte `json:"peer,omitempty"` // struct sockaddr of the kernel's

	// Query is a DNS message. Port is where to connect to afterwards; 0 asks
	// and does no more.
	Query []byte `json:"query,omitempty"`
	Port  uint16 `json:"port,omitempty"`

	Number int `json:"number,omitempty"`

	// Send are the pieces that are sent, each in a write of its own. With
	// Turns something has to come back before the next. What ends the last one
	// is the first answer, or, with Stay unset, the attempt itself.
	Send  [][]byte `json:"send,omitempty"`
	Turns bool     `json:"turns,omitempty"`
	Stay  bool     `json:"stay,omitempty"`
	// Again is how many times more frames are sent.
	Again int `json:"again,omitempty"`
}

// Outcome is how an attempt looked from inside.
type Outcome struct {
	Name string `json:"name"`
	// Error is what failed, or "". Answer is the beginning of what came back.
	Error  string `json:"error,omitempty"`
	Answer []byte `json:"answer,omitempty"`
}
