package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
)

func approvals(options Options) string {
	return filepath.Join(options.Home, ".claude-bottle", "approved.json")
}

// Unapproved are the files that are not the user's own word, and were never approved with
// just this content: the agent file of a repository, and a devcontainer.json with the
// Dockerfile that it names.
func Unapproved(options Options, m *backend.Manifest) ([]backend.ManifestFile, error) {
	foreign := slices.DeleteFunc(slices.Clone(m.Files), func(file backend.ManifestFile) bool {
		theirs := m.FromProject && file == m.Files[0]
		return !theirs && file.Kind != string(KindDevcontainer) && file.Kind != string(KindDockerfile)
	})
	if len(foreign) == 0 {
		return nil, nil
	}
	known, err := readApprovals(options)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(foreign, func(file backend.ManifestFile) bool { return known[file.Path] == file.SHA256 }), nil
}

// Approve remembers the content of a file as approved, in place of what was approved of it
// before.
func Approve(options Options, file backend.ManifestFile) error {
	known, err := readApprovals(options)
	if err != nil {
		return err
	}
	known[file.Path] = file.SHA256
	data, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return fmt.Errorf("write approvals: %w", err)
	}
	path := approvals(options)
	temporary, err := os.CreateTemp(filepath.Dir(path), ".approved-*")
	if err != nil {
		return fmt.Errorf("write approvals: %w", err)
	}
	_, err = temporary.Write(append(data, '\n'))
	err = errors.Join(err, temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return fmt.Errorf("write approvals: %w", err)
	}
	return nil
}

func readApprovals(options Options) (map[string]string, error) {
	known := map[string]string{}
	data, err := readFile(approvals(options))
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &known); err != nil {
		return nil, fmt.Errorf("read %s: %w", approvals(options), err)
	}
	return known, nil
}
