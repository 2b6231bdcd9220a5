package supervise

import (
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
)

// named notes that a name was asked for inside. What PID 1 answered is its own
// affair: said here is what the policy says.
func (g *gate) named(host string) {
	event := egress.Event{Kind: egress.KindName, Host: backend.Printable(host)}
	verdict, err := g.policy.Named(host)
	switch {
	case host == egress.GatewayHost:
		event.Allowed, event.Rule = true, "the gateway"
	case err != nil:
		event.Reason, event.Rule = backend.Printable(err.Error()), egress.RuleOf(err)
	default:
		event.Allowed, event.Rule = true, verdict.Rule
	}
	g.log(event)
}
