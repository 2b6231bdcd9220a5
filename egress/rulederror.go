package egress

import "errors"

// ruledError is a refusal by a rule that has a name.
type ruledError struct {
	rule string
	err  error
}

// Error implements error.
func (e *ruledError) Error() string { return e.err.Error() }

// Unwrap returns what is refused, with its kind.
func (e *ruledError) Unwrap() error { return e.err }

// RuleOf names the rule behind a refusal of a policy.
func RuleOf(err error) string {
	var ruled *ruledError
	if errors.As(err, &ruled) {
		return ruled.rule
	}
	return ruleDefault
}
