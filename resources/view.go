package resources

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Phases of a Bottle beside those of the backend, once its claude has ended.
const (
	phaseSucceeded = "Succeeded"
	phaseFailed    = "Failed"
	phasePending   = "Pending" // its user is to bring its secrets again
)

// Views are the bottles that there are as resources, sorted by name. A name stands for the
// bottle that has it, else for the last detached one that had it; what else is kept
// goes by its handle. Helper bottles are left out.
func Views(list []backend.Status) []*v1alpha1.Bottle {
	holders := Holders(list)
	var bottles []*v1alpha1.Bottle
	for _, status := range list {
		if status.Helps != "" {
			continue
		}
		bottle := view(status)
		if holder, ok := holders[nameOf(status)]; ok && holder.ID == status.ID {
			bottle.Name = nameOf(status)
		}
		bottles = append(bottles, bottle)
	}
	slices.SortStableFunc(bottles, func(a, b *v1alpha1.Bottle) int { return cmp.Compare(a.Name, b.Name) })
	return bottles
}

// Holders are the bottles that their names stand for, by name.
func Holders(list []backend.Status) map[string]backend.Status {
	holders := map[string]backend.Status{}
	for _, status := range list {
		name := nameOf(status)
		if before, ok := holders[name]; status.Helps == "" && holds(status) && (!ok || stronger(status, before)) {
			holders[name] = status
		}
	}
	return holders
}

// nameOf is the name that a bottle has or had.
func nameOf(status backend.Status) string {
	name, _, _ := strings.Cut(status.Name, "@")
	return name
}

// holds says that a bottle may be what its name stands for.
func holds(status backend.Status) bool {
	return status.Phase != backend.PhaseKept || status.Outcome != nil
}

// stronger says which of two bottles of a name it stands for.
func stronger(a, b backend.Status) bool {
	switch {
	case a.Phase != backend.PhaseKept || b.Phase != backend.PhaseKept:
		return a.Phase != backend.PhaseKept
	default:
		return a.Outcome.Finished.After(b.Outcome.Finished)
	}
}

// view is one bottle by its handle.
func view(status backend.Status) *v1alpha1.Bottle {
	bottle := Applied(status.Declaration)
	if bottle == nil {
		bottle = undeclared(status)
	}
	bottle.Name = status.Name
	bottle.UID = types.UID(status.ID)
	bottle.CreationTimestamp = metav1.NewTime(status.Created.UTC())
	if status.Outcome != nil { // what is created then is the directory that is kept
		bottle.CreationTimestamp = metav1.NewTime(status.Outcome.Started.UTC())
	}
	if status.Declaration != nil {
		bottle.Generation = status.Declaration.Generation
	}
	bottle.Status = statusOf(status)
	return bottle
}

// undeclared is what the spec of a bottle would be that another verb has started.
func undeclared(status backend.Status) *v1alpha1.Bottle {
	bottle := &v1alpha1.Bottle{Spec: v1alpha1.BottleSpec{
		Agent: status.Agent, Bottle: status.Bottle, RuntimeClassName: status.Runtime,
	}}
	if image, _, _ := strings.Cut(status.Image, "@"); image != "" {
		bottle.Spec.Image = image
	}
	if declaration := status.Declaration; declaration != nil {
		life := declaration.Life
		bottle.Labels = declaration.Labels
		bottle.Spec.RestartPolicy = v1alpha1.RestartPolicy(life.Restart)
		bottle.Spec.TTLSecondsAfterFinished = life.TTLSecondsAfterFinished
		if life.ActiveDeadlineSeconds > 0 {
			bottle.Spec.ActiveDeadlineSeconds = &life.ActiveDeadlineSeconds
		}
		if life.IdleTimeoutSeconds > 0 {
			bottle.Spec.IdleTimeoutSeconds = &life.IdleTimeoutSeconds
		}
	}
	v1alpha1.Default(bottle)
	return bottle
}

