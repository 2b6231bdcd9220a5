package supervise

import "github.com/claude-bottle/claude-bottle/egress"

// log takes an event into the audit log, and into what is told at the end.
func (g *gate) log(event egress.Event) {
	g.fence.saw(&event)
	g.denials.Note(event)
	_ = g.audit.Log(event)
}
