package supervise

import (
	"context"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/neck"
)

// kindDenials asks what was refused.
const kindDenials neck.Kind = "egress denials"

// log takes an event into the audit log, and into what is told at the end.
func (g *gate) log(event egress.Event) {
	g.fence.saw(&event)
	g.denials.Note(event)
	_ = g.audit.Log(event)
}

// Denials says what the bottle was refused so far.
func (c *Client) Denials(ctx context.Context) (backend.Denials, error) {
	var denials backend.Denials
	err := c.egress(ctx, neck.Request{Kind: kindDenials}, &denials)
	return denials, err
}
