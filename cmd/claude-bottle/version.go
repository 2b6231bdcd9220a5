package main

import (
	"fmt"
	goruntime "runtime"
	"runtime/debug"
	"strings"

	"github.com/claude-bottle/claude-bottle/image/proven"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/resources"
	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func (a *application) versionCommand() *cobra.Command {
	command := &cobra.Command{Use: "version", Short: "Print the version", Args: noArguments, Example: "  claude-bottle version -o json\n  claude-bottle version --table"}
	output := addFormat(command, "text", "json", "yaml")
	pairs := command.Flags().Bool("table", false, "print which claude is known to work on which runtime of this architecture instead")
	command.RunE = func(*cobra.Command, []string) error {
		if *pairs {
			return a.printPairs(output)
		}
		client := "unknown"
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, dependency := range info.Deps {
				if dependency.Path == "github.com/containerd/containerd/v2" {
					client = dependency.Version
				}
			}
		}
		view := map[string]string{"version": version, "go": goruntime.Version(), "platform": goruntime.GOOS + "/" + goruntime.GOARCH, "containerdClient": client}
		if done, err := output.structured(a.out, view); done || err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.out, "claude-bottle %s (%s, %s, containerd client %s)\n", version, view["go"], view["platform"], client)
		return err
	}
	return command
}

// printPairs prints the table that ships.
func (a *application) printPairs(output *format) error {
	known, err := proven.Table(goruntime.GOARCH)
	if err != nil {
		return err
	}
	if done, err := output.structured(a.out, known); done || err != nil {
		return err
	}
	rows := make([][]string, len(known))
	for i, pair := range known {
		rows[i] = []string{pair.Claude, pair.Runtime, pair.Version, pair.Seen}
	}
	return table(a.out, []string{"CLAUDE", "RUNTIME", "VERSION", "SEEN"}, rows)
}

func (a *application) schemaCommand() *cobra.Command {
	kinds := []string{string(manifest.KindAgent), string(manifest.KindBottle), string(manifest.KindRecipe), string(manifest.KindHost), "resource", "crd"}
	takes := strings.Join(kinds[:len(kinds)-1], ", ") + " or " + kinds[len(kinds)-1]
	return &cobra.Command{
		Use:   "schema " + strings.Join(kinds, "|"),
		Short: "Print the JSON Schema of a file, for editors",
		Long: `Print the JSON Schema of a file, for editors: that of an agent, a bottle, a recipe, the
host's configuration, or of a resource that apply -f takes. crd is the CustomResourceDefinition
by which a cluster takes the same resources.`,
		Example:   "  claude-bottle schema bottle > bottle.schema.json\n  claude-bottle schema crd | kubectl apply -f -",
		ValidArgs: kinds,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("schema takes %s", takes)}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			schema, err := schemaOf(args[0])
			if err != nil {
				return err
			}
			_, err = a.out.Write(schema)
			return err
		},
	}
}

func schemaOf(kind string) ([]byte, error) {
	switch kind {
	case "resource":
		return resources.Schema()
	case "crd":
		return resources.Definition()
	}
	schema, err := manifest.Schema(manifest.Kind(kind))
	if err != nil {
		return nil, usageError{err}
	}
	return schema, nil
}
