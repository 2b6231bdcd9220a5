package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/terminal"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// topOptions are the flags of top.
type topOptions struct {
	names    []string
	noStream bool
	interval time.Duration
	output   *format
}

func (a *application) topCommand() *cobra.Command {
	var o topOptions
	command := &cobra.Command{
		Use:   "top [NAME...]",
		Short: "Show what bottles that run take of this host",
		Long: `Show what bottles that run take of this host, as docker stats does, and go on until
Ctrl-C; once where standard output is no terminal, with --no-stream, or with -o json.

  CPU %          of one processor: two that are busy are 200 %
  MEMORY         without file content that this host can have back at once
  PIDS           processes and threads of this host: under gVisor those of the sandbox
  NET I/O        bytes that connections which have ended have sent and received
  REACHED        connections and requests that were allowed
  UPTIME         since the launch

All but NET I/O and REACHED is the runtime's and the agent's together.`,
		Example: `  claude-bottle top
  claude-bottle top claude second --no-stream
  claude-bottle top -o json | jq '.[] | select(.cpuPercent > 90) | .name'`,
		ValidArgsFunction: a.completeNames(math.MaxInt, runningBottle),
	}
	flags := command.Flags()
	flags.BoolVar(&o.noStream, "no-stream", false, "look once, and end")
	flags.DurationVar(&o.interval, "interval", time.Second, "time between two looks, at least 100ms")
	o.output = addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		if o.interval < 100*time.Millisecond {
			return usageError{fmt.Errorf("--interval %v: 100ms is the least", o.interval)}
		}
		for _, name := range args {
			o.names = append(o.names, plainName(name))
		}
		err := a.interruptible(command, func(ctx context.Context) error { return a.top(ctx, o) })
		var ended signalError
		if a.streamsTop(o) && errors.As(err, &ended) && ended.signal == syscall.SIGINT {
			return nil // how it is to end
		}
		return err
	}
	return command
}

// streamsTop says that top goes on.
func (a *application) streamsTop(o topOptions) bool {
	return !o.noStream && o.output.value == "text" && terminal.Is(a.out)
}

// top looks a first time, and then shows what has been used in between.
func (a *application) top(ctx context.Context, o topOptions) error {
	opened, err := a.openBackend(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	measure, end, err := measureOf(opened)
	if err != nil {
		return err
	}
	defer end()
	looks := &metering{backend: opened, measure: measure, names: o.names}
	if _, err := looks.look(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		rows, err := looks.look(ctx)
		if err != nil {
			return err
		}
		if done, err := o.output.structured(a.out, rows); done || err != nil {
			return err
		}
		if err := a.drawTop(rows, a.streamsTop(o)); err != nil || !a.streamsTop(o) {
			return err
		}
	}
}

// drawTop writes the table, over the one before when it goes on.
func (a *application) drawTop(rows []topRow, over bool) error {
	cells := make([][]string, 0, len(rows))
	for _, row := range rows {
		cells = append(cells, row.cells())
	}
	var text bytes.Buffer
	if err := table(&text, []string{"NAME", "CPU %", "MEMORY / LIMIT", "MEM %", "PIDS", "NET I/O", "REACHED", "UPTIME"}, cells); err != nil {
		return err
	}
	shown := text.String()
	if over {
		shown = "\x1b[H" + strings.ReplaceAll(shown, "\n", "\x1b[K\n") + "\x1b[J"
	}
	_, err := a.out.WriteString(shown)
	return err
}

// topRow is what one bottle takes.
type topRow struct {
	Name          string  `json:"name"`
	ID            string  `json:"id"`
	Runtime       string  `json:"runtime"`
	UptimeSeconds float64 `json:"uptimeSeconds"`
	// Used is nil where it can't be seen.
	*topUsed
	Reached       int   `json:"reached"`
	SentBytes     int64 `json:"sentBytes"`
	ReceivedBytes int64 `json:"receivedBytes"`
}

// topUsed is what is measured.
type topUsed struct {
	// CPUPercent is of one processor, since the last look.
	CPUPercent       float64 `json:"cpuPercent"`
	CPUSeconds       float64 `json:"cpuSeconds"`
	MemoryBytes      int64   `json:"memoryBytes"`
	MemoryLimitBytes int64   `json:"memoryLimitBytes"`
	PIDs             int64   `json:"pids"`
}

// between is what was used from one look to the next.
func between(before, now backend.Usage) *topUsed {
	used := &topUsed{
		CPUSeconds: now.CPUTime.Seconds(), MemoryBytes: now.MemoryBytes, MemoryLimitBytes: now.MemoryLimitBytes, PIDs: now.Tasks,
	}
	if passed := now.Time.Sub(before.Time); !before.Time.IsZero() && passed > 0 && now.CPUTime >= before.CPUTime {
		used.CPUPercent = 100 * float64(now.CPUTime-before.CPUTime) / float64(passed)
	}
	return used
}

func (r topRow) cells() []string {
	cells := []string{r.Name, "", "", "", "", backend.Bytes(r.SentBytes) + " / " + backend.Bytes(r.ReceivedBytes), strconv.Itoa(r.Reached), ageOf(r.UptimeSeconds)}
	if used := r.topUsed; used != nil {
		limit, percent := "none", ""
		if used.MemoryLimitBytes > 0 {
			limit = backend.Bytes(used.MemoryLimitBytes)
			percent = fmt.Sprintf("%.1f%%", 100*float64(used.MemoryBytes)/float64(used.MemoryLimitBytes))
		}
		cells[1], cells[2], cells[3] = fmt.Sprintf("%.1f%%", used.CPUPercent), backend.Bytes(used.MemoryBytes)+" / "+limit, percent
		cells[4] = strconv.FormatInt(used.PIDs, 10)
	}
	return cells
}

func ageOf(seconds float64) string { return age(time.Duration(seconds * float64(time.Second))) }

// missing names what was asked for and doesn't run.
func missing(names []string, rows []topRow) error {
	for _, name := range names {
		if !slices.ContainsFunc(rows, func(row topRow) bool { return row.Name == name }) {
			return fmt.Errorf("no bottle %s runs: `claude-bottle list` shows what there is: %w", backend.Printable(name), errdefs.ErrNotFound)
		}
	}
	return nil
}
