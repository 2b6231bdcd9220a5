package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// format is the value of -o. The first of the allowed ones is the default.
type format struct {
	value   string
	allowed []string
}

func addFormat(command *cobra.Command, allowed ...string) *format {
	f := &format{value: allowed[0], allowed: allowed}
	command.Flags().VarP(f, "output", "o", "output format: "+strings.Join(allowed, ", "))
	_ = command.RegisterFlagCompletionFunc("output", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return allowed, cobra.ShellCompDirectiveNoFileComp
	})
	return f
}

// String implements pflag.Value.
func (f *format) String() string { return f.value }

// Type implements pflag.Value.
func (*format) Type() string { return "format" }

// Set implements pflag.Value.
func (f *format) Set(value string) error {
	if !slices.Contains(f.allowed, value) {
		return fmt.Errorf("unknown format %q, known are: %s", value, strings.Join(f.allowed, ", "))
	}
	f.value = value
	return nil
}

// structured writes value as JSON or YAML, and says whether the format was one
// of the two. The YAML has the keys of the JSON.
func (f *format) structured(w io.Writer, value any) (bool, error) {
	if f.value != "json" && f.value != "yaml" {
		return false, nil
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return true, fmt.Errorf("encode output: %w", err)
	}
	if f.value == "yaml" {
		var node yaml.Node
		if err := yaml.Unmarshal(text.Bytes(), &node); err != nil {
			return true, fmt.Errorf("encode output: %w", err)
		}
		blockStyle(&node)
		data, err := yaml.Marshal(&node)
		if err != nil {
			return true, fmt.Errorf("encode output: %w", err)
		}
		text = *bytes.NewBuffer(data)
	}
	_, err := w.Write(text.Bytes())
	return true, err
}

// blockStyle undoes the flow style that a node read from JSON has.
func blockStyle(node *yaml.Node) {
	node.Style &^= yaml.FlowStyle | yaml.DoubleQuotedStyle
	for _, child := range node.Content {
		blockStyle(child)
	}
}

// table writes rows under a header, if there is one, as kubectl does.
func table(w io.Writer, header []string, rows [][]string) error {
	writer := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	if header != nil {
		_, _ = fmt.Fprintln(writer, strings.Join(header, "\t"))
	}
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				cell = "-"
			}
			row[i] = backend.Printable(cell)
		}
		_, _ = fmt.Fprintln(writer, strings.Join(row, "\t"))
	}
	return writer.Flush()
}
