package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/spf13/cobra"
)

func (a *application) infoCommand() *cobra.Command {
	command := &cobra.Command{
		Use:               "info AGENT",
		Short:             "Show what an agent's files say, merged",
		Long:              "Show the agent and its bottle with everything that it extends merged in, and the files they come from.\nValues of variables are not shown.",
		Example:           "  claude-bottle info claude\n  claude-bottle info claude -o yaml",
		ValidArgsFunction: a.completeFiles(manifest.KindAgent),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("info takes the name of one agent, got %d: `claude-bottle list available` shows them", len(args))}
			}
			return nil
		},
	}
	output := addFormat(command, "text", "json", "yaml")
	command.RunE = func(_ *cobra.Command, args []string) error {
		options, err := a.manifestOptions()
		if err != nil {
			return err
		}
		loaded, err := manifest.Load(options, args[0])
		if err != nil {
			return err
		}
		limits, err := manifest.Limits(loaded.Bottle.Resources)
		if err != nil {
			return err
		}
		view := struct {
			*backend.Manifest
			Limits backend.Limits
		}{loaded, limits}
		if done, err := output.structured(a.out, view); done || err != nil {
			return err
		}
		return a.printInfo(loaded, limits)
	}
	return command
}

func (a *application) printInfo(m *backend.Manifest, limits backend.Limits) error {
	var b strings.Builder
	row := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", key, backend.Printable(value))
		}
	}
	row("agent", m.Agent.Name)
	row("description", m.Agent.Description)
	row("model", m.Agent.Model)
	row("skills", strings.Join(m.Agent.Skills, ", "))
	row("prompt", fmt.Sprintf("%d characters", len([]rune(m.Agent.Prompt))))
	row("bottle", m.Bottle.Name)
	row("image", m.Bottle.Image)
	if m.Bottle.Recipe != nil {
		row("image", "a recipe, from "+m.Bottle.Recipe.From)
	}
	if m.Bottle.Dockerfile != nil {
		row("image", "by "+m.Bottle.Dockerfile.File)
	}
	devcontainerRows(m.Bottle, &b, row)
	row("runtime", string(m.Bottle.Runtime))
	for _, rule := range m.Bottle.Egress.Allow {
		row("egress", rule)
	}
	for _, preset := range m.Bottle.Egress.Presets {
		row("egress", "preset "+preset)
	}
	for _, private := range m.Bottle.Egress.Private {
		row("egress", private.Host+" also at "+private.Range)
	}
	if m.Bottle.Egress.Mode == backend.EgressOpen {
		row("egress", "open: every public host")
	}
	if m.Bottle.Egress.Mode == backend.EgressAsk {
		row("egress", "other public hosts are asked for")
	}
	for _, entry := range m.Bottle.SSH {
		how := ", which stays outside"
		if entry.Copy {
			how = ", copied in"
		}
		row("ssh", entry.Host+" with "+entry.IdentityFile+how)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Bottle.Env)) {
		row("env", name)
	}
	row("limits", fmt.Sprintf("memory %s, cpus %g, processes %d, open files %d, /tmp %s", backend.Bytes(limits.MemoryBytes),
		float64(limits.CPUMillis)/1000, limits.Processes, limits.OpenFiles, backend.Bytes(limits.TmpBytes)))
	row("host", string(m.Host.RequireRuntime))
	for _, file := range m.Files {
		row("file", file.Kind+" "+file.Path+" sha256:"+file.SHA256)
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

// devcontainerRows are what is taken of a devcontainer.json, and what is not.
func devcontainerRows(bottle backend.BottleFile, b *strings.Builder, row func(key, value string)) {
	from := bottle.Devcontainer
	if from == nil {
		return
	}
	row("image", "as "+from.File+" says")
	for _, command := range from.Setup {
		fmt.Fprintf(b, "%-12s %s\n", "runs", command.Line()) // it is printable
	}
	for _, port := range from.Ports {
		row("port", strconv.Itoa(int(port)))
	}
	for _, name := range slices.Sorted(maps.Keys(from.Env)) {
		if _, own := bottle.Env[name]; !own {
			row("env", name)
		}
	}
	for _, ignored := range from.Ignored {
		fmt.Fprintf(b, "%-12s %s: %s\n", "ignored", backend.Printable(ignored.Key), ignored.Reason)
	}
}
