package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

func (a *application) editCommand() *cobra.Command {
	var kind string
	command := &cobra.Command{
		Use:   "edit AGENT|BOTTLE",
		Short: "Edit an agent or bottle file, and check it",
		Long: `Open the file of an agent or bottle in $VISUAL or $EDITOR, and check it afterwards.
A file with mistakes stays as you left it; the mistakes are named.`,
		Example: "  claude-bottle edit claude\n  claude-bottle edit --kind bottle default",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("edit takes the name of one agent or bottle, got %d", len(args))}
			}
			return nil
		},
		ValidArgsFunction: a.completeFiles(manifest.KindAgent),
	}
	command.Flags().StringVar(&kind, "kind", "", "agent or bottle, when both have that name")
	command.RunE = func(command *cobra.Command, args []string) error {
		path, err := a.pathToEdit(kind, args[0])
		if err != nil {
			return err
		}
		editor := strings.Fields(a.environment("VISUAL", a.environment("EDITOR", "vi")))
		process := exec.CommandContext(command.Context(), editor[0], append(editor[1:], path)...) //nolint:gosec // the user's own editor
		process.Stdin, process.Stdout, process.Stderr = a.in, a.out, a.err
		if err := process.Run(); err != nil {
			return fmt.Errorf("run editor %s: %w", editor[0], err)
		}
		return manifest.Check(path)
	}
	return command
}

// pathToEdit finds the one file of that name.
func (a *application) pathToEdit(kind, name string) (string, error) {
	options, err := a.manifestOptions()
	if err != nil {
		return "", err
	}
	kinds := []manifest.Kind{manifest.KindAgent, manifest.KindBottle}
	if kind != "" {
		kinds = []manifest.Kind{manifest.Kind(kind)}
	}
	var found []string
	for _, k := range kinds {
		path, err := manifest.Path(options, k, name)
		if err != nil {
			return "", usageError{err}
		}
		if _, err := os.Stat(path); err == nil {
			found = append(found, path)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no agent or bottle file named %s: `claude-bottle list available -o wide` shows them, `claude-bottle init` writes first ones: %w", name, errdefs.ErrNotFound)
	case 1:
		return found[0], nil
	default:
		return "", usageError{fmt.Errorf("both an agent and a bottle are named %s: say which with --kind", name)}
	}
}
