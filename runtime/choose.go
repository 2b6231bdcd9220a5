package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// Policy is who wants what of a runtime.
type Policy struct {
	// Want is the flag's word, else the bottle file's.
	Want backend.RuntimePolicy
	// Require is the host file's; nothing weakens it.
	Require backend.RuntimePolicy
	// AllowVulnerableRunc accepts a runc below the floor.
	AllowVulnerableRunc bool
	// NoProbe takes a cached verdict, or none: the runtime stays unproved.
	NoProbe bool
	// Fresh has a probe run whatever earlier ones have said.
	Fresh bool
	// Shim asks for another shim for gVisor than the default.
	Shim string
}

// Choice is the runtime that a bottle gets, for the daemon and for the plan.
type Choice struct {
	Handle Handle
	Plan   backend.PlanRuntime
	// Weakness is why the runtime is refused unless AllowVulnerableRunc; nil for none.
	Weakness error
}

// Choose picks the runtime. gVisor is taken when a probe sandbox has run on it;
// the weaker runc only by an explicit word, never because gVisor is missing.
func (c *Client) Choose(ctx context.Context, policy Policy) (Choice, error) {
	row, reason, err := pick(policy)
	if err != nil {
		return Choice{}, err
	}
	choice, err := c.try(ctx, row, policy)
	if err == nil {
		choice.Plan.Reason = reason + choice.Plan.Reason
		return choice, nil
	}
	if row.sandboxed && policy.Require != backend.RuntimeGVisor {
		return Choice{}, fmt.Errorf("gVisor can't be used: %w; install runsc, or say --runtime runc (or runtime: runc in the bottle file) to run without it", err)
	}
	return Choice{}, fmt.Errorf("%s can't be used: %w", row.policy, err)
}

// pick is the decision itself, apart from what the host can do.
func pick(policy Policy) (candidate, string, error) {
	want, reason := policy.Want, "asked for"
	if want == backend.RuntimeAuto || want == "" {
		want, reason = backend.RuntimeGVisor, "auto takes gVisor"
	}
	if policy.Require != "" {
		if policy.Require == backend.RuntimeGVisor && want != backend.RuntimeGVisor {
			return candidate{}, "", fmt.Errorf("this host requires gVisor (requireRuntime in its config.yaml), so %s can't be asked for: take the word for it out of the command or the bottle file: %w", want, errdefs.ErrPermissionDenied)
		}
		if policy.Require == want {
			reason = "required by this host"
		}
	}
	for _, row := range candidates {
		if row.policy == want {
			return row, reason, nil
		}
	}
	return candidate{}, "", fmt.Errorf("runtime %q is unknown: auto, gvisor or runc: %w", want, errdefs.ErrInvalidArgument)
}

// try finds the binary, checks its version and has a probe sandbox run on it.
func (c *Client) try(ctx context.Context, row candidate, policy Policy) (Choice, error) {
	binary, err := c.findBinary(row.binary)
	if err != nil {
		return Choice{}, err
	}
	handle, err := c.handle(row, binary, policy.Shim)
	if err != nil {
		return Choice{}, err
	}
	// Before anything is asked of the binary: what is changed from here on is
	// not what the plan shows.
	if handle.planned, err = c.verdictKey(handle); err != nil {
		return Choice{}, err
	}
	verdict, known := c.cached(handle)
	if known = known && !policy.Fresh; !known {
		if verdict.Version, err = askVersion(ctx, binary); err != nil {
			return Choice{}, err
		}
	}
	plan := backend.PlanRuntime{Name: handle.Name, Shim: handle.Shim, Binary: binary, Version: shownVersion(verdict.Version)}
	var weakness error
	if row.version != nil {
		plan.Version, weakness = row.version(verdict.Version)
		if weakness != nil && !policy.AllowVulnerableRunc {
			return Choice{}, weakness
		} else if weakness != nil {
			plan.Reason = "; its known ways out are accepted by --allow-vulnerable-runc"
		}
	}
	if !known && !policy.NoProbe {
		if verdict, err = c.prove(ctx, row, handle, verdict); err != nil {
			return Choice{}, errors.Join(err, c.forget(handle))
		}
		known = true
	}
	plan.Proved, plan.Platform = known, verdict.Platform
	return Choice{Handle: handle, Plan: plan, Weakness: weakness}, nil
}

// prove runs the probe and keeps its verdict when it is good. A bad one is not
// kept: what was missing may be there the next time.
func (c *Client) prove(ctx context.Context, row candidate, handle Handle, known verdict) (verdict, error) {
	found, err := c.probe(ctx, handle)
	if err != nil {
		return known, fmt.Errorf("probe sandbox on %s: %w", handle.Binary, err)
	}
	if row.sandboxed && !found.GVisor {
		return known, fmt.Errorf("probe sandbox on %s ran, but not in gVisor (kernel %s): %w", handle.Binary, backend.Printable(found.Version), errdefs.ErrFailedPrecondition)
	}
	known.Kernel, known.Platform = found.Version, found.platform
	return known, c.remember(handle, known)
}
