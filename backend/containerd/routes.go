package containerd

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

var _ backend.Reporter = (*bottle)(nil)

// Report implements backend.Reporter.
func (b *bottle) Report(ctx context.Context) (backend.Report, error) {
	if b.supervisor == nil {
		return backend.Report{}, fmt.Errorf("ask for report: the bottle has no supervisor: %w", errdefs.ErrNotFound)
	}
	return b.supervisor.Report(ctx)
}

// reach is where a bottle may get, as planned.
type reach struct {
	hosts    []backend.PlanHost
	ask      *backend.PlanAsk
	routes   []backend.PlanRoute
	warnings []string
}

func planReach(spec backend.Spec) (r reach, err error) {
	bottle := spec.Manifest.Bottle
	if r.hosts, err = supervise.Hosts(bottle.Egress, bottle.SSH); err != nil {
		return r, err
	}
	if r.ask, err = supervise.Ask(bottle.Egress); err != nil {
		return r, err
	}
	if r.routes, err = supervise.Routes(bottle.Credentials); err != nil {
		return r, err
	}
	warnings, err := supervise.ReachWarnings(r.hosts, spec.Lookup)
	r.warnings = append(warnings, routeWarnings(r.routes, r.hosts)...)
	return r, err
}

// checkProxy refuses a proxy that a supervisor could not use, which has it of this process.
// A plan of an agent has looked at it; a helper, a step of a build and doctor have none.
func checkProxy() error {
	_, err := supervise.ReachWarnings(nil, os.LookupEnv)
	return err
}

// routeConfigs are the planned routes with their secrets, for the supervisor.
func routeConfigs(routes []backend.PlanRoute, secrets backend.Secrets) []supervise.RouteConfig {
	configs := make([]supervise.RouteConfig, 0, len(routes))
	for _, route := range routes {
		secret := secrets.Routes[route.Name]
		configs = append(configs, supervise.RouteConfig{Route: route, Secret: secret.Secret.Reveal(), Expires: secret.Expires})
	}
	return configs
}

// envSecrets are the values that the bottle was given for itself, by the names of
// their variables, when somebody looks for them in what leaves.
func envSecrets(plan *backend.Plan, secrets backend.Secrets) map[string]string {
	if plan.DLP == "" {
		return nil
	}
	values := map[string]string{}
	for _, variable := range plan.Env {
		if variable.Origin == backend.EnvForwarded || variable.Origin == backend.EnvAsked {
			values[variable.Name] = secrets.Env[variable.Name].Reveal()
		}
	}
	return values
}

// routeWarnings names hosts that a route makes needless, and that are a way
// around what the route forbids.
func routeWarnings(routes []backend.PlanRoute, hosts []backend.PlanHost) []string {
	var found []string
	for _, route := range routes {
		upstream, err := url.Parse(route.Upstream)
		if err != nil {
			continue
		}
		for _, host := range hosts {
			suffix, wild := strings.CutPrefix(host.Host, "*")
			same := host.Host == upstream.Hostname() || wild && strings.HasSuffix(upstream.Hostname(), suffix)
			if !same || host.Because == "ssh" {
				continue
			}
			found = append(found, fmt.Sprintf("egress.allow has %s, which credentials has a route for: past the route the agent can use an account of its own there, and nothing limits paths.", host.Host))
		}
	}
	return found
}
