package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/log"
)

// Bounds of the hint.
const (
	hintHosts  = 5
	hintLetter = 64 // of one name
)

// hint says in one line what the bottle was denied, and where it is allowed.
func (a *application) hint(ctx context.Context, bottle backend.Bottle, plan *backend.Plan) {
	denied, ok := bottle.(backend.Denied)
	if !ok || a.quiet {
		return
	}
	denials, err := denied.Denials(ctx)
	if err != nil {
		log.G(ctx).WithError(err).Debug("no hint")
		return
	}
	if line := hintLine(denials, plan.Files); line != "" {
		_, _ = fmt.Fprintln(a.err, line)
	}
}

// hintLine is "" when nothing was denied.
func hintLine(denials backend.Denials, files []backend.ManifestFile) string {
	if len(denials.Hosts) == 0 {
		return ""
	}
	var words []string
	for _, denial := range denials.Hosts[:min(hintHosts, len(denials.Hosts))] {
		word := denial.Host
		if len(word) > hintLetter {
			word = word[:hintLetter] + "..."
		}
		word = backend.Printable(word)
		if denial.Port != 0 {
			word = fmt.Sprintf("%s:%d", word, denial.Port)
		}
		if denial.Count > 1 {
			word = fmt.Sprintf("%s (%d)", word, denial.Count)
		}
		words = append(words, word)
	}
	if more := len(denials.Hosts) - len(words); more > 0 || denials.More > 0 {
		words = append(words, fmt.Sprintf("%d more", more+denials.More))
	}
	where := "the bottle file"
	for _, file := range files {
		if file.Kind == string(manifest.KindBottle) {
			where = backend.Printable(file.Path)
			break
		}
	}
	return fmt.Sprintf("claude-bottle: denied: %s; to allow it, add it to egress.allow in %s", strings.Join(words, ", "), where)
}
