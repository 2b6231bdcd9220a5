package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/jsonpath"
)

// getOptions are the flags of get.
type getOptions struct {
	selection

	watch     bool
	noHeaders bool
	output    *resourceFormat
}

func (a *application) getCommand() *cobra.Command {
	o := getOptions{output: &resourceFormat{format: format{allowed: []string{"table", "wide", "json", "yaml", "name"}, value: "table"}}}
	command := &cobra.Command{
		Use:   "get [NAME...] [flags]",
		Short: "Show bottles as resources, as kubectl does",
		Long: `Show bottles as resources, those that were declared by apply -f and those that were
started by another verb. A name stands for the bottle that has it, or for the last
detached one that had it; older ones that are kept go by NAME@SUFFIX.

What -o yaml or json prints can be given to apply -f. With -o wide, yaml and json what is
unsaved in the bottles, and what each has reached, is looked at, too, but not with -w.`,
		Example: `  claude-bottle get
  claude-bottle get tests -o yaml
  claude-bottle get -l team=web --watch
  claude-bottle get -o jsonpath='{range .items[*]}{.metadata.name} {.status.exitCode}{"\n"}{end}'
  claude-bottle get -l team=web -o name | xargs claude-bottle delete`,
		ValidArgsFunction: a.completeResources(),
	}
	o.add(command)
	flags := command.Flags()
	flags.BoolVarP(&o.watch, "watch", "w", false, "go on, and show each bottle again when something has become of it")
	flags.BoolVar(&o.noHeaders, "no-headers", false, "leave out the first line of a table")
	flags.VarP(o.output, "output", "o", "output format: table, wide, json, yaml, name, jsonpath=TEMPLATE")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(append(slices.Clone(o.output.allowed), "jsonpath="), cobra.ShellCompDirectiveNoFileComp))
	command.RunE = func(command *cobra.Command, args []string) error {
		o.names = args
		if _, err := o.check(); err != nil {
			return err
		}
		return a.interruptible(command, func(ctx context.Context) error { return a.get(ctx, o) })
	}
	return command
}

// resourceFormat is format with jsonpath=TEMPLATE beside what is allowed.
type resourceFormat struct {
	format

	path *jsonpath.JSONPath
}

// Set implements pflag.Value.
func (f *resourceFormat) Set(value string) error {
	template, ok := strings.CutPrefix(value, "jsonpath=")
	if !ok {
		return f.format.Set(value)
	}
	f.value, f.path = "jsonpath", jsonpath.New("output").AllowMissingKeys(true)
	return f.path.Parse(template)
}

// full says that all is shown that is known of a bottle.
func (f *resourceFormat) full() bool { return f.value != "table" && f.value != "name" }

func (a *application) get(ctx context.Context, o getOptions) error {
	opened, err := a.openBackend(ctx, backend.NoProgress{})
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	if o.watch {
		return a.watch(ctx, opened, o)
	}
	found, missing, err := seen(ctx, opened, o.selection, o.output.full())
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range missing {
		failed = append(failed, notFound(name))
	}
	if len(found) == 0 && len(missing) == 0 && !a.quiet {
		_, _ = fmt.Fprintln(a.err, "claude-bottle: no bottles found")
	}
	if len(found) > 0 || o.output.value != "table" && o.output.value != "wide" && len(missing) == 0 {
		failed = append(failed, a.printResources(found, o))
	}
	return errors.Join(failed...)
}

// printResources prints them all at once.
func (a *application) printResources(bottles []*v1alpha1.Bottle, o getOptions) error {
	switch o.output.value {
	case "name":
		return a.printNames(bottles)
	case "table", "wide":
		return a.printRows(bottles, o)
	}
	var document any
	if len(bottles) == 1 && len(o.names) == 1 {
		document = bottles[0]
	} else {
		list := resourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, Items: bottles}
		if bottles == nil {
			list.Items = []*v1alpha1.Bottle{}
		}
		document = list
	}
	return a.printDocument(document, o.output)
}

// resourceList is what kubectl prints of several.
type resourceList struct {
	metav1.TypeMeta `json:",inline"`

	Items []*v1alpha1.Bottle `json:"items"`
}

func (a *application) printDocument(document any, output *resourceFormat) error {
	if output.path == nil {
		_, err := output.structured(a.out, document)
		return err
	}
	data, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	var plain any
	if err := json.Unmarshal(data, &plain); err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	var text bytes.Buffer
	if err := output.path.Execute(&text, plain); err != nil {
		return fmt.Errorf("print by jsonpath: %w", err)
	}
	_, err = a.out.Write(text.Bytes())
	return err
}

func (a *application) printNames(bottles []*v1alpha1.Bottle) error {
	for _, bottle := range bottles {
		if _, err := fmt.Fprintln(a.out, backend.Printable(resourceName(bottle))); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) printRows(bottles []*v1alpha1.Bottle, o getOptions) error {
	wide, now := o.output.value == "wide", time.Now()
	var rows [][]string
	for _, bottle := range bottles {
		rows = append(rows, resources.Row(bottle, wide, now))
	}
	if o.noHeaders {
		return table(a.out, nil, rows)
	}
	return table(a.out, resources.Header(wide), rows)
}
