package egress

import "github.com/claude-bottle/claude-bottle/backend"

// What may become of a connection.
const (
	Allowed = "allowed"
	Denied  = "denied"
	Asked   = "asked" // held until the user answers
)

// Test is what would become of a connection, by the policy alone. Where the name
// leads to is checked when it is dialled.
type Test struct {
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	Decision string `json:"decision"`
	Rule     string `json:"rule"`
	Reason   string `json:"reason,omitempty"`
	// Private are ranges that are not public but open to this host.
	Private []string `json:"private,omitempty"`
}

// Try says what the policy would do, and does nothing.
func Try(policy Decider, host string, port uint16) Test {
	test := Test{Host: backend.Printable(host), Port: port, Decision: Allowed}
	verdict, err := policy.Decide(host, port)
	switch {
	case undecided(err):
		test.Decision = Asked
	case err != nil:
		test.Decision = Denied
	}
	if err != nil {
		test.Rule, test.Reason = RuleOf(err), backend.Printable(err.Error())
		return test
	}
	test.Host, test.Rule = verdict.Name, verdict.Rule
	for _, block := range verdict.Ranges {
		test.Private = append(test.Private, block.String())
	}
	return test
}
