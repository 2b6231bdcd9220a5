package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/change"
)

// review is what -o json prints.
type review struct {
	Into      string          `json:"into"`
	Steps     []*change.Step  `json:"steps"`
	Conflicts []change.Change `json:"conflicts,omitempty"`
	Refused   []change.Change `json:"refused,omitempty"`
	Same      []string        `json:"same,omitempty"`
	Notes     []string        `json:"notes,omitempty"`
}

func reviewOf(offer *change.Offer) review {
	steps := offer.Steps
	if steps == nil {
		steps = []*change.Step{}
	}
	return review{offer.Into, steps, offer.Conflicts, offer.Refused, offer.Same, offer.Notes}
}

// printReview is what the user says yes to.
func printReview(w io.Writer, offer *change.Offer) error {
	var b strings.Builder
	for _, note := range offer.Notes {
		fmt.Fprintf(&b, "claude-bottle: %s\n", printableLines(note))
	}
	running := 0
	for _, step := range offer.Steps {
		if step.Runs != "" {
			running++
		}
	}
	fmt.Fprintf(&b, "Into %s: %s, %d of which run by themselves; %d the same already, %d refused, %d in conflict\n",
		backend.Printable(offer.Into), count(len(offer.Steps), "file"), running, len(offer.Same), len(offer.Refused), len(offer.Conflicts))
	var plain, refused, conflicts []string
	for _, step := range offer.Steps {
		if step.Runs == "" {
			plain = append(plain, fmt.Sprintf("  %-7s %s%s", step.Action, change.Quote(step.Path), sizeOf(step)))
		}
	}
	for _, each := range offer.Refused {
		refused = append(refused, fmt.Sprintf("- refused %s: %s", change.Quote(each.Path), each.Note))
	}
	for _, each := range offer.Conflicts {
		conflicts = append(conflicts, fmt.Sprintf("- conflict %s: %s", change.Quote(each.Path), each.Note))
	}
	for _, list := range [][]string{plain, refused, conflicts} {
		printFirst(&b, list)
	}
	if running > 0 {
		b.WriteString("These run by themselves:\n")
	}
	for _, step := range offer.Steps {
		if step.Runs != "" {
			fmt.Fprintf(&b, "! %-7s %s%s: %s\n", step.Action, change.Quote(step.Path), sizeOf(step), step.Runs)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printFirst prints the first lines of a list and counts the rest. What runs by
// itself is never cut, and stands at the end.
func printFirst(b *strings.Builder, list []string) {
	const shown = 200
	for _, line := range list[:min(shown, len(list))] {
		b.WriteString(line + "\n")
	}
	if rest := len(list) - shown; rest > 0 {
		fmt.Fprintf(b, "  ... and %d more: diff --name-only has all\n", rest)
	}
}

func sizeOf(step *change.Step) string {
	if step.Action == change.Remove || step.Action == change.Chmod {
		return ""
	}
	return " (" + backend.Bytes(step.Bytes) + ")"
}
