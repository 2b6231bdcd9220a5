package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows transfers as a bar on a terminal and as plain lines elsewhere,
// and remembers how long each step took.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	tty   bool
	quiet bool
	began time.Time
	bar   *progressbar.ProgressBar
	name  string
	steps []timing
}

// timing is one step, in seconds since the command began.
type timing struct {
	Step  string  `json:"step"`
	Start float64 `json:"start"`
	Took  float64 `json:"took"`
	Error string  `json:"error,omitempty"`
}

func newProgress(out *os.File, quiet bool, began time.Time) *progress {
	return &progress{out: out, tty: term.IsTerminal(int(out.Fd())), quiet: quiet, began: began}
}

// Step implements backend.Progress.
func (p *progress) Step(name string) func(error) {
	start := time.Now()
	return func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		done := timing{Step: name, Start: start.Sub(p.began).Seconds(), Took: time.Since(start).Seconds()}
		if err != nil {
			done.Error = err.Error()
		}
		p.steps = append(p.steps, done)
	}
}

// Bytes implements backend.Progress.
func (p *progress) Bytes(name string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.quiet:
	case p.tty:
		p.draw(name, done, total)
	case name != p.name:
		_, _ = fmt.Fprintf(p.out, "%s\n", backend.Printable(name))
		p.name = name
	}
}

func (p *progress) draw(name string, done, total int64) {
	if total <= 0 {
		total = -1 // not known yet; a bar of no length is never drawn
	}
	// What is full may yet grow, as more of an image becomes known; a full bar
	// is never drawn again.
	if p.bar == nil || name != p.name || p.bar.IsFinished() {
		p.clear()
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(p.out), progressbar.OptionShowBytes(true), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetDescription(backend.Printable(name)),
			progressbar.OptionSetSpinnerChangeInterval(0)) // else a goroutine draws on, over what comes next
		p.name = name
	}
	if total > 0 {
		p.bar.ChangeMax64(total)
	}
	_ = p.bar.Set64(done) // a bar that can't be drawn stops nothing
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}

// finish takes the bar away.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// hush takes the bar away, and no other comes.
func (p *progress) hush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.quiet = true
}

// hushed says that nothing is shown.
func (p *progress) hushed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.quiet
}

func (p *progress) printTimings(w io.Writer, output *format) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := append([]timing(nil), p.steps...)
	all = append(all, timing{Step: "total", Took: time.Since(p.began).Seconds()})
	if output.value == "json" {
		data, err := json.Marshal(map[string]any{"timings": all})
		if err != nil {
			return fmt.Errorf("encode timings: %w", err)
		}
		_, err = fmt.Fprintf(w, "%s\n", data)
		return err
	}
	for _, t := range all {
		if _, err := fmt.Fprintf(w, "%8.1f ms at %8.1f ms  %s\n", 1000*t.Took, 1000*t.Start, t.Step); err != nil {
			return err
		}
	}
	return nil
}
