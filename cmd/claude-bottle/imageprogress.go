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

	drawn int    // lines on the terminal
	shown string // what they say
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
		text, lines := p.bars(name, parts)
		if text == p.shown {
			return
		}
		p.erase()
		_, _ = io.WriteString(p.out, text) // what can't be drawn stops nothing
		p.shown, p.drawn = text, lines
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
func (*partsProgress) bars(name string, parts []backend.Part) (text string, lines int) {
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
	lines = 1
	for _, part := range going[:min(mostBars, len(going))] {
		bar := progressbar.NewOptions64(max(part.Total, 1), progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(30),
			progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetDescription(backend.Printable(part.Name)), progressbar.OptionSetSpinnerChangeInterval(0))
		_ = bar.Set64(max(part.Done, 1)) // an empty bar is not drawn
		fmt.Fprintf(&b, "  %s %s of %s\n", strings.Trim(bar.String(), "\r\n "), backend.Bytes(part.Done), backend.Bytes(part.Total))
		lines++
	}
	return b.String(), lines
}

// erase takes the bars away.
func (p *partsProgress) erase() {
	if p.drawn > 0 {
		_, _ = fmt.Fprintf(p.out, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn, p.shown = 0, ""
	}
}

// Bytes implements backend.Progress.
func (p *partsProgress) Bytes(name string, done, total int64) {
	p.mu.Lock()
	p.erase()
	p.mu.Unlock()
	p.progress.Bytes(name, done, total)
}

// finish takes all bars away, and no other comes: who reads the stream may not know
// yet that it is over. It may be called again.
func (p *partsProgress) finish() {
	p.mu.Lock()
	p.erase()
	p.mu.Unlock()
	p.hush()
}
