package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/fetch"
	"github.com/claude-bottle/claude-bottle/terminal"
)

// Bounds of what is shown of a bottle.
const (
	maxSaid   = 1 << 20 // bytes, in the output
	maxQuoted = 100     // lines
	maxShown  = 40      // characters of a task in the table
	mostTasks = 10      // before the question
)

// runResult is how it went with one bottle of a run.
type runResult struct {
	Name string `json:"name"`
	// Handle is what the bottle is kept as; "" for one that is removed, or never was.
	Handle string `json:"handle,omitempty"`
	Task   string `json:"task"`
	// ExitCode is claude's, null where it did not end; Outcome has the rest of it.
	ExitCode *int             `json:"exitCode"`
	Outcome  *backend.Outcome `json:"outcome,omitempty"`
	Seconds  float64          `json:"seconds"`
	Work     runWork          `json:"work"`
	// Said is the end of what claude has written to its standard output, SaidAside to
	// its standard error.
	Said      string `json:"said,omitempty"`
	SaidAside string `json:"saidAside,omitempty"`
	// Error is what went wrong on our side.
	Error string `json:"error,omitempty"`

	id     backend.ID
	begun  time.Time
	looked bool // whether there is work
}

// runWork is what a bottle has made.
type runWork struct {
	// Words say it in short; "" is nothing.
	Words string `json:"words,omitempty"`
	// Repository is where it came home to, Refs as what.
	Repository string      `json:"repository,omitempty"`
	Refs       []fetch.Ref `json:"refs,omitempty"`
	// Unsaved is what is nowhere but in the kept bottle.
	Unsaved *backend.Unsaved `json:"unsaved,omitempty"`
}

func (r *runResult) begins(id backend.ID) { r.id, r.Handle, r.begun = id, id.Handle(), time.Now() }

func (r *runResult) ends(outcome backend.Outcome) {
	r.Outcome, r.ExitCode, r.Seconds = &outcome, &outcome.ExitCode, outcome.Finished.Sub(outcome.Started).Seconds()
}

func (r *runResult) succeeded() bool { return r.Error == "" && r.ExitCode != nil && *r.ExitCode == 0 }

func (r *runResult) exit() string {
	if r.ExitCode == nil {
		return "-"
	}
	return strconv.Itoa(*r.ExitCode)
}

func (r *runResult) took() time.Duration {
	return time.Duration(r.Seconds * float64(time.Second)).Round(100 * time.Millisecond)
}

func (r *runResult) made(work backend.Unsaved) {
	r.looked = true
	if work.Any() {
		r.Work = runWork{Words: inShort(work), Unsaved: &work}
	}
}

func (w *runWork) cameHome(fetched *fetch.Fetched, left backend.Unsaved) {
	w.Repository, w.Refs, w.Unsaved = fetched.Repository, fetched.Refs, nil
	if left.Any() {
		w.Unsaved = &left
	}
}

// cell is what there is of work, and where.
func (r *runResult) cell() string {
	switch {
	case r.begun.IsZero():
		return "not started"
	case !r.looked:
		return "see " + r.Handle
	}
	text := "none"
	if r.Work.Words != "" {
		text = r.Work.Words
	}
	if r.Work.Repository != "" {
		text += " in refs/bottle/" + r.Name + "/"
	}
	if r.Handle != "" {
		text += ", kept as " + r.Handle
	}
	return text
}

