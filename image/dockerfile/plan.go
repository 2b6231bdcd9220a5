package dockerfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// maxFile bounds a Dockerfile, in bytes.
const maxFile = 1 << 20

// Wish says what is to be built.
type Wish struct {
	backend.Dockerfile

	// Name is the reference that the image gets.
	Name string
	// NoCache runs every step, whatever BuildKit knows of earlier builds.
	NoCache bool
	// Timeout bounds the whole build.
	Timeout time.Duration
	// BuildKit is the daemon's address; "" looks for one.
	BuildKit string
	// Lookup finds a variable of the environment.
	Lookup func(string) (string, bool)
}

// Plan is what a build will do.
type Plan struct {
	Name       string        `json:"name"`
	Dockerfile string        `json:"dockerfile"`
	SHA256     string        `json:"sha256"` // of the Dockerfile
	Context    string        `json:"context"`
	Target     string        `json:"target,omitempty"`
	Args       []string      `json:"args,omitempty"` // NAME=value, sorted
	NoCache    bool          `json:"noCache,omitempty"`
	BuildKit   BuildKit      `json:"buildkit"`
	Timeout    time.Duration `json:"timeout"`
	// Recipe is a hash of all this but for the context's files: that of an image which
	// was built of the same.
	Recipe string `json:"recipe"`

	within string // both paths have to stay in it, if it is said
	lookup func(string) (string, bool)
}

var argument = pattern.Lazy(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// Describe reads the Dockerfile and resolves what is wished, and asks nobody. Have does
// the rest.
func Describe(wish Wish) (*Plan, error) {
	plan := &Plan{
		Name: wish.Name, Dockerfile: wish.File, Context: wish.Context, Target: wish.Target,
		NoCache: wish.NoCache, Timeout: wish.Timeout, within: wish.Within, lookup: wish.Lookup,
	}
	if plan.Context == "" {
		plan.Context = filepath.Dir(plan.Dockerfile)
	}
	if info, err := os.Stat(plan.Context); err != nil {
		return nil, fmt.Errorf("context of %s: %w", backend.Printable(plan.Dockerfile), err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("context %s is no directory: name the one that COPY takes files of: %w", backend.Printable(plan.Context), errdefs.ErrInvalidArgument)
	}
	if strings.ContainsFunc(plan.Target, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("target %q is no stage's name: %w", plan.Target, errdefs.ErrInvalidArgument)
	}
	for _, name := range slices.Sorted(maps.Keys(wish.Args)) {
		if !argument().MatchString(name) {
			return nil, fmt.Errorf("build argument %q: a name has letters, digits and _: %w", name, errdefs.ErrInvalidArgument)
		}
		plan.Args = append(plan.Args, name+"="+wish.Args[name])
	}
	var err error
	if plan.SHA256, err = hashFile(plan.Dockerfile); err != nil {
		return nil, err
	}
	made := append([]string{"dockerfile", plan.SHA256, plan.Dockerfile, plan.Context, plan.Target}, plan.Args...)
	sum := sha256.Sum256([]byte(strings.Join(made, "\x00")))
	plan.Recipe = hex.EncodeToString(sum[:])
	return plan, nil
}

// Have finds the daemon and its client for a plan.
func (p *Plan) Have(ctx context.Context, wish Wish) (err error) {
	p.BuildKit, err = Find(ctx, wish.BuildKit, wish.Lookup)
	return err
}

// hashFile hashes a Dockerfile, which is a regular file that is not too large.
func hashFile(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO does not hold it up
	if err != nil {
		return "", fmt.Errorf("read Dockerfile: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("read Dockerfile: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return "", fmt.Errorf("%s is no Dockerfile, for it is no regular file of at most %s: %w", backend.Printable(path), backend.Bytes(maxFile), errdefs.ErrInvalidArgument)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(file, maxFile)); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Print writes the plan for people.
func (p *Plan) Print(w io.Writer) error {
	var b strings.Builder
	row := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", key, backend.Printable(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintf(&b, "Image %s\n", backend.Printable(p.Name))
	row("dockerfile", "%s sha256:%s", p.Dockerfile, p.SHA256[:12])
	row("context", "%s", p.Context)
	if p.Target != "" {
		row("target", "%s", p.Target)
	}
	for _, arg := range p.Args {
		row("argument", "%s", arg)
	}
	if p.NoCache {
		row("cache", "not used")
	}
	row("buildkit", "%s, by %s; at most %s", p.BuildKit.Address, p.BuildKit.Program, p.Timeout)
	row("warning", "BuildKit gets every file of the context that .dockerignore does not name, those that git ignores and secrets, too.")
	row("warning", "BuildKit runs the commands of a Dockerfile in its own way and on its own network, not in a bottle.")
	_, err := io.WriteString(w, b.String())
	return err
}
