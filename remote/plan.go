package remote

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/containerd/errdefs"
)

// hostFile is what errors call the file that the limits are in.
const hostFile = "/etc/claude-bottle/config.yaml"

// spec is the wish as a backend plans it: bounded by the user's quota, and without a place
// of the host.
func (w *Wish) spec(host backend.HostFile, quota backend.Quota) (backend.Spec, provision.Provisions, error) {
	bottle := w.Bottle
	bottle.Env = w.Env
	spec := backend.Spec{
		Manifest: &backend.Manifest{Agent: backend.AgentFile{Name: w.Agent, Model: w.Model}, Bottle: bottle, Host: host},
		Name:     w.Name, ForwardOAuthToken: w.ForwardOAuthToken, RemoteControl: w.RemoteControl, Runtime: w.Runtime, Image: w.Image,
		NoPull: !quota.Pull, Limits: w.Limits, RawTerminal: w.RawTerminal, DryRun: w.DryRun, Discard: w.Discard,
		Declaration: w.Declaration, ClaudeArgs: w.ClaudeArgs, Lookup: w.lookup, Restart: w.Restart,
	}
	if w.Files != "" {
		spec.Manifest.Files = manifestFiles(w.Files)
	}
	things := provision.Provisions{Inputs: w.Inputs}
	for _, entry := range bottle.SSH {
		key := w.Keys[entry.Host]
		planned, err := provision.PlanSSH(entry, backend.PlanSSH{Fingerprint: key.Fingerprint, Locked: key.Locked})
		if err != nil {
			return spec, things, fmt.Errorf("ssh %s: %w", backend.Printable(entry.Host), err)
		}
		things.SSH = append(things.SSH, planned)
	}
	return spec, things, w.allowed(quota)
}

// allowed says whether the user may have such a bottle at all.
func (w *Wish) allowed(quota backend.Quota) error {
	switch {
	case w.AllowVulnerableRunc:
		return fmt.Errorf("--allow-vulnerable-runc is for root: %w", errdefs.ErrPermissionDenied)
	case w.Bottle.Debug:
		return fmt.Errorf("debug: true of the bottle file is for root: %w", errdefs.ErrPermissionDenied)
	}
	want := w.Runtime
	if want == "" {
		want = w.Bottle.Runtime
	}
	if want == backend.RuntimeRunc {
		return runtimeAllowed(string(want), quota)
	}
	return nil
}

func runtimeAllowed(name string, quota backend.Quota) error {
	if slices.Contains(quota.Runtimes, name) {
		return nil
	}
	return fmt.Errorf("runtime %s is not open to you: the administrator allows it by users.NAME.runtimes in %s: %w", backend.Printable(name), hostFile, errdefs.ErrPermissionDenied)
}

// proxies are the variables of this end that say how the network is reached: connections of
// bottles are made from here.
func proxies() []string { return []string{"HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} }

func (w *Wish) lookup(name string) (string, bool) {
	if slices.Contains(proxies(), name) {
		return os.LookupEnv(name)
	}
	for _, kind := range w.Credentials {
		if kind.Variable() == name {
			return "set", true
		}
	}
	value, ok := w.Variables[name]
	return value, ok
}

// prepare plans a wish.
func (u *user) prepare(ctx context.Context, wish Wish) (*backend.Plan, error) {
	host, quota, err := u.options.Quota(u.uid)
	if err != nil {
		return nil, err
	}
	spec, things, err := wish.spec(host, quota)
	if err != nil {
		return nil, err
	}
	if wish.Resume != "" {
		if spec.Resume, err = u.backend.Find(ctx, wish.Resume); err != nil {
			return nil, err
		}
	}
	plan, err := u.backend.PrepareGiven(ctx, spec, things)
	if err != nil {
		return nil, err
	}
	if err := runtimeAllowed(plan.Runtime.Name, quota); err != nil {
		return nil, err
	}
	for i := range plan.Routes {
		plan.Routes[i].Source = ofClient
	}
	if plan.Resume == nil {
		plan.From = wish.From
	}
	return plan, reachesNothing(plan)
}

// reachesNothing is the last look at a user's plan: nothing in it may lead whoever goes by
// it, now or later, to a file or a program of the host.
func reachesNothing(plan *backend.Plan) error {
	found := ""
	switch {
	case plan.Workspace != nil:
		found = "a working directory"
	case slices.ContainsFunc(plan.Files, func(file backend.ManifestFile) bool { return file.Path != filesOfClient }):
		found = "manifest files"
	case plan.Declaration != nil && len(plan.Declaration.Object) > 0:
		if _, err := resources.Given(plan.Declaration.Object); err != nil {
			found = "what is no resource"
		}
	}
	for _, input := range plan.Inputs {
		if input.From != "" {
			found = "a path of " + input.Name
		}
	}
	for _, entry := range plan.SSH {
		if entry.From != "" || len(entry.Key()) > 0 {
			found = "an SSH key"
		}
	}
	for _, route := range plan.Routes {
		if route.Source != ofClient {
			found = "the source of a secret"
		}
	}
	if found == "" {
		return nil
	}
	return fmt.Errorf("the plan holds %s: %w", backend.Printable(found), errdefs.ErrInternal)
}
