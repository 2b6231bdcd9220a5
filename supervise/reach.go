package supervise

import (
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
)

// ReachWarnings says what a plan must warn of before the yes, about the hosts
// and about the proxy that lookup, the host's environment, names. A proxy that
// can't be used is an InvalidArgument error.
func ReachWarnings(hosts []backend.PlanHost, lookup func(string) (string, bool)) ([]string, error) {
	proxy, err := egress.NewProxy(lookup)
	if err != nil {
		return nil, err
	}
	warnings := egress.Warnings(hosts)
	if warning := proxy.Warning(); warning != "" {
		warnings = append(warnings, warning)
	}
	return warnings, nil
}
