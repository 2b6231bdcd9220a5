package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
)

// conversations is where claude keeps those that were held in the workspace, below
// its own directory.
const conversations = "projects/-workspace"

// resumeSpec makes of a wish to go on with a kept bottle one that can be planned
// like any other: nothing of the working directory goes in again, and claude goes on
// with its conversation. Of a wish for a new bottle it makes nothing else.
func resumeSpec(spec backend.Spec) (backend.Spec, *backend.PlanResume, error) {
	kept := spec.Resume
	if kept == nil {
		return spec, nil, nil
	}
	if kept.Running && !spec.Restart {
		return spec, nil, fmt.Errorf("bottle %s runs: there is nothing to resume before it has ended; one that is kept already is called NAME@SUFFIX in `claude-bottle list`, and goes on beside it with --name: %w", kept.ID.Name, errdefs.ErrConflict)
	}
	resumed := &backend.PlanResume{ID: kept.ID, Handle: kept.Handle(), Known: kept.Plan != nil, Changes: []backend.PlanChange{}}
	spec.CopyCwd, spec.Discard = false, false
	last := conversation(kept)
	resumed.Continue = last != nil
	if !slices.ContainsFunc(spec.ClaudeArgs, choosesConversation) {
		spec.ClaudeArgs = slices.Concat(last, spec.ClaudeArgs)
	}
	return spec, resumed, nil
}

// choosesConversation says that an argument of claude's says itself which
// conversation is meant.
func choosesConversation(arg string) bool {
	return slices.Contains([]string{"-c", backend.ContinueFlag, "-r", backend.ResumeFlag, "--session-id"}, arg) ||
		strings.HasPrefix(arg, "--resume=") || strings.HasPrefix(arg, "--session-id=")
}

// sessionName is how claude names the file of a conversation: by its id.
var sessionName = pattern.Lazy(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.jsonl$`)

// conversation is how claude is told to go on with the last one that it has kept; nil
// when there is none. It is named where that can be done: on a terminal --continue
// passes over what was said without one. What can't be read is none.
func conversation(kept *backend.Work) []string {
	root, err := os.OpenRoot(kept.Place(backend.PlaceClaude))
	if err != nil {
		return nil
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), conversations)
	if err != nil {
		return nil
	}
	var (
		arguments []string
		newest    time.Time
	)
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || path.Ext(entry.Name()) != ".jsonl" {
			continue
		}
		switch named := sessionName().MatchString(entry.Name()); {
		case named && info.ModTime().After(newest):
			arguments, newest = []string{backend.ResumeFlag, strings.TrimSuffix(entry.Name(), ".jsonl")}, info.ModTime()
		case arguments == nil:
			arguments = []string{backend.ContinueFlag}
		}
	}
	return arguments
}

// goOn adds to a plan what it goes on with, and how it differs from the plan that the
// bottle was launched with.
func goOn(plan *backend.Plan, kept *backend.Work, resumed *backend.PlanResume) {
	plan.Resume = resumed
	if kept.Plan == nil {
		return
	}
	plan.Workspace, plan.From = kept.Plan.Workspace, kept.Plan.From
	plan.Mounts = mounts(plan)
	resumed.Changes = backend.PlanChanges(kept.Plan, plan)
}

// settle ends a launch. A bottle that was kept has the plan that it runs on now, and
// is one like any other again.
func (l *launch) settle() error {
	if !l.adopted {
		return nil
	}
	if err := errors.Join(writePlan(l.places, l.plan), writeDeclaration(l.places, l.plan.Declaration)); err != nil {
		return err
	}
	for _, mark := range []string{l.kept(), l.outcome(), l.resuming()} {
		if err := os.Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("settle bottle: %w", err)
		}
	}
	return nil
}
