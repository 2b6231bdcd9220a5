package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
)

func approvals(options Options) string {
	return filepath.Join(options.Home, ".claude-bottle", "approved.json")
}

// Approved says whether the agent file of a repository was approved with just
// this content. Files of the user's own need no approval.
func Approved(options Options, m *backend.Manifest) (bool, error) {
	if !m.FromProject {
		return true, nil
	}
	known, err := readApprovals(options)
	if err != nil {
		return false, err
	}
	file := m.Files[0]
	return known[file.Path] == file.SHA256, nil
}

// Approve remembers the agent file's content as approved, in place of what was
// approved of that file before.
func Approve(options Options, m *backend.Manifest) error {
	known, err := readApprovals(options)
	if err != nil {
		return err
	}
	known[m.Files[0].Path] = m.Files[0].SHA256
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
