package devcontainer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// maxFile bounds a devcontainer.json, in bytes, and with it how deep its values may nest.
const maxFile = 128 << 10

// maxDockerfile bounds a Dockerfile, in bytes.
const maxDockerfile = 1 << 20

// folder is where a repository has its file, or files.
const folder = ".devcontainer"

// Options say what a bottle can't have.
type Options struct {
	// Refuses says why a bottle can't be given a variable of that name; "" is that it can.
	// nil refuses none.
	Refuses func(name string) string
}

// File is a devcontainer.json, and what a bottle takes of it: exactly one of Image and
// Dockerfile is set.
type File struct {
	Path string
	Data []byte

	Image      string
	Dockerfile *backend.Dockerfile
	// DockerfileData is what that holds.
	DockerfileData []byte

	Devcontainer backend.Devcontainer
}

// Read reads the file at an absolute path, or that of the repository whose directory it is.
// A mistake in it is an InvalidArgument error with file, line and key.
func Read(path string, options Options) (File, error) {
	path, err := find(path)
	if err != nil {
		return File{}, err
	}
	within := repository(path)
	data, err := readFile(within, path, "devcontainer.json", maxFile)
	if err != nil {
		return File{}, err
	}
	file, err := parse(path, data, options)
	if err == nil && file.Dockerfile != nil {
		file.DockerfileData, err = readFile(file.Dockerfile.Within, file.Dockerfile.File, "the Dockerfile", maxDockerfile)
	}
	return file, err
}

// find is the path itself, or the file in that directory.
func find(path string) (string, error) {
	if strings.HasSuffix(filepath.Base(path), "devcontainer.json") {
		return path, nil // a link of that name to a directory would make its own repository of that
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("find devcontainer.json: %w", err)
	}
	if !info.IsDir() {
		return path, nil
	}
	// What is approved is the file that is read.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("find devcontainer.json: %w", err)
	}
	candidates := []string{filepath.Join(path, folder, "devcontainer.json"), filepath.Join(path, ".devcontainer.json")}
	for _, candidate := range candidates {
		_, err := os.Lstat(candidate)
		if err == nil {
			return candidate, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return "", fmt.Errorf("find devcontainer.json: %w", err)
		}
	}
	return "", fmt.Errorf("neither %s nor %s is there: name the file itself: %w", candidates[0], candidates[1], errdefs.ErrNotFound)
}

// repository is the directory that a file may name files of: the one above .devcontainer,
// or else its own.
func repository(path string) string {
	directory := filepath.Dir(path)
	for _, each := range []string{directory, filepath.Dir(directory)} {
		if filepath.Base(each) == folder {
			return filepath.Dir(each)
		}
	}
	return directory
}

// readFile reads a regular file of at most so many bytes, and no link that leads out of the
// repository: what is wrong with a file is told, and with it some of what it holds.
func readFile(within, path, what string, most int64) ([]byte, error) {
	root, err := os.OpenRoot(within)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	defer func() { _ = root.Close() }()
	relative, err := filepath.Rel(within, path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	file, err := root.OpenFile(relative, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO does not hold it up
	if err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", what, within, err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: %w", path, errdefs.ErrInvalidArgument)
	}
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s is larger than %s: %w", path, backend.Bytes(most), errdefs.ErrInvalidArgument)
	}
	return data, nil
}
