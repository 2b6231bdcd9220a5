package main

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/log"
)

// metering looks at bottles again and again.
type metering struct {
	backend backend.Backend
	meter   backend.Meter
	names   []string // of those to look at; none are all
	looked  bool
	bottles map[string]*metered // by ID
}

// metered is what is known of a bottle from the looks before.
type metered struct {
	last backend.Usage
	tail *egress.Tail // nil where there is nothing to read

	reached        int
	sent, received int64
}

func (m *metering) close() {
	for _, bottle := range m.bottles {
		bottle.close()
	}
}

func (b *metered) close() {
	if b.tail != nil {
		b.tail.Close()
	}
}

// look returns a row for each bottle that runs. At the first look all that were asked
// for must be there.
func (m *metering) look(ctx context.Context) ([]topRow, error) {
	list, err := m.backend.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	rows := []topRow{}
	there := map[string]bool{}
	for _, status := range list {
		if status.Phase == backend.PhaseKept || status.Phase == backend.PhaseDead || len(m.names) > 0 && !slices.Contains(m.names, status.Name) {
			continue
		}
		there[status.ID] = true
		rows = append(rows, m.row(ctx, status))
	}
	for id, bottle := range m.bottles {
		if !there[id] {
			bottle.close()
			delete(m.bottles, id)
		}
	}
	if !m.looked {
		m.looked = true
		return rows, missing(m.names, rows)
	}
	return rows, nil
}

// row never fails: what can't be seen is left out.
func (m *metering) row(ctx context.Context, status backend.Status) topRow {
	row := topRow{Name: status.Name, ID: status.ID, Runtime: status.Runtime, UptimeSeconds: time.Since(status.Created).Seconds()}
	id, err := backend.ParseID(status.ID)
	if err != nil {
		return row
	}
	known := m.bottles[status.ID]
	if known == nil {
		known = &metered{}
		if known.tail, err = supervise.TailEgressLog(filepath.Dir(status.Workspace)); err != nil {
			log.G(ctx).WithError(err).Debug("read audit log")
		}
		m.bottles[status.ID] = known
	}
	if usage, err := m.meter.Usage(ctx, id); err == nil {
		row.topUsed = between(known.last, usage)
		known.last = usage
	} else {
		log.G(ctx).WithError(err).Debug("meter bottle")
	}
	known.read()
	row.Reached, row.SentBytes, row.ReceivedBytes = known.reached, known.sent, known.received
	return row
}

// read counts what has been logged since.
func (b *metered) read() {
	if b.tail == nil {
		return
	}
	for {
		event, err := b.tail.Next()
		if err != nil {
			return // there is no more yet
		}
		if event.Allowed && (event.Kind == egress.KindDial || event.Kind == egress.KindRequest) {
			b.reached++
			b.sent += event.Sent
			b.received += event.Received
		}
	}
}
