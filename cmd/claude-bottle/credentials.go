package main

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/containerd/log"
)

// checkRoutes says what the secrets of routes would miss, before anybody is asked
// anything. It runs no command.
func (a *application) checkRoutes(plan *backend.Plan, home string) error {
	sources := egress.Sources{Lookup: a.lookup, Home: home}
	for _, route := range plan.Routes {
		if err := sources.Check(route.Source); err != nil {
			return fmt.Errorf("credential %s: %w", route.Name, err)
		}
	}
	return nil
}

// readRoutes fetches the secrets of routes.
func (a *application) readRoutes(ctx context.Context, plan *backend.Plan, home string) (map[string]backend.RouteSecret, error) {
	sources := egress.Sources{Lookup: a.lookup, Home: home}
	secrets := make(map[string]backend.RouteSecret, len(plan.Routes))
	for _, route := range plan.Routes {
		secret, err := sources.Read(ctx, route.Source)
		if err != nil {
			return nil, fmt.Errorf("credential %s: %w", route.Name, err)
		}
		secrets[route.Name] = secret
	}
	return secrets, nil
}

// printReport says what the bottle's end of the network has to say, one line each.
func (a *application) printReport(ctx context.Context, bottle backend.Bottle) {
	reporter, ok := bottle.(backend.Reporter)
	if !ok {
		return
	}
	report, err := reporter.Report(ctx)
	if err != nil {
		log.G(ctx).WithError(err).Debug("ask for report") // the bottle may be gone
		return
	}
	for _, leak := range report.Leaks {
		what := "was sent"
		if leak.Blocked {
			what = "was refused"
		}
		_, _ = fmt.Fprintf(a.err, "claude-bottle: a request to http://%s.bottle that holds a secret (%s) %s: see egress.jsonl\n",
			backend.Printable(leak.Route), backend.Printable(leak.What), what)
	}
	for _, refused := range report.Refused {
		who := "the upstream of route " + refused.Route
		if refused.Route == "anthropic" {
			who = "the API"
		}
		_, _ = fmt.Fprintf(a.err, "claude-bottle: %s refused the credential from %s (%d): renew it, then start again\n",
			backend.Printable(who), backend.Printable(refused.Source), refused.Status)
	}
}
