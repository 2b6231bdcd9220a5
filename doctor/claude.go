package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/fake/anthropic"
	"github.com/claude-bottle/claude-bottle/image/proven"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
)

func aboutClaude(policy backend.RuntimePolicy) subject {
	return subject{"claude-" + string(policy), "claude on " + string(policy)}
}

// claudeFacts are what came of a claude in a bottle.
type claudeFacts struct {
	policy backend.RuntimePolicy
	// err says why it could not be asked at all.
	err error
	// version is what it says of itself, and answered that the fake's answer came
	// back through it.
	version  string
	answered bool
	took     time.Duration
	// said is its complaint when it did not answer.
	said string
	// ending says why its bottle is not gone.
	ending error
}

// seeClaude tries claude where that makes sense.
func (e *examination) seeClaude(ctx context.Context, facts runtimeFacts) Check {
	about := aboutClaude(facts.policy)
	switch {
	case facts.err != nil:
		return about.unknown("", "not tried: the runtime does not work")
	case facts.choice.Weakness != nil:
		return about.unknown("", "not tried: the runtime has known ways out")
	case e.image.Digest == "":
		return about.unknown("", "not tried: there is no image")
	case e.hostErr != nil:
		return about.unknown("", "not tried: what this host demands can't be read")
	}
	found := e.tryClaude(ctx, facts.policy)
	if found.answered {
		e.seen.add(proven.Of(found.version, string(facts.policy), facts.choice.Plan.Version))
	}
	if found.err != nil && ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return about.unknown("", "not looked at to the end")
	}
	return judgeClaude(found, facts.wanted())
}

func judgeClaude(f claudeFacts, wanted bool) Check {
	about, wrong := aboutClaude(f.policy), Warning
	if wanted {
		wrong = Missing
	}
	switch {
	case errdefs.IsNotFound(f.err):
		return about.check(wrong, "take the default image, or one that has claude on its PATH", "%s", firstLine(f.err))
	case f.err != nil:
		return about.check(wrong, "run it again with --log-level debug: `start` fails in the same way", "%s", firstLine(f.err))
	case !f.answered:
		return about.check(wrong, "take the default image: its claude is one that is known to work", "%s did not answer: %s", backend.Printable(f.version), backend.Printable(f.said))
	case f.ending != nil:
		return about.warning("`claude-bottle cleanup` removes what is left of it", "%s answered, but its bottle is not gone: %s", backend.Printable(f.version), firstLine(f.ending))
	default:
		return about.ok("%s answered in %s", backend.Printable(f.version), f.took.Round(100*time.Millisecond))
	}
}

// tryClaude has a claude in a bottle say its version and ask a fake API a question. It
// reads none of the user's files and variables, and nothing goes to the network.
func (e *examination) tryClaude(ctx context.Context, policy backend.RuntimePolicy) (facts claudeFacts) {
	facts.policy = policy
	key, answer := "sk-ant-doctor-"+rand.Text(), "doctor-"+rand.Text()
	api, err := anthropic.Start(anthropic.Options{Key: key, Turns: []anthropic.Turn{{Text: answer}}})
	if err != nil {
		facts.err = fmt.Errorf("start a fake of the API: %w", err)
		return facts
	}
	defer api.Close()
	variables := map[string]string{
		"ANTHROPIC_BASE_URL": api.URL(), backend.CredentialAPIKey.Variable(): key, "TERM": "dumb",
	}
	lookup := func(name string) (string, bool) { value, ok := variables[name]; return value, ok }
	began := time.Now()
	bottle, err := e.launch(ctx, policy, lookup)
	if err != nil {
		facts.err = err
		return facts
	}
	defer func() { facts.ending = e.end(ctx, bottle) }()
	for _, argv := range [][]string{{"claude", "--version"}, {"claude", "-p", "Say the word."}} {
		said, complaint, code, err := execute(ctx, bottle, argv)
		if err != nil {
			facts.err = fmt.Errorf("run %s: %w", strings.Join(argv[:2], " "), err)
			return facts
		}
		facts.said = fmt.Sprintf("%s ended with code %d, saying %s", strings.Join(argv[:2], " "), code, orNothing(said+complaint))
		if argv[1] == "-p" {
			facts.answered = code == 0 && strings.TrimSpace(said) == answer
			break
		}
		if facts.version = firstWords(said); code != 0 || facts.version == "" {
			facts.version = "claude"
			return facts
		}
	}
	facts.took = time.Since(began)
	return facts
}

// launch brings up a bottle of the doctor's own.
func (e *examination) launch(ctx context.Context, policy backend.RuntimePolicy, lookup func(string) (string, bool)) (backend.Bottle, error) {
	limits, err := manifest.Limits(backend.Resources{})
	if err != nil {
		return nil, err
	}
	name := "doctor-" + string(policy) + "-" + strings.ToLower(rand.Text()[:6])
	plan, err := e.opened.Prepare(ctx, backend.Spec{
		Manifest: &backend.Manifest{
			Agent:  backend.AgentFile{Name: "doctor", Bottle: "doctor"},
			Bottle: backend.BottleFile{Name: "doctor", Runtime: policy},
			Host:   e.host,
		},
		Name: name, Image: e.image.Reference, Home: "/nonexistent", Cwd: "/", Limits: limits, Discard: true, Lookup: lookup,
	})
	if err != nil {
		return nil, fmt.Errorf("plan a bottle: %w", err)
	}
	defer func() { _ = plan.Workspace.Close() }()
	secrets, err := backend.ResolveSecrets(plan, lookup, func(string) (string, error) { return "", errdefs.ErrNotImplemented })
	if err != nil {
		return nil, err
	}
	return e.opened.Launch(ctx, plan, secrets)
}

// end takes the bottle down, and returns when nothing is left of it.
func (e *examination) end(ctx context.Context, bottle backend.Bottle) error {
	const bound = time.Minute
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), bound, fmt.Errorf("it did not end within %s: %w", bound, context.DeadlineExceeded))
	defer cancel()
	if err := bottle.Close(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		bottles, err := e.opened.ListActive(ctx)
		if err == nil && !slices.ContainsFunc(bottles, func(status backend.Status) bool { return status.Name == bottle.Name() }) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// execute runs claude without a terminal, and returns what it says.
func execute(ctx context.Context, bottle backend.Bottle, argv []string) (said, complaint string, code int, err error) {
	var out, errs clipped
	code, err = bottle.ExecClaude(ctx, argv, backend.Terminal{In: strings.NewReader(""), Out: &out, Err: &errs})
	return out.text.String(), errs.text.String(), code, err
}

// clipped keeps the beginning of what is written.
type clipped struct{ text bytes.Buffer }

// Write implements io.Writer.
func (c *clipped) Write(data []byte) (int, error) {
	const most = 16 << 10
	c.text.Write(data[:min(len(data), most-c.text.Len())])
	return len(data), nil
}

// firstWords are the first line of what a program says, shortened.
func firstWords(text string) string {
	const most = 120
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line[:min(len(line), most)]
}

func orNothing(text string) string {
	if line := firstWords(text); line != "" {
		return line
	}
	return "nothing"
}
