package supervise

import (
	"context"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/containerd/log"
)

// Measured is what a bottle takes of its host, and what it has reached since its launch.
type Measured struct {
	// Usage is nil where it can't be seen.
	Usage *backend.Usage `json:"usage,omitempty"`
	// Reached counts connections and requests that were allowed; the bytes are those of
	// connections that have ended.
	Reached       int   `json:"reached"`
	SentBytes     int64 `json:"sentBytes"`
	ReceivedBytes int64 `json:"receivedBytes"`
}

// Measurer measures bottles again and again. One goroutine at a time uses it.
type Measurer struct {
	meter   backend.Meter
	bottles map[string]*measuring // by ID
}

// measuring is what is known of a bottle from the looks before.
type measuring struct {
	tail *egress.Tail // nil where there is nothing to read
	sum  Measured
}

// NewMeasurer returns one that has looked at nothing yet. The caller closes it.
func NewMeasurer(meter backend.Meter) *Measurer {
	return &Measurer{meter: meter, bottles: map[string]*measuring{}}
}

// Close lets go of what it has open.
func (m *Measurer) Close() {
	for _, bottle := range m.bottles {
		bottle.close()
	}
	clear(m.bottles)
}

// Measure measures these bottles, by their IDs. It never fails: what can't be seen is left
// out. The directories are those of the list.
func (m *Measurer) Measure(ctx context.Context, list []backend.Status) map[string]Measured {
	found := map[string]Measured{}
	for _, status := range list {
		id, err := backend.ParseID(status.ID)
		if err != nil {
			continue
		}
		found[status.ID] = m.measure(ctx, id, status)
	}
	for id, bottle := range m.bottles {
		if _, there := found[id]; !there {
			bottle.close()
			delete(m.bottles, id)
		}
	}
	return found
}

func (m *Measurer) measure(ctx context.Context, id backend.ID, status backend.Status) Measured {
	known := m.bottles[status.ID]
	if known == nil {
		known = &measuring{}
		var err error
		if known.tail, err = TailEgressLog(filepath.Dir(status.Workspace)); err != nil {
			log.G(ctx).WithError(err).Debug("read audit log")
		}
		m.bottles[status.ID] = known
	}
	known.read()
	seen := known.sum
	usage, err := m.meter.Usage(ctx, id)
	if err != nil {
		log.G(ctx).WithError(err).Debug("meter bottle")
		return seen
	}
	seen.Usage = &usage
	return seen
}

func (b *measuring) close() {
	if b.tail != nil {
		b.tail.Close()
	}
}

// read counts what has been logged since.
func (b *measuring) read() {
	if b.tail == nil {
		return
	}
	for {
		event, err := b.tail.Next()
		if err != nil {
			return // there is no more yet
		}
		if event.Allowed && (event.Kind == egress.KindDial || event.Kind == egress.KindRequest) {
			b.sum.Reached++
			b.sum.SentBytes += event.Sent
			b.sum.ReceivedBytes += event.Received
		}
	}
}
