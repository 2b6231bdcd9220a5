package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func (a *application) egressLogCommand() *cobra.Command {
	var follow bool
	command := &cobra.Command{
		Use:   "log NAME",
		Short: "Show every connection and name that a bottle asked for",
		Long: `Show what a bottle has asked for: names, connections with the rule that decided, bytes
and duration, and requests to the Anthropic API. A connection is shown once it has
ended. NAME may also be that of kept work, as list shows it.`,
		Example:           "  claude-bottle egress log claude\n  claude-bottle egress log claude -f -o json\n  claude-bottle egress log claude@k3x9p",
		Args:              arguments("log", "NAME"),
		ValidArgsFunction: a.completeBottles,
	}
	command.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the bottle has ended")
	output := addFormat(command, "text", "json")
	command.RunE = func(command *cobra.Command, args []string) error {
		ctx, release := signalled(command.Context())
		defer release()
		where, err := a.locate(ctx, args[0])
		if err != nil {
			return err
		}
		show := printEvent
		if output.value == "json" {
			show = encodeEvent
		} else if err := printEventHeader(a.out); err != nil {
			return err
		}
		return a.showLog(ctx, where, follow, func(event egress.Event) error { return show(a.out, event) })
	}
	return command
}

func (a *application) showLog(ctx context.Context, where backend.Location, follow bool, show func(egress.Event) error) error {
	var client *supervise.Client
	if follow && where.Held() {
		connected, err := supervise.Connect(ctx, where.Run)
		switch {
		case err == nil:
			client = connected
			defer client.Close()
		case !errdefs.IsUnavailable(err): // one that is just going has said it all
			return err
		}
	}
	err := supervise.EgressLog(ctx, where.State, client, show)
	var ended signalError
	if errors.As(context.Cause(ctx), &ended) {
		return ended
	}
	return err
}

func encodeEvent(w io.Writer, event egress.Event) error {
	line, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}

// eventRow is fixed, for lines that are not there yet have to fit under it.
const eventRow = "%-20s  %-8s  %-38s  %-30s  %9s  %9s  %8s  %s\n"

func printEventHeader(w io.Writer) error {
	_, err := fmt.Fprintf(w, eventRow, "TIME", "DECISION", "WHAT", "RULE", "SENT", "RECEIVED", "TOOK", "WHY")
	return err
}

// printEvent shows an event as one line of printable ASCII.
func printEvent(w io.Writer, event egress.Event) error {
	sent, received, took := "-", "-", "-"
	if event.Kind == egress.KindDial {
		sent, received = backend.Bytes(event.Sent), backend.Bytes(event.Received)
		took = (time.Duration(event.Millis) * time.Millisecond).String()
	}
	cells := []string{event.Time.UTC().Format(time.RFC3339), eventDecision(event), eventSubject(event), event.Rule, sent, received, took, event.Reason}
	shown := make([]any, len(cells))
	for i, cell := range cells {
		if cell == "" {
			cell = "-"
		}
		shown[i] = backend.Printable(cell)
	}
	var line strings.Builder
	fmt.Fprintf(&line, eventRow, shown...)
	_, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " \n"))
	return err
}

// eventDecision is what was decided, if anything was.
func eventDecision(event egress.Event) string {
	switch {
	case event.Kind == egress.KindAsk:
		return "held"
	case event.Kind == egress.KindFence:
		return "proof"
	case event.Allowed:
		return "allowed"
	default:
		return "denied"
	}
}

// eventSubject is what the event is about.
func eventSubject(event egress.Event) string {
	switch event.Kind {
	case egress.KindFence:
		return event.Host + " (fence)"
	case egress.KindName:
		return event.Host + " (name)"
	case egress.KindRequest:
		return fmt.Sprintf("%s %s %d", event.Method, event.Path, event.Status)
	case egress.KindChange:
		return event.Host
	default:
		return net.JoinHostPort(event.Host, strconv.Itoa(int(event.Port)))
	}
}
