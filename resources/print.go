package resources

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Header is the first line of a table of Bottles.
func Header(wide bool) []string {
	header := []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE"}
	if wide {
		header = append(header, "AGENT", "RUNTIME", "EXIT", "UNSAVED", "HANDLE", "IMAGE")
	}
	return header
}

// Row is a Bottle in such a table at that time.
func Row(bottle *v1alpha1.Bottle, wide bool, now time.Time) []string {
	status := bottle.Status
	row := []string{bottle.Name, readyWord(bottle), Word(bottle), strconv.Itoa(int(status.Restarts)), Age(bottle.CreationTimestamp.Time, now)}
	if !wide {
		return row
	}
	exit, unsaved := "", ""
	if status.ExitCode != nil {
		exit = strconv.Itoa(int(*status.ExitCode))
	}
	if saved := Condition(bottle, v1alpha1.ConditionWorkSaved); saved != nil {
		unsaved = cmp.Or(saved.Message, map[metav1.ConditionStatus]string{metav1.ConditionTrue: "no", metav1.ConditionUnknown: "?"}[saved.Status])
	}
	return append(row, bottle.Spec.Agent, status.Runtime, exit, unsaved, status.Handle, status.Image)
}

func readyWord(bottle *v1alpha1.Bottle) string {
	if ready := Condition(bottle, v1alpha1.ConditionReady); ready != nil {
		return string(ready.Status)
	}
	return string(metav1.ConditionUnknown)
}

// Word is how it stands with a Bottle, in one word: what it waits for, or why it has finished,
// else its phase.
func Word(bottle *v1alpha1.Bottle) string {
	if missing := Condition(bottle, v1alpha1.ConditionCredentialsMissing); missing != nil && missing.Status == metav1.ConditionTrue {
		return missing.Type
	}
	if finished := Condition(bottle, v1alpha1.ConditionFinished); finished != nil && finished.Status == metav1.ConditionTrue {
		return finished.Reason
	}
	return bottle.Status.Phase
}

// Age is how long ago that was, as kubectl shows it.
func Age(then, now time.Time) string {
	if then.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(then))
}

// Describe prints all that is known of a Bottle, for people to read.
func Describe(w io.Writer, bottle *v1alpha1.Bottle, events []backend.Event, now time.Time) error {
	d := &description{}
	d.row("Name", bottle.Name)
	d.mapped("Labels", bottle.Labels)
	d.mapped("Annotations", bottle.Annotations)
	d.row("Created", stamp(bottle.CreationTimestamp.Time))
	spec, status := bottle.Spec, bottle.Status
	d.row("Agent", spec.Agent)
	d.row("Bottle", spec.Bottle)
	d.row("Image", cmp.Or(status.Image, spec.Image))
	d.row("Runtime", cmp.Or(status.Runtime, spec.RuntimeClassName))
	d.row("Prompt", spec.Prompt)
	d.row("Args", strings.Join(spec.Args, " "))
	d.row("Workspace", spec.Workspace.Path)
	d.row("Restart", string(spec.RestartPolicy))
	d.seconds("Deadline", spec.ActiveDeadlineSeconds)
	d.seconds("Idle timeout", spec.IdleTimeoutSeconds)
	d.seconds("TTL", spec.TTLSecondsAfterFinished)
	for _, name := range slices.Sorted(maps.Keys(spec.Resources.Limits)) {
		quantity := spec.Resources.Limits[name]
		d.row("Limit "+string(name), quantity.String())
	}
	d.row("Phase", status.Phase)
	if status.Handle != bottle.Name {
		d.row("Handle", status.Handle)
	}
	if status.ExitCode != nil {
		d.row("Exit code", strconv.Itoa(int(*status.ExitCode)))
	}
	d.row("Restarts", strconv.Itoa(int(status.Restarts)))
	if status.StartTime != nil {
		d.row("Started", stamp(status.StartTime.Time))
	}
	if status.FinishTime != nil {
		d.row("Finished", stamp(status.FinishTime.Time))
	}
	if status.Egress != nil {
		d.row("Egress", fmt.Sprintf("%d connections allowed, %d denied", status.Egress.Allowed, status.Egress.Denied))
	}
	d.row("Message", status.Message)
	d.conditions(status.Conditions)
	d.events(events, now)
	_, err := io.WriteString(w, d.text.String())
	return err
}

// description is the text as it grows.
type description struct{ text strings.Builder }

func (d *description) line(cells ...string) {
	var line strings.Builder
	for _, cell := range cells {
		line.WriteString(cell)
	}
	d.text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

// row is left out when it would say nothing.
func (d *description) row(key, value string) {
	if key != "" {
		key += ":"
	}
	if value != "" {
		d.line(fmt.Sprintf("%-14s ", key), backend.Printable(value))
	}
}

func (d *description) mapped(key string, values map[string]string) {
	if len(values) == 0 {
		d.row(key, "<none>")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		d.row(key, name+"="+values[name])
		key = ""
	}
}

func (d *description) seconds(key string, value *int64) {
	if value != nil {
		d.row(key, (time.Duration(*value) * time.Second).String())
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (d *description) conditions(list []metav1.Condition) {
	d.line("Conditions:")
	width := 9
	for _, condition := range list {
		width = max(width, len(condition.Type))
	}
	row := func(kind, status, reason, message string) {
		d.line(fmt.Sprintf("  %-*s  %-7s  %-16s  ", width, kind, status, reason), message)
	}
	row("Type", "Status", "Reason", "Message")
	for _, condition := range list {
		row(condition.Type, string(condition.Status), backend.Printable(condition.Reason), backend.Printable(condition.Message))
	}
}

func (d *description) events(list []backend.Event, now time.Time) {
	if len(list) == 0 {
		d.line("Events:        <none>")
		return
	}
	d.line("Events:")
	width := 16
	for _, event := range list {
		width = max(width, len(backend.Printable(event.Reason)))
	}
	row := func(kind, reason, age, message string) {
		d.line(fmt.Sprintf("  %-7s  %-*s  %-4s  ", kind, width, reason, age), message)
	}
	row("Type", "Reason", "Age", "Message")
	for _, event := range list {
		row(backend.Printable(string(event.Type)), backend.Printable(event.Reason), Age(event.Time, now), backend.Printable(event.Message))
	}
}
