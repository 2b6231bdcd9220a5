package doctor

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
)

// aboutRuntime is a sandbox of that runtime.
func aboutRuntime(policy backend.RuntimePolicy) subject {
	if policy == backend.RuntimeGVisor {
		return subject{"runtime-" + string(policy), "gVisor (runsc)"}
	}
	return subject{"runtime-" + string(policy), string(policy)}
}

// runtimeFacts are what came of trying one.
type runtimeFacts struct {
	policy backend.RuntimePolicy
	// require is what the host file demands; "" for nothing.
	require backend.RuntimePolicy
	choice  runtime.Choice
	err     error
	quick   bool // no sandbox was started
}

// wanted says that bottles need just this runtime.
func (f runtimeFacts) wanted() bool {
	if f.require != "" {
		return f.policy == f.require
	}
	return f.policy == backend.RuntimeGVisor
}

// judgeRuntime is one check for the sandbox. A runtime that bottles have only by explicit
// word is nothing to be missed.
func judgeRuntime(f runtimeFacts) Check {
	about, wrong := aboutRuntime(f.policy), Warning
	remedy := "install it, if you want bottles that ask for it (--runtime " + string(f.policy) + ")"
	if f.policy == backend.RuntimeGVisor {
		remedy = "install runsc where containerd finds it; until then only --runtime runc, the weaker one, starts bottles"
	}
	if f.wanted() {
		wrong = Missing
	}
	if f.require != "" && !f.wanted() {
		return about.ok("not wanted: this host requires %s", f.require)
	}
	plan := f.choice.Plan
	switch {
	case errdefs.IsNotFound(f.err):
		return about.check(wrong, remedy, "%s", firstLine(f.err))
	case f.err != nil:
		return about.check(wrong, "look at containerd's log, or install another release of it", "%s", firstLine(f.err))
	}
	name := plan.Version + " at " + plan.Binary
	if plan.Platform != "" {
		name = plan.Platform + ", " + name
	}
	name = backend.Printable(name)
	switch {
	case f.choice.Weakness != nil:
		return about.check(wrong, "install runc 1.2.8, 1.3.6, 1.4.3 or newer: bottles run on this one only with --allow-vulnerable-runc", "%s: it has known ways out", name)
	case f.quick:
		return about.ok("%s; no sandbox was started", name)
	default:
		return about.ok("%s: a sandbox ran", name)
	}
}

// tryRuntime gathers the facts.
func (e *examination) tryRuntime(ctx context.Context, policy backend.RuntimePolicy) runtimeFacts {
	facts := runtimeFacts{policy: policy, require: e.require, quick: e.options.Quick}
	if facts.require != "" && !facts.wanted() {
		return facts
	}
	if facts.quick {
		facts.choice, facts.err = e.opened.LookUpRuntime(ctx, policy)
	} else {
		facts.choice, facts.err = e.opened.TryRuntime(ctx, policy)
	}
	return facts
}

// aboutImage is the image that claude is tried in.
var aboutImage = subject{"image", "image"}

// judgeImage says whether it is in the store.
func judgeImage(image runtime.Image, reference string, err error) Check {
	switch {
	case errdefs.IsNotFound(err):
		return aboutImage.missing("make and import the default image (`make run` does both, or `ctr -n claude-bottle images import`), or name another with doctor --image", "%s is not in containerd's store", backend.Printable(reference))
	case err != nil:
		return aboutImage.missing("import it again, or name another with doctor --image", "%s", firstLine(err))
	}
	state := ""
	if !image.Unpacked {
		state = ", to be unpacked"
	}
	return aboutImage.ok("%s", fmt.Sprintf("%s, %s, %s%s", backend.Printable(image.Reference), short(image.Digest), backend.Bytes(image.Size), state))
}

func short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }
