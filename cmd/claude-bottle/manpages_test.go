package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// TestEveryVerbHasAManPage writes the manual into the directory that MANUAL names, which is
// how a release gets it: so the program carries nothing of what makes it. Its date is
// SOURCE_DATE_EPOCH, its version VERSION.
func TestEveryVerbHasAManPage(t *testing.T) {
	directory := os.Getenv("MANUAL")
	if directory == "" {
		directory = t.TempDir()
	}
	epoch, _ := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	date := time.Unix(epoch, 0).UTC()
	a := &application{lookup: func(string) (string, bool) { return "", false }}
	root := a.rootCommand()
	root.InitDefaultCompletionCmd("completion")
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Date: &date, Source: "claude-bottle " + os.Getenv("VERSION"), Manual: "claude-bottle"}
	if err := doc.GenManTree(root, header, directory); err != nil {
		t.Fatal(err)
	}
	var check func(command *cobra.Command)
	check = func(command *cobra.Command) {
		if !command.IsAvailableCommand() && command.HasParent() {
			return
		}
		name := strings.ReplaceAll(command.CommandPath(), " ", "-")
		page, err := os.ReadFile(filepath.Join(directory, name+".1"))
		if err != nil || !strings.Contains(string(page), ".SH NAME") || !strings.Contains(string(page), strings.Fields(command.Short)[0]) {
			t.Errorf("%s has no page that says %q: %v", name, command.Short, err)
		}
		for _, child := range command.Commands() {
			check(child)
		}
	}
	check(root)
}
