package backend

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Builder is a Backend that makes images.
type Builder interface {
	// PlanBuild reads and resolves only.
	PlanBuild(ctx context.Context, spec BuildSpec) (*BuildPlan, error)
	// Build does the plan. What its steps say is written to out. Steps that have ended
	// stay for the next build when a later one fails.
	Build(ctx context.Context, plan *BuildPlan, out io.Writer) (BuildResult, error)
	// HasImage says whether an image of that name is here; no registry is asked.
	HasImage(ctx context.Context, reference string) (bool, error)
}

// BuildSpec is the wish for an image.
type BuildSpec struct {
	// Name is the reference that the image gets, From the one it is made of.
	Name, From string
	// Make writes the root file system that the recipe starts from, as a tar; nil when From
	// is an image.
	Make  func(ctx context.Context, w io.Writer) error
	Steps []BuildStep
	// Env is that of every step, and stands in the image's configuration.
	Env []string
	// Runtime and Require are as for a bottle; "" is auto.
	Runtime, Require    RuntimePolicy
	AllowVulnerableRunc bool
	Limits              Limits
	// DiskBytes bounds what one step writes, Timeout how long it runs.
	DiskBytes int64
	Timeout   time.Duration
	// Claude is the version of the claude that the recipe puts in; "" when it names none.
	Claude string
	// KeepOld has the image that had the name so far stay, called by its digest, also
	// when nobody uses it.
	KeepOld bool
	// NoCache runs every step, whatever is known of earlier builds.
	NoCache bool
}

// BuildStep is one layer of an image: files that are put in, or a command.
type BuildStep struct {
	// Title says what it does, in one line of foreign text.
	Title string `json:"title"`
	// Inputs is a hash of everything that the step is made of.
	Inputs string `json:"inputs"`
	// Argv is run at the root of the image, as root of the bottle.
	Argv []string `json:"argv,omitempty"`
	// Egress is what the command may reach.
	Egress Egress `json:"egress"`
	// Put hands over what is put in, one thing after the other; nil for a command alone.
	Put func(ctx context.Context, put func(BuildPut) error) error `json:"-"`
}

// BuildPut is one file, link or directory that is put into an image.
type BuildPut struct {
	// To is where, as cp has it: a directory that is there takes a file as Name. Missing
	// directories on the way are made.
	To, Name string
	// Tar holds the one thing, under any name.
	Tar io.Reader
}

// BuildPlan is what a build will do.
type BuildPlan struct {
	Name    string        `json:"name"`
	Base    PlanImage     `json:"base"`
	Runtime PlanRuntime   `json:"runtime"`
	User    PlanUser      `json:"user"`
	Steps   []PlannedStep `json:"steps"`
	Limits  Limits        `json:"limits"`
	Disk    int64         `json:"diskBytes"`
	Timeout time.Duration `json:"timeout"`
	// Current says that the image is there already, of just these steps.
	Current bool `json:"current"`
	// Spec is the wish, Detail the backend's own.
	Spec   BuildSpec    `json:"-"`
	Detail fmt.Stringer `json:"-"`
}

// PlannedStep is a step of a plan.
type PlannedStep struct {
	Title string     `json:"title"`
	Hosts []PlanHost `json:"hosts"`
	// Key is a hash of the step and of all that came before it.
	Key string `json:"key"`
	// Cached says that an earlier build has made this very step.
	Cached bool `json:"cached"`
}

// Line is the title for people: printable, and of one line's length.
func (s PlannedStep) Line() string {
	const most = 100
	line := Printable(s.Title)
	if len(line) > most {
		line = line[:most] + "..."
	}
	return line
}

// BuildResult is an image that was built.
type BuildResult struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes, packed
	// Built counts the steps that ran, Cached those that did not have to.
	Built  int `json:"built"`
	Cached int `json:"cached"`
	// Audit is the directory where what the steps asked of the network is kept, a file
	// for each; "" when none ran.
	Audit string `json:"audit,omitempty"`
}

// Print writes the plan for people.
func (p *BuildPlan) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Image %s\n", Printable(p.Name))
	there := "will be pulled"
	switch {
	case p.Base.Present:
		there = "is here"
	case p.Spec.Make != nil:
		there = "will be made of Debian's packages"
	}
	from := p.Base.Pinned()
	if p.Spec.Make != nil {
		from = p.Spec.From
	}
	fmt.Fprintf(&b, "  %-8s %s, %s\n", "from", Printable(from), there)
	fmt.Fprintf(&b, "  %-8s %s; limits a step: memory %s, disk %s, %s\n", "runtime", Printable(p.Runtime.Name), Bytes(p.Limits.MemoryBytes), Bytes(p.Disk), p.Timeout)
	for i, step := range p.Steps {
		state := ""
		if step.Cached {
			state = " (cached)"
		}
		fmt.Fprintf(&b, "  %-8s %s%s\n", fmt.Sprintf("step %d", i+1), step.Line(), state)
		if len(step.Hosts) > 0 && !step.Cached {
			names := make([]string, len(step.Hosts))
			for i, host := range step.Hosts {
				names[i] = Printable(host.Host)
			}
			fmt.Fprintf(&b, "  %-8s reaches %s\n", "", strings.Join(names, ", "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
