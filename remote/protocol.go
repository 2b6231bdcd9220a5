package remote

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// Where the server listens, and whose members may connect, unless it is told otherwise.
const (
	DefaultSocket = "/run/claude-bottle.sock"
	DefaultGroup  = "claude-bottle"
)

// protocolVersion changes when a client and a server that know different ones can't
// understand each other.
const protocolVersion = 2

// Kinds of request. The body says what is meant; an answer in JSON follows the yes, unless
// something else is said here.
const (
	kindHello   neck.Kind = "users hello"   // hello
	kindList    neck.Kind = "users list"    // listing; []backend.Status
	kindFind    neck.Kind = "users find"    // named; backend.Work
	kindPrepare neck.Kind = "users prepare" // Wish; planned
	kindLaunch  neck.Kind = "users launch"  // launching; step by step
	kindExtract neck.Kind = "users extract" // extraction; the stream is a session's input
	kindDetach  neck.Kind = "users detach"  // named, of this connection; empty
	kindClose   neck.Kind = "users close"   // named, of this connection; empty
	kindUnsaved neck.Kind = "users unsaved" // unsavedOf; backend.Unsaved
	kindReach   neck.Kind = "users reach"   // named; a link to the bottle's supervisor
	kindLog     neck.Kind = "users log"     // named; logLine by logLine
	kindEvents  neck.Kind = "users events"  // named; []backend.Event
	kindRemove  neck.Kind = "users remove"  // removal; backend.Unsaved
	kindPack    neck.Kind = "users pack"    // keptFiles; the stream is a session's output
	kindUnpack  neck.Kind = "users unpack"  // keptFiles; the stream is a session's input
	kindDeclare neck.Kind = "users declare" // declaring; empty
	kindMeasure neck.Kind = "users measure" // empty; supervise.Measured by ID
)

// Bounds of what one client may have under way.
const (
	maxStreams = 32
	maxRelayed = 64 // streams to one bottle
	maxBody    = 1 << 20
	maxAnswer  = 16 << 20
	// maxPrepared are bytes of plans that wait for their launch.
	maxPrepared = 2 << 20
)

type hello struct {
	Version int `json:"version"`
}

type named struct {
	Name string `json:"name"`
}

type listing struct {
	// Examine asks for what is unsaved, too.
	Examine bool `json:"examine,omitempty"`
}

type planned struct {
	Plan   wirePlan `json:"plan"`
	Detail string   `json:"detail"`
	Digest string   `json:"digest"`
}

// wirePlan is a plan without the backend's own part.
type wirePlan struct {
	backend.Plan

	Detail json.RawMessage `json:"detail,omitempty"`
}

// launching asks for the launch of a plan that was made on the same connection.
type launching struct {
	Plan       string            `json:"plan"` // digest
	Credential string            `json:"credential,omitempty"`
	Routes     map[string]string `json:"routes,omitempty"`
	// Env are the values that the bottle gets for itself, where somebody is to look for
	// them in what leaves it.
	Env map[string]string `json:"env,omitempty"`
	// Keys are those that the SSH agent signs with, by host.
	Keys        map[string][]byte `json:"keys,omitempty"`
	Passphrases map[string]string `json:"passphrases,omitempty"`
}

// launched is a step of a launch: exactly one of its fields is set.
type launched struct {
	Fill    bool          `json:"fill,omitempty"` // the client is to extract what goes in
	Done    bool          `json:"done,omitempty"`
	Failure *neck.Failure `json:"failure,omitempty"`
}

// filled is the client's answer to Fill.
type filled struct {
	Prompt  string        `json:"prompt,omitempty"`
	Failure *neck.Failure `json:"failure,omitempty"`
}

type extraction struct {
	Name  string        `json:"name"`
	Place backend.Place `json:"place"`
}

type unsavedOf struct {
	Name string `json:"name"`
	// Held says that it is a bottle of this connection, which is about to end.
	Held bool `json:"held,omitempty"`
}

type removal struct {
	Name    string `json:"name"`
	Discard bool   `json:"discard,omitempty"`
}

// declaring replaces the resource that was applied of a bottle, by one of that generation.
type declaring struct {
	Name       string          `json:"name"`
	Object     json.RawMessage `json:"object"`
	Generation int64           `json:"generation"`
}

// keptFiles are files of a kept bottle, by their path inside.
type keptFiles struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	As      string `json:"as,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"`
	Entries int    `json:"entries,omitempty"`
}

type logLine struct {
	Said    *supervise.Said `json:"said,omitempty"`
	Failure *neck.Failure   `json:"failure,omitempty"`
	End     bool            `json:"end,omitempty"`
}

// decode reads a body, strictly.
func decode(body json.RawMessage, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("read request: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if _, err := decoder.Token(); err != io.EOF { //nolint:errorlint // as documented
		return fmt.Errorf("read request: more follows it: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}
