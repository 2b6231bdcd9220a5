package egress

import (
	"fmt"
	"testing"
)

func TestDenialsAreCountedAndBounded(t *testing.T) {
	var denials Denials
	for _, event := range []Event{
		{Kind: KindDial, Host: "a.example", Port: 443, Rule: ruleDefault},
		{Kind: KindDial, Host: "A.example.", Port: 443, Rule: ruleDefault},
		{Kind: KindName, Host: "b.example", Rule: ruleDefault},
		{Kind: KindDial, Host: "c.example", Port: 22, Rule: ruleAsk},
		// Not for want of a rule, or nothing that a rule could name.
		{Kind: KindAsk, Host: "d.example", Port: 443, Rule: ruleAsk},
		{Kind: KindDial, Host: "e.example", Port: 443, Rule: ruleTLS},
		{Kind: KindDial, Host: "f.example", Port: 443, Allowed: true, Rule: "f.example (egress.allow)"},
		{Kind: KindRequest, Host: GatewayHost, Rule: ruleDefault},
		{Kind: KindName, Host: "\x1b[2J", Rule: ruleDefault},
		{Kind: KindName, Host: "4.3.2.1.in-addr.arpa", Rule: ruleDefault},
	} {
		denials.Note(event)
	}
	if got := fmt.Sprint(denials.Sum()); got != "{[{a.example 443 2} {b.example 0 1} {c.example 22 1}] 0}" {
		t.Errorf("got %s", got)
	}
	for i := range 2 * maxDenials {
		denials.Note(Event{Kind: KindName, Host: fmt.Sprintf("h%d.example", i), Rule: ruleDefault})
	}
	if sum := denials.Sum(); len(sum.Hosts) != maxDenials || sum.More != maxDenials+3 {
		t.Errorf("%d hosts, %d more", len(sum.Hosts), sum.More)
	}
}
