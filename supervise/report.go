package supervise

import (
	"context"
	"slices"
	"sync"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
)

// kindReport asks for what there is to say to the user, as JSON.
const kindReport neck.Kind = "report"

// notes gather what the user should hear at the end of a session. What the
// bottle can add to them is bounded.
type notes struct {
	mu     sync.Mutex
	report backend.Report
}

// refused returns what notes a credential that upstream did not take.
func (n *notes) refused(route, source string) func(status int) {
	return func(status int) {
		n.mu.Lock()
		defer n.mu.Unlock()
		note := backend.RefusedCredential{Route: route, Source: source, Status: status}
		if !slices.Contains(n.report.Refused, note) {
			n.report.Refused = append(n.report.Refused, note)
		}
	}
}

// leaked notes a secret in a request.
func (n *notes) leaked(route, what string, blocked bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	note := backend.Leak{Route: route, What: what, Blocked: blocked}
	if !slices.Contains(n.report.Leaks, note) {
		n.report.Leaks = append(n.report.Leaks, note)
	}
}

// evicted notes why the bottle is ended to spare the host.
func (g *gate) evicted(why string) {
	g.notes.mu.Lock()
	defer g.notes.mu.Unlock()
	g.notes.report.Evicted = why
}

// report is what there is to say so far.
func (g *gate) report() backend.Report {
	g.notes.mu.Lock()
	defer g.notes.mu.Unlock()
	return backend.Report{
		Refused: slices.Clone(g.notes.report.Refused), Leaks: slices.Clone(g.notes.report.Leaks), Denials: g.denials.Sum(),
		Evicted: g.notes.report.Evicted,
	}
}

// Report asks what there is to say to the user. It is asked before Down.
func (c *Client) Report(ctx context.Context) (backend.Report, error) {
	var report backend.Report
	err := c.egress(ctx, neck.Request{Kind: kindReport}, &report)
	return report, err
}
