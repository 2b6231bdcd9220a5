package manifest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
)

// Entry is one file that was found.
type Entry struct {
	Kind        Kind   `json:"kind"`
	Name        string `json:"name"`
	Bottle      string `json:"bottle,omitempty"` // of an agent
	Origin      string `json:"origin"`           // home or repository
	Description string `json:"description,omitempty"`
	Path        string `json:"path"`
	// Problem says why it can't be used, or is "".
	Problem string `json:"problem,omitempty"`
}

// List finds every agent and bottle file, sorted by kind and name. A file with
// mistakes is listed with its problem.
func List(options Options) ([]Entry, error) {
	entries := []Entry{}
	home := filepath.Join(options.Home, ".claude-bottle")
	seen := map[string]bool{}
	for _, place := range []struct{ dir, origin string }{
		{filepath.Join(options.Cwd, ".claude-bottle"), "repository"},
		{home, "home"},
	} {
		if place.origin == "repository" && place.dir == home {
			continue
		}
		for _, name := range names(filepath.Join(place.dir, "agents")) {
			if seen[name] {
				continue // the repository's comes first, as in Load
			}
			seen[name] = true
			entries = append(entries, agentEntry(options, name, filepath.Join(place.dir, "agents", name+".md"), place.origin))
		}
	}
	for _, name := range names(filepath.Join(home, "bottles")) {
		path := filepath.Join(home, "bottles", name+".md")
		entry := Entry{Kind: KindBottle, Name: name, Origin: "home", Path: path}
		if err := Check(path); err != nil {
			entry.Problem = err.Error()
		}
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		if a.Kind != b.Kind {
			return strings.Compare(string(a.Kind), string(b.Kind))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return entries, nil
}

func agentEntry(options Options, name, path, origin string) Entry {
	entry := Entry{Kind: KindAgent, Name: name, Origin: origin, Path: path}
	loaded, err := Load(options, name)
	if err != nil {
		entry.Problem = err.Error()
		return entry
	}
	entry.Bottle, entry.Description = loaded.Agent.Bottle, loaded.Agent.Description
	return entry
}

// names are the valid names of the files in a directory, sorted.
func names(dir string) []string {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list []string
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Name(), ".md")
		if ok && backend.ValidateName("file", name) == nil {
			list = append(list, name)
		}
	}
	return list
}
