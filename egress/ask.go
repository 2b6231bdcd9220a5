package egress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// ruleAsk is logged as the rule behind what is asked for.
const ruleAsk = "egress.mode ask"

// Bounds of what is held for an answer: connections, and the hosts and ports that
// they are for. They leave a bottle's other connections their room.
const (
	maxHeld      = 64
	maxQuestions = 32
)

// Times for an answer.
const (
	defaultAsk  = time.Minute
	shortestAsk = time.Second
	longestAsk  = time.Hour
)

var errUndecided = errors.New("nobody has answered yet")

// undecided says that the user has to be asked.
func undecided(err error) bool { return errors.Is(err, errUndecided) }

// askPorts are those of an unknown host that are asked for: of the web, and SSH.
func askPorts() []uint16 { return append(webPorts(), sshPort) }

// Ask reads mode and time-out of what a bottle file says under egress. It is nil
// for another mode. A bad time-out is an InvalidArgument error.
func Ask(wish backend.Egress) (*backend.PlanAsk, error) {
	wait := defaultAsk
	if wish.AskTimeout != "" {
		parsed, err := time.ParseDuration(wish.AskTimeout)
		if err != nil || parsed < shortestAsk || parsed > longestAsk {
			return nil, fmt.Errorf("egress.askTimeout: %s: give a time from %s to %s, such as 60s: %w", backend.Printable(wish.AskTimeout), shortestAsk, longestAsk, errdefs.ErrInvalidArgument)
		}
		wait = parsed
	}
	if wish.Mode != backend.EgressAsk {
		return nil, nil
	}
	return &backend.PlanAsk{Ports: askPorts(), Timeout: wait.String()}, nil
}

// askable are rules that allow nothing by themselves: they let a private range be
// named for a host that is yet to be asked for.
func askable(rules []backend.PlanHost, private []backend.PrivateRange) (list []backend.PlanHost) {
	for _, entry := range private {
		name, _, err := parsePrivate(entry)
		if err != nil || slices.ContainsFunc(slices.Concat(rules, list), func(rule backend.PlanHost) bool { return covers(rule.Host, name) }) {
			continue
		}
		list = append(list, backend.PlanHost{Host: name, Because: ruleAsk})
	}
	return list
}

// asker holds connections until the user answers.
type asker struct {
	ports []uint16
	wait  time.Duration
	log   func(Event)

	mu   sync.Mutex
	held []Held
}

// Held is a host and port that the user is asked for, and how many connections
// wait for the answer.
type Held struct {
	Host    string    `json:"host"`
	Port    uint16    `json:"port"`
	Since   time.Time `json:"since"`
	Waiting int       `json:"waiting"`
}

// about says that this host and port are to be asked for. A local name is only
// where the bottle file names it.
func (a *asker) about(base *Policy, name string, port uint16) bool {
	if a == nil || !slices.Contains(a.ports, port) {
		return false
	}
	return public(name) || slices.ContainsFunc(base.hosts, func(host backend.PlanHost) bool { return matches(host.Host, name) })
}

// AskFor makes the policy hold hosts that no rule names. It is called before the
// policy is used. log hears of each connection that is held.
func (l *Live) AskFor(ask backend.PlanAsk, log func(Event)) error {
	wait, err := time.ParseDuration(ask.Timeout)
	if err != nil {
		return fmt.Errorf("read time for answers: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	l.ask = &asker{ports: ask.Ports, wait: wait, log: log}
	return nil
}

// Await is Decide that waits for the user's answer where there is to be one.
func (l *Live) Await(ctx context.Context, host string, port uint16) (Verdict, error) {
	verdict, changed, err := l.decide(host, port)
	if !undecided(err) {
		return verdict, err
	}
	name, err := Canonical(host)
	if err != nil {
		return Verdict{}, err
	}
	release, err := l.ask.hold(name, port)
	if err != nil {
		return Verdict{}, err
	}
	defer release()
	timer := time.NewTimer(l.ask.wait)
	defer timer.Stop()
	for {
		var void error
		select {
		case <-changed:
		case <-timer.C:
			void = fmt.Errorf("nobody has allowed it within %s", l.ask.wait)
		case <-ctx.Done():
			void = context.Cause(ctx)
		}
		if verdict, changed, err = l.decide(name, port); !undecided(err) {
			return verdict, err
		}
		if void != nil {
			return Verdict{}, askError("%s:%d: %w: %w", name, port, void, errdefs.ErrPermissionDenied)
		}
	}
}

func askError(format string, args ...any) error {
	return &ruledError{rule: ruleAsk, err: fmt.Errorf(format, args...)}
}

// hold counts one more connection that waits, until release is called.
func (a *asker) hold(name string, port uint16) (release func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	waiting := 0
	for _, held := range a.held {
		waiting += held.Waiting
	}
	at := a.find(name, port)
	if waiting >= maxHeld || at < 0 && len(a.held) >= maxQuestions {
		return nil, askError("%s:%d: too much is waiting for an answer: %w", name, port, errdefs.ErrPermissionDenied)
	}
	if at < 0 {
		a.held = append(a.held, Held{Host: name, Port: port, Since: time.Now().UTC()})
		at = len(a.held) - 1
	}
	a.held[at].Waiting++
	a.log(Event{Kind: KindAsk, Host: name, Port: port, Rule: ruleAsk, Reason: "held for an answer"})
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		at := a.find(name, port)
		if a.held[at].Waiting--; a.held[at].Waiting == 0 {
			a.held = slices.Delete(a.held, at, at+1)
		}
	}, nil
}

func (a *asker) find(name string, port uint16) int {
	return slices.IndexFunc(a.held, func(held Held) bool { return held.Host == name && held.Port == port })
}

// Pending lists what is held, the oldest first.
func (l *Live) Pending() []Held {
	if l.ask == nil {
		return nil
	}
	l.ask.mu.Lock()
	defer l.ask.mu.Unlock()
	return slices.Clone(l.ask.held)
}

// Approve answers yes to what is held for the host, on the port that the text
// names or on all. With nothing held it is a NotFound error.
func (l *Live) Approve(text string) ([]Held, error) {
	rule, err := ParseRule(text)
	if err != nil {
		return nil, err
	}
	every := !strings.Contains(text, ":")
	var approved []Held
	for _, held := range l.Pending() {
		if matches(rule.Host, held.Host) && (every || slices.Contains(rule.Ports, held.Port)) {
			if err := l.add(change{allow: true, host: held.Host, ports: []uint16{held.Port}}); err != nil {
				return approved, err
			}
			approved = append(approved, held)
		}
	}
	if len(approved) == 0 {
		return nil, fmt.Errorf("nothing is held for %s: `claude-bottle egress pending` lists what is, `egress allow` allows ahead: %w", backend.Printable(text), errdefs.ErrNotFound)
	}
	return approved, nil
}
