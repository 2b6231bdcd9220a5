package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// The widest ranges that egress.private takes, in bits: 10.0.0.0/8 and fc00::/7
// are the widest private networks that there are.
const (
	widest4 = 8
	widest6 = 7
)

// privateError refuses an address. It is a PermissionDenied error.
type privateError struct {
	name    string
	address netip.Addr
	reason  string
}

// Error implements error.
func (e *privateError) Error() string {
	return fmt.Sprintf("%s resolves to %s, %s: %v", e.name, e.address, e.reason, errdefs.ErrPermissionDenied)
}

// Unwrap returns the kind.
func (e *privateError) Unwrap() error { return errdefs.ErrPermissionDenied }

// untouchable are addresses that no bottle file opens: what hands out the
// machine's own credentials to whoever asks, and what stands for no one host.
func untouchable() []netip.Prefix {
	var list []netip.Prefix
	for _, block := range []string{
		"0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8", // this network, link-local, multicast
		"100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128", // metadata
	} {
		list = append(list, netip.MustParsePrefix(block))
	}
	return list
}

// parsePrivate reads one entry of egress.private.
func parsePrivate(entry backend.PrivateRange) (host string, block netip.Prefix, err error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("egress.private: host %s, range %s: %s: %w", backend.Printable(entry.Host), backend.Printable(entry.Range),
			fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
	}
	if strings.ContainsAny(entry.Host, ":/") {
		return "", block, bad("give a host without scheme and port")
	}
	rule, err := ParseRule(entry.Host)
	if err != nil {
		return "", block, fmt.Errorf("egress.private: host %s: %w", backend.Printable(entry.Host), err)
	}
	block, err = netip.ParsePrefix(entry.Range)
	switch {
	case err != nil:
		return "", block, bad("give a range such as 10.1.0.0/16, or 10.1.2.3/32 for one address")
	case block.Addr().Is4In6():
		return "", block, bad("give an IPv4 range as such")
	case block != block.Masked():
		return "", block, bad("the range is %s", block.Masked())
	case block.Addr().Is4() && block.Bits() < widest4, block.Addr().Is6() && block.Bits() < widest6:
		return "", block, bad("that is too wide: name the network that the host is in")
	}
	for _, never := range untouchable() {
		if never.Bits() <= block.Bits() && never.Overlaps(block) {
			return "", block, bad("link-local, multicast and metadata addresses stay closed")
		}
	}
	return rule.Host, block, nil
}

// layPrivate gives the hosts their ranges. A host that is allowed by a wider
// rule only becomes an entry of its own.
func layPrivate(hosts []backend.PlanHost, private []backend.PrivateRange) ([]backend.PlanHost, error) {
	for _, entry := range private {
		name, block, err := parsePrivate(entry)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(hosts, func(host backend.PlanHost) bool { return host.Host == name })
		if at < 0 {
			narrowed := backend.PlanHost{Host: name, Because: "egress.private"}
			for _, host := range hosts {
				if covers(host.Host, name) {
					addPorts(&narrowed, host.Ports)
				}
			}
			if len(narrowed.Ports) == 0 {
				return nil, fmt.Errorf("egress.private: %s is not allowed at all: add it to egress.allow too: %w", name, errdefs.ErrInvalidArgument)
			}
			// Before the wider rule, so that who takes the first match sees it.
			hosts, at = slices.Insert(hosts, 0, narrowed), 0
		}
		if text := block.String(); !slices.Contains(hosts[at].Private, text) {
			hosts[at].Private = append(hosts[at].Private, text)
		}
	}
	return hosts, nil
}

// covers says that a rule allows all that the name, or *.suffix, stands for.
func covers(rule, name string) bool {
	below, wild := strings.CutPrefix(name, "*")
	if !wild {
		return matches(rule, name)
	}
	above, wild := strings.CutPrefix(rule, "*")
	return wild && strings.HasSuffix(below, above)
}

// named says that one of the ranges holds the address, and that the address is
// one that a bottle file can open.
func named(address netip.Addr, ranges []netip.Prefix) bool {
	holds := func(block netip.Prefix) bool { return block.Contains(address) }
	return slices.ContainsFunc(ranges, holds) && !slices.ContainsFunc(untouchable(), holds)
}