func statusOf(status backend.Status) v1alpha1.BottleStatus {
	seen := v1alpha1.BottleStatus{
		Phase: phaseOf(status), Handle: status.Name, Runtime: status.Runtime, Image: status.Image,
		Restarts: int32(status.Restarts), Message: status.Message, //nolint:gosec // so often nothing is started
	}
	if status.Phase == backend.PhaseRunning {
		seen.StartTime = timeOf(status.Created)
	}
	if outcome := status.Outcome; outcome != nil {
		code := int32(outcome.ExitCode)                               //nolint:gosec // it is a byte
		seen.ExitCode, seen.Restarts = &code, int32(outcome.Restarts) //nolint:gosec // so often nothing is started
		seen.StartTime, seen.FinishTime = timeOf(outcome.Started), timeOf(outcome.Finished)
	}
	if unsaved := status.Unsaved; unsaved != nil && unsaved.Any() {
		seen.UnsavedWork = &v1alpha1.UnsavedWork{
			Files: int64(unsaved.Changed), Commits: int64(unsaved.Commits), Refs: unsaved.Refs, Summary: unsaved.Words(),
		}
	}
	seen.Conditions = conditions(status)
	return seen
}

func timeOf(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	seen := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &seen
}

func phaseOf(status backend.Status) string {
	switch {
	case status.Outcome == nil:
		return string(status.Phase)
	case status.Outcome.WaitsForCredentials():
		return phasePending
	case status.Outcome.ExitCode == 0 && status.Outcome.Reason == backend.ReasonCompleted:
		return phaseSucceeded
	default:
		return phaseFailed
	}
}

// conditions are what scripts wait for. Each has a reason in one word.
func conditions(status backend.Status) []metav1.Condition {
	since := metav1.NewTime(status.Created.UTC().Truncate(time.Second))
	if status.Outcome != nil {
		since = metav1.NewTime(status.Outcome.Finished.UTC().Truncate(time.Second))
	}
	ready := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: string(status.Phase), Message: status.Message}
	finished := metav1.Condition{Type: v1alpha1.ConditionFinished, Status: metav1.ConditionFalse, Reason: string(status.Phase)}
	switch {
	case status.Outcome != nil:
		ready.Reason, ready.Message = status.Outcome.Reason, status.Outcome.Message
		finished.Status, finished.Reason, finished.Message = metav1.ConditionTrue, status.Outcome.Reason, status.Outcome.Message
	case status.Phase == backend.PhaseKept:
		finished.Status, finished.Message = metav1.ConditionTrue, "only its work is left"
	case status.Phase == backend.PhaseRunning:
		ready.Status = metav1.ConditionTrue
	}
	saved := metav1.Condition{Type: v1alpha1.ConditionWorkSaved, Status: metav1.ConditionUnknown, Reason: "NotExamined"}
	switch unsaved := status.Unsaved; {
	case unsaved == nil:
	case unsaved.Any():
		saved.Status, saved.Reason, saved.Message = metav1.ConditionFalse, "UnsavedWork", unsaved.Words()
	default:
		saved.Status, saved.Reason = metav1.ConditionTrue, "NothingUnsaved"
	}
	list := []metav1.Condition{ready, finished, saved}
	if status.Outcome.WaitsForCredentials() {
		words := status.Outcome.MissingWords(status.Name)
		list[0].Reason, list[0].Message = backend.CredentialsMissing, words
		list = append(list, metav1.Condition{Type: v1alpha1.ConditionCredentialsMissing, Status: metav1.ConditionTrue, Reason: status.Outcome.Reason, Message: words})
	}
	for i := range list {
		list[i].LastTransitionTime = since
		if status.Declaration != nil {
			list[i].ObservedGeneration = status.Declaration.Generation
		}
	}
	return list
}

// Condition is the one of that type, or nil.
func Condition(bottle *v1alpha1.Bottle, of string) *metav1.Condition {
	for i := range bottle.Status.Conditions {
		if bottle.Status.Conditions[i].Type == of {
			return &bottle.Status.Conditions[i]
		}
	}
	return nil
}
