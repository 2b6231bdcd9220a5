package main

import (
	"context"
	"fmt"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
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
