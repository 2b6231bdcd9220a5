package egress

import (
	"slices"
	"strings"
	"sync"

	"github.com/claude-bottle/claude-bottle/backend"
)

// maxDenials bounds the hosts that are remembered as denied.
const maxDenials = 64

// Denials counts what was refused because no rule names it, for who wants to add
// one. The zero value is ready.
type Denials struct {
	mu   sync.Mutex
	list []backend.Denial
	more int
}

// Note takes an event into account.
func (d *Denials) Note(event Event) {
	if event.Allowed || event.Rule != ruleDefault && event.Rule != ruleAsk || event.Kind != KindDial && event.Kind != KindName {
		return
	}
	name, err := Canonical(event.Host)
	if err != nil || strings.HasSuffix(name, ".arpa") {
		return // no rule could name it
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.IndexFunc(d.list, func(known backend.Denial) bool { return known.Host == name && known.Port == event.Port })
	switch {
	case at >= 0:
		d.list[at].Count++
	case len(d.list) < maxDenials:
		d.list = append(d.list, backend.Denial{Host: name, Port: event.Port, Count: 1})
	default:
		d.more++
	}
}

// Sum is what was refused so far, in the order of the first time.
func (d *Denials) Sum() backend.Denials {
	d.mu.Lock()
	defer d.mu.Unlock()
	return backend.Denials{Hosts: slices.Clone(d.list), More: d.more}
}
