package egress

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// Named is Decide for a name that is asked for without a port: whether anything
// of that host may be reached.
func (p *Policy) Named(host string) (Verdict, error) {
	name, err := Canonical(host)
	if err != nil {
		return Verdict{}, err
	}
	for _, allowed := range p.hosts {
		if matches(allowed.Host, name) && len(allowed.Ports) > 0 {
			return Verdict{Name: name, Rule: allowed.Host + " (" + allowed.Because + ")"}, nil
		}
	}
	return Verdict{}, fmt.Errorf("%s is not allowed: add it to egress.allow of the bottle file: %w", name, errdefs.ErrPermissionDenied)
}
