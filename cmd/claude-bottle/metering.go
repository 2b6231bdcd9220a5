package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/remote"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
)

// metering looks at bottles again and again.
type metering struct {
	backend backend.Backend
	measure measure
	names   []string // of those to look at; none are all
	looked  bool
	last    map[string]backend.Usage // by ID
}

// measure says what the bottles of a list take, by ID.
type measure func(ctx context.Context, list []backend.Status) (map[string]supervise.Measured, error)

// measureOf measures bottles of the backend; where another process does it, it sees them all
// for itself. The caller calls end.
func measureOf(opened backend.Backend) (_ measure, end func(), err error) {
	if far, ok := opened.(*remote.Client); ok {
		return func(ctx context.Context, _ []backend.Status) (map[string]supervise.Measured, error) {
			return far.Measure(ctx)
		}, func() {}, nil
	}
	meter, ok := opened.(backend.Meter)
	if !ok {
		return nil, nil, fmt.Errorf("this backend does not say what bottles take: %w", errdefs.ErrNotImplemented)
	}
	measurer := supervise.NewMeasurer(meter)
	return func(ctx context.Context, list []backend.Status) (map[string]supervise.Measured, error) {
		return measurer.Measure(ctx, list), nil
	}, measurer.Close, nil
}

// look returns a row for each bottle that runs. At the first look all that were asked
// for must be there.
func (m *metering) look(ctx context.Context) ([]topRow, error) {
	list, err := m.backend.ListActive(ctx)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(status backend.Status) bool {
		return !status.Lives() || len(m.names) > 0 && !slices.Contains(m.names, status.Name)
	})
	measured, err := m.measure(ctx, list)
	if err != nil {
		return nil, err
	}
	rows := []topRow{}
	last := map[string]backend.Usage{}
	for _, status := range list {
		seen := measured[status.ID]
		row := topRow{
			Name: status.Name, ID: status.ID, Runtime: status.Runtime, UptimeSeconds: time.Since(status.Created).Seconds(),
			Reached: seen.Reached, SentBytes: seen.SentBytes, ReceivedBytes: seen.ReceivedBytes,
		}
		if seen.Usage != nil {
			row.topUsed = between(m.last[status.ID], *seen.Usage)
			last[status.ID] = *seen.Usage
		}
		rows = append(rows, row)
	}
	m.last = last
	if !m.looked {
		m.looked = true
		return rows, missing(m.names, rows)
	}
	return rows, nil
}
