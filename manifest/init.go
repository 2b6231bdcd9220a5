package manifest

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed template
var templates embed.FS

// Init writes a first agent and bottle file below the home directory, and
// returns the paths of those that it made. A file that is there stays as it is.
func Init(options Options) (created []string, err error) {
	for _, file := range []struct{ template, kind, name string }{
		{"template/agent.md", "agents", "claude"},
		{"template/bottle.md", "bottles", defaultBottle},
	} {
		content, err := templates.ReadFile(file.template)
		if err != nil {
			return created, fmt.Errorf("read template: %w", err)
		}
		dir := filepath.Join(options.Home, ".claude-bottle", file.kind)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return created, fmt.Errorf("make directory: %w", err)
		}
		path := filepath.Join(dir, file.name+".md")
		written, err := writeNew(path, content)
		if err != nil {
			return created, err
		}
		if written {
			created = append(created, path)
		}
	}
	return created, nil
}

func writeNew(path string, content []byte) (bool, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write file: %w", err)
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return false, fmt.Errorf("write file: %w", err)
	}
	return true, nil
}
