package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/schollz/progressbar/v3"
)

// partsProgress shows a transfer part by part: a bar for each on a terminal, and
// elsewhere a line when a part has come.
type partsProgress struct {
	*progress

	drawn int // lines on the terminal
	ended map[string]bool
}

func newPartsProgress(out *os.File, quiet bool) *partsProgress {
	return &partsProgress{progress: newProgress(out, quiet, time.Now()), ended: map[string]bool{}}
}

// mostBars is how many parts are drawn at a time: lines that have left the screen
// can't be drawn again.
const mostBars = 16

// Parts implements backend.PartProgress.
func (p *partsProgress) Parts(name string, parts []backend.Part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.quiet:
	case p.tty:
		p.erase()
		_, _ = io.WriteString(p.out, p.bars(name, parts)) // what can't be drawn stops nothing
	default:
		p.lines(name, parts)
	}
}

// lines says once that the transfer has begun, and once of each part that it is here.
func (p *partsProgress) lines(name string, parts []backend.Part) {
	if p.name != name {
		_, _ = fmt.Fprintf(p.out, "%s\n", backend.Printable(name))
		p.name = name
	}
	for _, part := range parts {
		if part.Ended && !p.ended[part.Name] {
			p.ended[part.Name] = true
			_, _ = fmt.Fprintf(p.out, "%s: %s\n", backend.Printable(part.Name), backend.Bytes(part.Total))
		}
	}
}

// bars are the lines for what is under way, after the count of what has come.
func (p *partsProgress) bars(name string, parts []backend.Part) string {
	var b strings.Builder
	come := 0
	var going []backend.Part
	for _, part := range parts {
		if part.Ended {
			come++
			continue
		}
		going = append(going, part)
	}
	fmt.Fprintf(&b, "%s: %d of %d layers\n", backend.Printable(name), come, len(parts))
	p.drawn = 1
	for _, part := range going[:min(mostBars, len(going))] {
		bar := progressbar.NewOptions64(max(part.Total, 1), progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(30),
			progressbar.OptionShowBytes(true), progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetDescription(backend.Printable(part.Name)), progressbar.OptionSetSpinnerChangeInterval(0))
		_ = bar.Set64(part.Done)
		fmt.Fprintf(&b, "  %s\n", strings.Trim(bar.String(), "\r\n "))
		p.drawn++
	}
	return b.String()
}

// erase takes the bars away.
func (p *partsProgress) erase() {
	if p.drawn > 0 {
		_, _ = fmt.Fprintf(p.out, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}

// Bytes implements backend.Progress.
func (p *partsProgress) Bytes(name string, done, total int64) {
	p.mu.Lock()
	p.erase()
	p.mu.Unlock()
	p.progress.Bytes(name, done, total)
}

// finish takes all bars away. It may be called again.
func (p *partsProgress) finish() {
	p.mu.Lock()
	p.erase()
	p.mu.Unlock()
	p.progress.finish()
}
