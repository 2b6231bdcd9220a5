package main

import (
	"fmt"
	goruntime "runtime"
	"runtime/debug"

	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

func (a *application) versionCommand() *cobra.Command {
	command := &cobra.Command{Use: "version", Short: "Print the version", Args: noArguments, Example: "  claude-bottle version -o json"}
	output := addFormat(command, "text", "json", "yaml")
	command.RunE = func(*cobra.Command, []string) error {
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

func (a *application) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "schema agent|bottle|config",
		Short:     "Print the JSON Schema of a file, for editors",
		Example:   "  claude-bottle schema bottle > bottle.schema.json",
		ValidArgs: []string{"agent", "bottle", "config"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("schema takes agent, bottle or config")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			schema, err := manifest.Schema(manifest.Kind(args[0]))
			if err != nil {
				return usageError{err}
			}
			_, err = a.out.Write(schema)
			return err
		},
	}
}
