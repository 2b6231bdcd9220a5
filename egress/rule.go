package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/net/idna"
)

// Domain is the top-level domain of the names that the supervisor itself
// answers: it is no name of the internet's.
const Domain = "bottle"

// GatewayHost is the name of the Anthropic API inside every bottle.
const GatewayHost = "anthropic." + Domain

const sshPort = 22

// webPorts are what a rule without a port allows.
func webPorts() []uint16 { return []uint16{80, 443} }

// ParseRule reads one entry of egress.allow: `host`, `*.suffix`, either with
// `:port`, or `ssh://host`. Names are kept in their ASCII form, in lower case.
// A bad entry is an InvalidArgument error.
func ParseRule(text string) (backend.PlanHost, error) {
	rest, ports := text, webPorts()
	if after, ok := strings.CutPrefix(text, "ssh://"); ok {
		rest, ports = after, []uint16{sshPort}
	}
	if strings.Contains(rest, "/") {
		return backend.PlanHost{}, fmt.Errorf("egress.allow: %q: give a host, without scheme and path: %w", text, errdefs.ErrInvalidArgument)
	}
	if name, port, ok := strings.Cut(rest, ":"); ok {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return backend.PlanHost{}, fmt.Errorf("egress.allow: %q: %q is not a port: %w", text, port, errdefs.ErrInvalidArgument)
		}
		rest, ports = name, []uint16{uint16(number)}
	}
	name, wild := strings.CutPrefix(rest, "*.")
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return backend.PlanHost{}, fmt.Errorf("egress.allow: %q is not a host name: %w", text, errdefs.ErrInvalidArgument)
	}
	canonical, err := Canonical(ascii)
	if err != nil {
		return backend.PlanHost{}, fmt.Errorf("egress.allow: %q: %w", text, err)
	}
	if wild && !strings.Contains(canonical, ".") {
		return backend.PlanHost{}, fmt.Errorf("egress.allow: %q would allow a whole top-level domain: %w", text, errdefs.ErrInvalidArgument)
	}
	if canonical == Domain || strings.HasSuffix(canonical, "."+Domain) {
		return backend.PlanHost{}, fmt.Errorf("egress.allow: %q: names below .%s are the bottle's own: %w", text, Domain, errdefs.ErrInvalidArgument)
	}
	if wild {
		canonical = "*." + canonical
	}
	return backend.PlanHost{Host: canonical, Ports: ports, Because: "egress.allow"}, nil
}

// Canonical is the one spelling of a host name that is compared and dialled:
// lower case, without the root's dot. Everything but letters, digits, hyphens
// and dots is refused, and so is every spelling of an IP address.
func Canonical(name string) (string, error) {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return "", fmt.Errorf("host name %s: %w", strconv.QuoteToASCII(name), errdefs.ErrInvalidArgument)
	}
	lower := []byte(name)
	for i, c := range lower {
		switch {
		case 'A' <= c && c <= 'Z':
			lower[i] = c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.':
		default:
			return "", fmt.Errorf("host name %s: %w", strconv.QuoteToASCII(name), errdefs.ErrInvalidArgument)
		}
	}
	labels := strings.Split(string(lower), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", fmt.Errorf("host name %s: %w", strconv.QuoteToASCII(name), errdefs.ErrInvalidArgument)
		}
	}
	if isAddress(string(lower), labels[len(labels)-1]) {
		return "", fmt.Errorf("%s is an IP address: only names can be allowed: %w", strconv.QuoteToASCII(name), errdefs.ErrInvalidArgument)
	}
	return string(lower), nil
}

// isAddress also knows the old spellings, such as 0x7f.1 and 2130706433: what
// ends in a number is an address to inet_aton.
func isAddress(name, last string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	_, err := strconv.ParseUint(last, 0, 64)
	_, decimalErr := strconv.ParseUint(last, 10, 64)
	return err == nil || decimalErr == nil
}

// Policy says which hosts and ports may be reached. The zero Policy allows
// nothing. It does not change.
type Policy struct{ hosts []backend.PlanHost }

// NewPolicy returns the policy that allows just these hosts.
func NewPolicy(hosts []backend.PlanHost) *Policy {
	return &Policy{hosts: slices.Clone(hosts)}
}

// Verdict is what the policy says of a host and port that it allows.
type Verdict struct {
	// Name is the canonical name: the string to dial, and no other.
	Name string
	// Rule is the rule that decided, and where it comes from.
	Rule string
	// Ranges are addresses, not public, that the name may resolve to.
	Ranges []netip.Prefix
}

// Check returns the canonical name if that host and port may be reached, else a
// PermissionDenied or InvalidArgument error.
func (p *Policy) Check(host string, port uint16) (string, error) {
	verdict, err := p.Decide(host, port)
	return verdict.Name, err
}

// Decide is Check with all that the policy says.
func (p *Policy) Decide(host string, port uint16) (Verdict, error) {
	name, err := Canonical(host)
	if err != nil {
		return Verdict{}, err
	}
	var verdict Verdict
	for _, allowed := range p.hosts {
		if !matches(allowed.Host, name) || !slices.Contains(allowed.Ports, port) {
			continue
		}
		if verdict.Name == "" {
			verdict.Name, verdict.Rule = name, allowed.Host+" ("+allowed.Because+")"
		}
		for _, text := range allowed.Private {
			block, err := netip.ParsePrefix(text)
			if err != nil {
				return Verdict{}, fmt.Errorf("read private range of %s: %w: %w", allowed.Host, err, errdefs.ErrInvalidArgument)
			}
			verdict.Ranges = append(verdict.Ranges, block)
		}
	}
	if verdict.Name == "" {
		return Verdict{}, fmt.Errorf("%s:%d is not allowed: add it to egress.allow of the bottle file: %w", name, port, errdefs.ErrPermissionDenied)
	}
	return verdict, nil
}

// matches compares with a name, or with a suffix at a dot.
func matches(allowed, name string) bool {
	if allowed == Everywhere {
		return public(name)
	}
	suffix, wild := strings.CutPrefix(allowed, "*")
	if !wild {
		return allowed == name
	}
	return len(name) > len(suffix) && strings.HasSuffix(name, suffix)
}

// public says that a name is one of the internet's: it has a dot, and a top that
// is not set aside for local or special use.
func public(name string) bool {
	at := strings.LastIndexByte(name, '.')
	if at < 0 {
		return false
	}
	return !slices.Contains([]string{Domain, "alt", "arpa", "corp", "home", "internal", "invalid", "lan", "local", "localhost", "onion", "test"}, name[at+1:])
}
