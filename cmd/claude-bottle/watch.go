package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/resources"
)

// watch shows the bottles, and each of them again when something has become of it.
func (a *application) watch(ctx context.Context, opened closingBackend, o getOptions) error {
	keeper, err := keeperOf(opened)
	if err != nil {
		return err
	}
	look, stop, err := newLookout(ctx, keeper)
	if err != nil {
		return err
	}
	defer stop()
	shown := &watched{app: a, options: o, before: map[string]string{}, last: map[string]*v1alpha1.Bottle{}}
	for {
		list, looked, err := look.last()
		if err != nil {
			return err
		}
		found, _, err := o.of(resources.Views(list))
		if err != nil {
			return err
		}
		if err := shown.show(found); err != nil {
			return err
		}
		select {
		case <-looked:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watched is what was shown by now.
type watched struct {
	app     *application
	options getOptions
	headed  bool
	before  map[string]string // by UID
	last    map[string]*v1alpha1.Bottle
}

// show prints what differs from the last time.
func (w *watched) show(bottles []*v1alpha1.Bottle) error {
	var news []*v1alpha1.Bottle
	there := map[string]bool{}
	for _, bottle := range bottles {
		id := string(bottle.UID)
		there[id] = true
		if text := state(bottle); w.before[id] != text {
			w.before[id], w.last[id] = text, bottle
			news = append(news, bottle)
		}
	}
	for id, bottle := range w.last {
		if !there[id] {
			delete(w.last, id)
			delete(w.before, id)
			news = append(news, deleted(bottle))
		}
	}
	return w.print(news)
}

// deletedWord is the status of a bottle that is gone.
const deletedWord = "Deleted"

// deleted is what is shown of one that is gone.
func deleted(bottle *v1alpha1.Bottle) *v1alpha1.Bottle {
	gone := bottle.DeepCopy()
	gone.Status.Phase, gone.Status.Conditions = deletedWord, nil
	return gone
}

// state is what of a bottle is worth a line.
func state(bottle *v1alpha1.Bottle) string {
	spec, _ := json.Marshal(bottle.Spec)
	status, _ := json.Marshal(bottle.Status)
	return fmt.Sprint(bottle.Name, bottle.Labels, string(spec), string(status))
}

// Widths of the columns of a table whose later lines are not known: the widest of what
// usually stands there.
const (
	watchNameWidth   = 30
	watchStatusWidth = 16
)

func (w *watched) print(bottles []*v1alpha1.Bottle) error {
	slices.SortStableFunc(bottles, func(a, b *v1alpha1.Bottle) int { return strings.Compare(a.Name, b.Name) })
	o := w.options
	switch o.output.value {
	case "name":
		return w.app.printNames(bottles)
	case "table", "wide":
	default:
		for _, bottle := range bottles {
			if o.output.value == "yaml" {
				if _, err := fmt.Fprintln(w.app.out, "---"); err != nil {
					return err
				}
			}
			if err := w.app.printDocument(bottle, o.output); err != nil {
				return err
			}
		}
		return nil
	}
	wide := o.output.value == "wide"
	if !w.headed && !o.noHeaders {
		w.headed = true
		if err := w.line(resources.Header(wide)); err != nil {
			return err
		}
	}
	for _, bottle := range bottles {
		if err := w.line(resources.Row(bottle, wide, time.Now())); err != nil {
			return err
		}
	}
	return nil
}

// line is one row; it stands under what came before it.
func (w *watched) line(cells []string) error {
	widths := []int{watchNameWidth, 7, watchStatusWidth, 10, 7}
	var line strings.Builder
	for i, cell := range cells {
		if cell == "" {
			cell = "-"
		}
		width := 14
		if i < len(widths) {
			width = widths[i]
		}
		fmt.Fprintf(&line, "%-*s  ", width, backend.Printable(cell))
	}
	_, err := fmt.Fprintln(w.app.out, strings.TrimRight(line.String(), " "))
	return err
}
