package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
)

// fileFlags name files with resources.
type fileFlags struct {
	paths     []string
	recursive bool
}

func (f *fileFlags) add(command *cobra.Command, what string) {
	command.Flags().StringArrayVarP(&f.paths, "filename", "f", nil, "`file` or directory with Bottles "+what+", - for standard input")
	command.Flags().BoolVarP(&f.recursive, "recursive", "R", false, "with -f: the directories below a directory, too")
	_ = command.RegisterFlagCompletionFunc("filename", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
	})
}

func (f *fileFlags) given() bool { return len(f.paths) > 0 }

// read reads what the flags name.
func (f *fileFlags) read(a *application) ([]*v1alpha1.Bottle, error) {
	options, err := a.manifestOptions()
	if err != nil {
		return nil, err
	}
	return resources.Read(resources.Files{Paths: f.paths, Recursive: f.recursive, Stdin: a.in, Home: options.Home, Cwd: options.Cwd})
}

// selection says which of the bottles that there are are meant.
type selection struct {
	names    []string
	selector string
}

func (s *selection) add(command *cobra.Command) {
	command.Flags().StringVarP(&s.selector, "selector", "l", "", "`labels` of the bottles: key=value, key!=value, key in (a,b), key, !key, with commas between")
}

// check refuses what can't be meant.
func (s *selection) check() (labels.Selector, error) {
	if s.selector == "" {
		return labels.Everything(), nil
	}
	if len(s.names) > 0 {
		return nil, usageError{fmt.Errorf("names and -l exclude each other")}
	}
	selector, err := labels.Parse(s.selector)
	if err != nil {
		return nil, usageError{fmt.Errorf("--selector: %w", err)}
	}
	return selector, nil
}

// of takes the bottles that are meant. A name that isn't there is in missing.
func (s *selection) of(bottles []*v1alpha1.Bottle) (found []*v1alpha1.Bottle, missing []string, err error) {
	selector, err := s.check()
	if err != nil {
		return nil, nil, err
	}
	if len(s.names) == 0 {
		for _, bottle := range bottles {
			if selector.Matches(labels.Set(bottle.Labels)) {
				found = append(found, bottle)
			}
		}
		return found, nil, nil
	}
	for _, word := range s.names {
		name := plainName(word)
		at := slices.IndexFunc(bottles, func(bottle *v1alpha1.Bottle) bool { return bottle.Name == name || bottle.Status.Handle == name })
		switch {
		case at < 0:
			missing = append(missing, name)
		case !slices.Contains(found, bottles[at]):
			found = append(found, bottles[at])
		}
	}
	return found, missing, nil
}

// plainName is a name without what get -o name writes before it.
func plainName(word string) string {
	for _, kind := range []string{v1alpha1.Resource, "bottles." + v1alpha1.Group, "bottles", "bottle"} {
		if name, ok := strings.CutPrefix(word, kind+"/"); ok {
			return name
		}
	}
	return word
}

func notFound(name string) error {
	return fmt.Errorf("there is no bottle %s: `claude-bottle get` shows them: %w", backend.Printable(name), errdefs.ErrNotFound)
}

// countEgress adds what a bottle has reached, as far as it is written down.
func countEgress(ctx context.Context, bottle *v1alpha1.Bottle, status backend.Status) {
	if status.Workspace == "" {
		return
	}
	counted := v1alpha1.Egress{}
	err := supervise.EgressLog(ctx, filepath.Dir(status.Workspace), nil, func(event egress.Event) error {
		switch {
		case event.Kind != egress.KindDial:
		case event.Allowed:
			counted.Allowed++
		default:
			counted.Denied++
		}
		return nil
	})
	if err == nil {
		bottle.Status.Egress = &counted
	}
}

// statusByID finds what a resource was made of.
func statusByID(list []backend.Status, id string) backend.Status {
	at := slices.IndexFunc(list, func(status backend.Status) bool { return status.ID == id })
	if at < 0 {
		return backend.Status{}
	}
	return list[at]
}

// seen is the bottles that there are, as resources. In full, what each holds and has
// reached is looked at as far as there is time.
func seen(ctx context.Context, opened backend.Backend, which selection, full bool) (found []*v1alpha1.Bottle, missing []string, err error) {
	look := opened.ListActive
	if full {
		look = func(ctx context.Context) ([]backend.Status, error) {
			return examined(ctx, opened, func(phase backend.Phase) bool { return keptBottle(phase) || runningBottle(phase) })
		}
	}
	list, err := look(ctx)
	if err != nil {
		return nil, nil, err
	}
	found, missing, err = which.of(resources.Views(list))
	if err != nil || !full {
		return found, missing, err
	}
	for _, bottle := range found {
		countEgress(ctx, bottle, statusByID(list, string(bottle.UID)))
	}
	return found, missing, nil
}

// completeResources proposes the names of all bottles.
func (a *application) completeResources() completion {
	return a.completeNames(math.MaxInt, everyBottle)
}

// resourceName is what a resource is called in output.
func resourceName(bottle *v1alpha1.Bottle) string {
	return v1alpha1.Resource + "/" + cmp.Or(bottle.Name, string(bottle.UID))
}
