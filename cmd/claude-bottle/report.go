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

// printReport says what the bottle's end of the network has to say, one line each.
func (a *application) printReport(ctx context.Context, bottle backend.Bottle, plan *backend.Plan) {
	reporter, ok := bottle.(backend.Reporter)
	if !ok {
		return
	}
	report, err := reporter.Report(ctx)
	if err != nil {
		log.G(ctx).WithError(err).Debug("ask for report") // the bottle may be gone
		return
	}
	if report.Evicted != "" {
		_, _ = fmt.Fprintf(a.err, "claude-bottle: ended: %s\n", backend.Printable(report.Evicted))
	}
	for _, leak := range report.Leaks {
		what := "was sent"
		if leak.Blocked {
			what = "was refused"
		}
		_, _ = fmt.Fprintf(a.err, "claude-bottle: a request to http://%s.bottle that holds a secret (%s) %s: see egress.jsonl\n",
			backend.Printable(leak.Route), backend.Printable(leak.What), what)
	}
	for _, refused := range report.Refused {
		who := "the upstream of route " + refused.Route
		if refused.Route == "anthropic" {
			who = "the API"
		}
		_, _ = fmt.Fprintf(a.err, "claude-bottle: %s refused the credential from %s (%d): renew it, then start again\n",
			backend.Printable(who), backend.Printable(refused.Source), refused.Status)
	}
	if line := hintLine(report.Denials, plan.Files); line != "" && !a.quiet {
		_, _ = fmt.Fprintln(a.err, line)
	}
}

// hintLine says in one line what the bottle was denied, and where it is allowed;
// it is "" when nothing was.
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
