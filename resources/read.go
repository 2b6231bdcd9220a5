package resources

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-bottle/claude-bottle/api/v1alpha1"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/pattern"
	"github.com/containerd/errdefs"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Bounds of what is read.
const (
	maxFile    = 4 << 20 // bytes
	maxBottles = 1000
)

// standardInput is the name of a file that is none.
const standardInput = "-"

// Files say what is read.
type Files struct {
	// Paths are files, directories, or "-" for Stdin. Of a directory those that end in
	// .yaml, .yml or .json are read, and with Recursive those below it.
	Paths     []string
	Recursive bool
	Stdin     io.Reader
	// Home and Cwd are absolute: ~ stands for the one, and paths in Stdin count from the
	// other.
	Home, Cwd string
}

// Read reads all Bottles of the files, in their order, defaulted and valid on this host.
// All mistakes of a file are named, with file, document and field; the error is of
// InvalidArgument then. A file that isn't there is a NotFound error.
func Read(files Files) ([]*v1alpha1.Bottle, error) {
	paths, err := files.expand()
	if err != nil {
		return nil, err
	}
	var all []*v1alpha1.Bottle
	var failed []error
	origins := map[string]string{}
	for _, path := range paths {
		bottles, err := files.read(path)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		for _, bottle := range bottles {
			if before, twice := origins[bottle.Name]; twice {
				failed = append(failed, fmt.Errorf("%s: Bottle %s is declared in %s already: %w", shown(path), bottle.Name, shown(before), errdefs.ErrInvalidArgument))
			}
			origins[bottle.Name] = path
		}
		all = append(all, bottles...)
	}
	switch {
	case len(failed) > 0:
		return nil, errors.Join(failed...)
	case len(all) == 0:
		return nil, fmt.Errorf("no Bottle is declared in %s: %w", strings.Join(shownAll(paths, files.Paths), ", "), errdefs.ErrInvalidArgument)
	case len(all) > maxBottles:
		return nil, fmt.Errorf("%d Bottles are declared, at most %d are taken at a time: %w", len(all), maxBottles, errdefs.ErrInvalidArgument)
	}
	return all, nil
}

// shown is what a file is called in messages.
func shown(path string) string {
	if path == standardInput {
		return "standard input"
	}
	return backend.Printable(path)
}

// shownAll names what was read, or was asked for when that held no file.
func shownAll(read, asked []string) []string {
	if len(read) == 0 {
		read = asked
	}
	var names []string
	for _, path := range read {
		names = append(names, shown(path))
	}
	return names
}

// expand is the files that the paths stand for.
func (f Files) expand() ([]string, error) {
	var all []string
	for _, path := range f.Paths {
		if strings.HasPrefix(path, "http://") || strings.HasPrefix(path, "https://") {
			return nil, fmt.Errorf("%s: files are not fetched from the network: fetch it, read it, and give the file: %w", backend.Printable(path), errdefs.ErrInvalidArgument)
		}
		if path == standardInput {
			all = append(all, path)
			continue
		}
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("there is no file %s: %w", backend.Printable(path), errdefs.ErrNotFound)
		case err != nil:
			return nil, fmt.Errorf("read resources: %w", err)
		case !info.IsDir():
			all = append(all, path)
			continue
		}
		found, err := f.within(path)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// within is the files of a directory.
func (f Files) within(directory string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != directory && !f.Recursive:
			return fs.SkipDir
		case !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read resources: %w", err)
	}
	return found, nil
}

// read reads one file.
func (f Files) read(path string) ([]*v1alpha1.Bottle, error) {
	in, base := f.Stdin, f.Cwd
	if path != standardInput {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read resources: %w", err)
		}
		defer func() { _ = file.Close() }()
		in, base = file, filepath.Dir(path)
		if !filepath.IsAbs(base) {
			base = filepath.Join(f.Cwd, base)
		}
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", shown(path), err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %s: %w", shown(path), backend.Bytes(maxFile), errdefs.ErrInvalidArgument)
	}
	return f.documents(path, base, data)
}

