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
	kindEnter   neck.Kind = "users enter"   // entering; a link to where its work can be looked at
	kindDeclare neck.Kind = "users declare" // declaring; empty
	kindMeasure neck.Kind = "users measure" // empty; supervise.Measured by ID
)

// Kinds of request about what has changed, and about copies.
const (
	kindKnown neck.Kind = "users known" // named; change.Known, the stream is a session's input
	kindView  neck.Kind = "users view"  // viewing; a view as change tells it
	kindCame  neck.Kind = "users came"  // named; []change.State, the stream is a session's input
	kindFork  neck.Kind = "users fork"  // forking; backend.Work
)

// Kinds of request on the link of an entered bottle, beside those for its supervisor.
const (
	kindTips   neck.Kind = "users tips"   // nothing; object names
	kindMark   neck.Kind = "users mark"   // nothing; empty
	kindLeave  neck.Kind = "users leave"  // nothing; empty, once what was brought up is gone
	kindSettle neck.Kind = "users settle" // nothing; the stream is a session: homecoming in, fetch.Left out
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
	// Examine asks for what is unsaved, too, Kept for kept bottles alone and for
	// as long as a view may take.
	Examine bool `json:"examine,omitempty"`
	Kept    bool `json:"kept,omitempty"`
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

// entering asks for a way into a bottle: into the one that runs, or into a helper of one
// that is kept. Pristine is one of the same image in which nothing has run.
type entering struct {
	Name     string `json:"name"`
	Pristine bool   `json:"pristine,omitempty"`
}

// viewing asks for what differs in the work of a bottle from what went in, or, with
// Against, from the work of another.
type viewing struct {
	Name    string `json:"name"`
	Against string `json:"against,omitempty"`
	// Whole says that what was written through mappings counts, too.
	Whole bool `json:"whole,omitempty"`
}

// forking asks for a bottle of that name with the work of another.
type forking struct {
	Name string `json:"name"`
	As   string `json:"as"`
}

// homecoming is fetch.Home: paths are bytes, for not every one is UTF-8.
type homecoming struct {
	Whole   bool       `json:"whole"`
	Objects []string   `json:"objects"`
	Files   []homeFile `json:"files"`
}

type homeFile struct {
	Path   []byte `json:"path"`
	Mode   string `json:"mode"`
	Object string `json:"object"`
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
func decode(body json.RawMessage, into any) error { return decodeAll(bytes.NewReader(body), into) }

// decodeAll is decode for what comes bit by bit.
func decodeAll(body io.Reader, into any) error {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("read request: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if _, err := decoder.Token(); err != io.EOF { //nolint:errorlint // as documented
		return fmt.Errorf("read request: more follows it: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}
