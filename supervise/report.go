package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
)

// kindReport asks for what there is to say to the user, as JSON.
const kindReport neck.Kind = "report"

// maxReport bounds a report, in bytes.
const maxReport = 1 << 20

// notes gather what the user should hear at the end of a session. What the
// bottle can add to them is bounded.
type notes struct {
	mu     sync.Mutex
	report backend.Report
}

// refused returns what notes a credential that upstream did not take.
func (n *notes) refused(route, source string) func(status int) {
	return func(status int) {
		n.mu.Lock()
		defer n.mu.Unlock()
		note := backend.RefusedCredential{Route: route, Source: source, Status: status}
		if !slices.Contains(n.report.Refused, note) {
			n.report.Refused = append(n.report.Refused, note)
		}
	}
}

// leaked notes a secret in a request.
func (n *notes) leaked(route, what string, blocked bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	note := backend.Leak{Route: route, What: what, Blocked: blocked}
	if !slices.Contains(n.report.Leaks, note) {
		n.report.Leaks = append(n.report.Leaks, note)
	}
}

// write writes the report as it is now.
func (n *notes) write(w io.Writer) error {
	n.mu.Lock()
	data, err := json.Marshal(n.report)
	n.mu.Unlock()
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	_, err = w.Write(data)
	return err
}

// answerReport answers a client that asks for the report.
func (s *supervisor) answerReport(stream neck.Stream) error {
	defer func() { _ = stream.Close() }()
	if err := stream.Accept(); err != nil {
		return err
	}
	return s.policy.notes.write(stream)
}

// Report asks what there is to say to the user. It is asked before Down.
func (c *Client) Report(ctx context.Context) (backend.Report, error) {
	var report backend.Report
	stream, err := c.conn.Open(ctx, neck.Request{Kind: kindReport})
	if err != nil {
		return report, fmt.Errorf("ask for report: %w", err)
	}
	defer func() { _ = stream.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	defer stop()
	if err := json.NewDecoder(io.LimitReader(stream, maxReport)).Decode(&report); err != nil {
		return report, fmt.Errorf("read report: %w", err)
	}
	return report, nil
}