// documents decodes what stands between lines of ---.
func (f Files) documents(path, base string, data []byte) ([]*v1alpha1.Bottle, error) {
	var all []*v1alpha1.Bottle
	var failed []error
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for number := 1; ; number++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var bottles []*v1alpha1.Bottle
		if err == nil {
			bottles, err = v1alpha1.Decode(document)
		}
		if err != nil {
			failed = append(failed, mistakes(fmt.Sprintf("%s: document %d", shown(path), number), err))
			break
		}
		for _, bottle := range bottles {
			f.settle(bottle, base)
			if problems := append(v1alpha1.Validate(bottle), local(bottle)...); len(problems) > 0 {
				failed = append(failed, mistakes(fmt.Sprintf("%s: document %d: Bottle %s", shown(path), number, backend.Printable(bottle.Name)), problems.ToAggregate().Errors()...))
			}
		}
		all = append(all, bottles...)
	}
	return all, errors.Join(failed...)
}

// Given reads one Bottle as another process says that a user has declared it: JSON, strictly,
// valid on this host. What it names is not looked at. All else is an InvalidArgument error.
func Given(object []byte) (*v1alpha1.Bottle, error) {
	if err := countable(object); err != nil {
		return nil, err
	}
	bottles, err := v1alpha1.Decode(object)
	if err != nil {
		return nil, mistakes("the resource", err)
	}
	if len(bottles) != 1 {
		return nil, fmt.Errorf("%d resources are declared of one bottle: %w", len(bottles), errdefs.ErrInvalidArgument)
	}
	bottle := bottles[0]
	v1alpha1.Default(bottle)
	if problems := append(v1alpha1.Validate(bottle), local(bottle)...); len(problems) > 0 {
		return nil, mistakes("the resource", problems.ToAggregate().Errors()...)
	}
	return bottle, nil
}

// vastNumber is a number whose arithmetic would take for ever: that of quantities is exact.
var vastNumber = pattern.Lazy(`^\s*[+-]?[0-9.]*[eE][+-]?[0-9]{3,}\s*$|^\s*[+-]?[0-9.]{64,}`)

// countable refuses what is not one value of JSON, and such a number in it, as a text or not.
func countable(object []byte) error {
	if !json.Valid(object) {
		return fmt.Errorf("the resource is no JSON: %w", errdefs.ErrInvalidArgument)
	}
	tokens := json.NewDecoder(bytes.NewReader(object))
	tokens.UseNumber()
	for {
		token, err := tokens.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the resource: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		if text := fmt.Sprint(token); vastNumber().MatchString(text) {
			return fmt.Errorf("the resource holds a number that can't be: %s: %w", backend.Printable(text[:min(len(text), 40)]), errdefs.ErrInvalidArgument)
		}
	}
}

// mistakes names where each of them is, one line each.
func mistakes(where string, found ...error) error {
	var lines []error
	for _, one := range found {
		for line := range strings.Lines(one.Error()) {
			lines = append(lines, fmt.Errorf("%s: %s: %w", where, strings.TrimSpace(line), errdefs.ErrInvalidArgument))
		}
	}
	return errors.Join(lines...)
}

// settle fills in what depends on where the file lies, and takes away what is the
// server's to say: the output of get can be applied.
func (f Files) settle(bottle *v1alpha1.Bottle, base string) {
	v1alpha1.Default(bottle)
	meta := &bottle.ObjectMeta
	meta.UID, meta.ResourceVersion, meta.Generation, meta.ManagedFields = "", "", 0, nil
	meta.CreationTimestamp = metav1.Time{}
	bottle.Status = v1alpha1.BottleStatus{}
	path := bottle.Spec.Workspace.Path
	switch {
	case path == "":
	case path == "~" || strings.HasPrefix(path, "~/"):
		bottle.Spec.Workspace.Path = filepath.Join(f.Home, path[1:])
	case !filepath.IsAbs(path):
		bottle.Spec.Workspace.Path = filepath.Join(base, path)
	default:
		bottle.Spec.Workspace.Path = filepath.Clean(path)
	}
}

// local names what only another backend takes.
func local(bottle *v1alpha1.Bottle) field.ErrorList {
	var all field.ErrorList
	if bottle.Namespace != "" && bottle.Namespace != "default" {
		all = append(all, field.Forbidden(field.NewPath("metadata", "namespace"), "the bottles of a host have no namespaces: leave it out"))
	}
	if bottle.Spec.Lease != nil {
		all = append(all, field.Forbidden(field.NewPath("spec", "lease"), "only a cluster takes a lease; on a host the lock of a bottle's supervisor says that it is alive: leave it out"))
	}
	return all
}
