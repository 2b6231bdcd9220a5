package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// maxChanges bounds what a user can have said about one run.
const maxChanges = 1024

// Where a change comes from, as it stands in the log.
const (
	becauseAllow = "egress allow, this run"
	becauseDeny  = "egress deny, this run"
)

// Live is the policy of a running bottle: what its plan allows, and over that
// what its user has said since. The last word wins.
type Live struct {
	base *Policy
	ask  *asker // nil unless hosts that no rule names are asked for

	mu      sync.Mutex
	changes []change // the latest first
	changed chan struct{}
}

// change is one word of the user.
type change struct {
	allow bool
	host  string   // as in backend.PlanHost
	ports []uint16 // none stand for every port
}

// NewLive returns the policy of a bottle whose run begins.
func NewLive(hosts []backend.PlanHost) *Live {
	return &Live{base: NewPolicy(hosts), changed: make(chan struct{})}
}

// Allow allows what an entry of egress.allow would, from now on.
func (l *Live) Allow(text string) error {
	rule, err := ParseRule(text)
	if err != nil {
		return err
	}
	return l.add(change{allow: true, host: rule.Host, ports: rule.Ports})
}

// Deny refuses the host from now on: on the port that the text names, else on
// every port.
func (l *Live) Deny(text string) error {
	rule, err := ParseRule(text)
	if err != nil {
		return err
	}
	if !strings.Contains(text, ":") { // neither a port nor ssh://
		rule.Ports = nil
	}
	return l.add(change{host: rule.Host, ports: rule.Ports})
}

// add says a word; one that says the same of the same is taken back.
func (l *Live) add(latest change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := slices.DeleteFunc(slices.Clone(l.changes), func(known change) bool {
		return known.host == latest.host && (len(latest.ports) == 0 || slices.Equal(known.ports, latest.ports))
	})
	if len(changes) >= maxChanges {
		return fmt.Errorf("more than %d changes of one run: write them into the bottle file: %w", maxChanges, errdefs.ErrResourceExhausted)
	}
	l.changes = slices.Insert(changes, 0, latest)
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// said is the last word on a host and port; changed is closed at the next one.
func (l *Live) said(name string, port uint16) (word change, found bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, known := range l.changes {
		if matches(known.host, name) && (len(known.ports) == 0 || slices.Contains(known.ports, port)) {
			return known, true, l.changed
		}
	}
	return change{}, false, l.changed
}

// Decide says what holds for that host and port now. A host that has to be asked
// for is refused with an error that undecided knows.
func (l *Live) Decide(host string, port uint16) (Verdict, error) {
	verdict, _, err := l.decide(host, port)
	return verdict, err
}

// decide is Decide; changed is closed when it may have changed.
func (l *Live) decide(host string, port uint16) (verdict Verdict, changed <-chan struct{}, err error) {
	name, err := Canonical(host)
	if err != nil {
		return Verdict{}, nil, err
	}
	word, found, changed := l.said(name, port)
	if found {
		verdict, err = l.spoken(word, name, port)
		return verdict, changed, err
	}
	verdict, err = l.base.Decide(name, port)
	if errdefs.IsPermissionDenied(err) && l.ask.about(l.base, name, port) {
		err = &ruledError{rule: ruleAsk, err: fmt.Errorf("%s:%d: %w: %w", name, port, errUndecided, errdefs.ErrPermissionDenied)}
	}
	return verdict, changed, err
}

func (l *Live) spoken(word change, name string, port uint16) (Verdict, error) {
	if !word.allow {
		return Verdict{}, &ruledError{
			rule: word.host + " (" + becauseDeny + ")",
			err:  fmt.Errorf("%s:%d is denied for this run: %w", name, port, errdefs.ErrPermissionDenied),
		}
	}
	ranges, err := l.base.ranges(name)
	return Verdict{Name: name, Rule: word.host + " (" + becauseAllow + ")", Ranges: ranges}, err
}

// Named is Decide for a name that is asked for without a port. One whose
// connections would be held is allowed as a name.
func (l *Live) Named(host string) (Verdict, error) {
	name, err := Canonical(host)
	if err != nil {
		return Verdict{}, err
	}
	asked, refusal := false, error(nil)
	for _, entry := range l.candidates() {
		if !matches(entry.Host, name) {
			continue
		}
		for _, port := range entry.Ports {
			verdict, err := l.Decide(name, port)
			switch {
			case err == nil:
				return verdict, nil
			case undecided(err):
				asked = true
			case refusal == nil:
				refusal = err
			}
		}
	}
	switch {
	case asked:
		return Verdict{Name: name, Rule: ruleAsk}, nil
	case refusal != nil:
		return Verdict{}, refusal
	}
	return l.base.Named(name)
}

// ranges are those that the bottle file names for a host, whatever the port.
func (p *Policy) ranges(name string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, host := range p.hosts {
		if !matches(host.Host, name) {
			continue
		}
		for _, text := range host.Private {
			block, err := netip.ParsePrefix(text)
			if err != nil {
				return nil, fmt.Errorf("read private range of %s: %w: %w", host.Host, err, errdefs.ErrInvalidArgument)
			}
			list = append(list, block)
		}
	}
	return list, nil
}