// report prints how it went, and is the exit code as an error.
func (f *fanOut) report(ctx context.Context) error {
	if err := f.print(); err != nil {
		return err
	}
	var kept []string
	code := 0
	for _, result := range f.results {
		if result.Handle != "" {
			kept = append(kept, result.Handle)
		}
		switch {
		case result.begun.IsZero():
			code = exitOurs
		case !result.succeeded() && code == 0:
			code = exitError1
		}
	}
	if len(kept) > 0 && (!f.app.quiet || ctx.Err() != nil) {
		_, _ = fmt.Fprintf(f.app.err, "claude-bottle: kept: %s\n  logs, diff, fetch and resume take these names; rm removes one, rm --discard with its work\n", strings.Join(kept, ", "))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// print writes the table, or all of it.
func (f *fanOut) print() error {
	if done, err := f.options.output.structured(f.app.out, f.results); done || err != nil {
		return err
	}
	header := []string{"NAME", "EXIT", "TIME", "WORK"}
	each := slices.ContainsFunc(f.results, func(r *runResult) bool { return r.Task != f.results[0].Task })
	if each {
		header = append(header, "TASK")
	}
	rows := make([][]string, len(f.results))
	for i, result := range f.results {
		took := ""
		if result.Outcome != nil {
			took = result.took().String()
		}
		rows[i] = []string{result.Name, result.exit(), took, result.cell()}
		if each {
			rows[i] = append(rows[i], clipped(result.Task))
		}
	}
	return table(f.app.out, header, rows)
}

// clipped is the beginning of a text.
func clipped(text string) string {
	if runes := []rune(text); len(runes) > maxShown {
		return string(runes[:maxShown]) + "..."
	}
	return text
}

// summary stands between the plan and the question.
func (f *fanOut) summary() string {
	var b strings.Builder
	row := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "  %-11s %s\n", key, fmt.Sprintf(format, args...))
	}
	n, at := len(f.results), min(f.options.parallel, len(f.results))
	names := f.results[0].Name
	if n > 1 {
		names += " to " + f.results[n-1].Name
	}
	row("bottles", "%d: %s; %d at a time, with up to %s of memory together%s", n, names, at, backend.Bytes(f.first.Limits.MemoryBytes*int64(at)), availableMemory())
	for i, result := range f.results {
		switch {
		case i > 0 && f.options.each == "":
		case i == mostTasks:
			row("task", "and %d more", n-i)
		case i < mostTasks:
			row("task", "%s", backend.Printable(result.Task))
		}
	}
	if f.home() != "" {
		row("home", "work comes to %s as refs/bottle/NAME/...", backend.Printable(f.home()))
	} else {
		row("home", "work stays in the kept bottles: there is no repository to fetch it into")
	}
	return b.String()
}

// availableMemory is what the host has of it, when that is known.
func availableMemory() string {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kilobytes); err == nil {
			return "; this host has " + backend.Bytes(kilobytes*1024) + " left"
		}
	}
	return ""
}

func (f *fanOut) question() string {
	if n := len(f.results); n > 1 {
		return fmt.Sprintf("launch these %d agents? [y/N] ", n)
	}
	return "launch this agent? [y/N] "
}

// tell says how it goes with a bottle.
func (f *fanOut) tell(result *runResult, format string, args ...any) {
	if f.app.quiet {
		return
	}
	f.telling.Lock()
	defer f.telling.Unlock()
	_, _ = fmt.Fprintf(f.app.err, "%s: %s\n", result.Name, backend.Printable(fmt.Sprintf(format, args...)))
}

// complain says what went wrong with a bottle, also to who wants no progress.
func (f *fanOut) complain(result *runResult, what string) {
	f.telling.Lock()
	defer f.telling.Unlock()
	_, _ = fmt.Fprintf(f.app.err, "claude-bottle: %s: %s: %s\n", result.Name, what, printableLines(result.Error))
}

// quote shows the end of what claude has said, line by line.
func (f *fanOut) quote(result *runResult) {
	if f.app.quiet {
		return
	}
	text := result.Said
	if !result.succeeded() {
		text += result.SaidAside
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if text == "" {
		lines = nil
	}
	var b bytes.Buffer
	plain := terminal.NewPlain(&b)
	if more := len(lines) - maxQuoted; more > 0 {
		fmt.Fprintf(&b, "%s | ... %d lines before: see logs, or -o json\n", result.Name, more)
		lines = lines[more:]
	}
	for _, line := range lines {
		_, _ = fmt.Fprintf(plain, "%s | %s\n", result.Name, line)
	}
	_ = plain.Flush()
	f.telling.Lock()
	defer f.telling.Unlock()
	_, _ = f.app.err.Write(b.Bytes())
}

// tail holds the end of a text.
type tail struct {
	most int
	text []byte
}

func (t *tail) add(data []byte) {
	t.text = append(t.text, data...)
	if over := len(t.text) - t.most; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
}
