package npm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// DefaultRegistry is where packages are got unless another one is named.
const DefaultRegistry = "https://registry.npmjs.org"

// Bounds of one package.
const (
	maxPacked      = 1 << 30
	maxUnpacked    = 4 << 30
	maxEntries     = 100_000
	maxDescription = 1 << 20 // package.json
	fetchTimeout   = 20 * time.Minute
)

// modules is where packages lie in an image.
const modules = "/usr/local/lib/node_modules/"

// Registry is where packages are got.
type Registry struct {
	URL      string
	Progress backend.Progress
}

// Put gets the package, checks it, and only then puts it in. Its programs are linked
// into /usr/local/bin.
func (r Registry) Put(ctx context.Context, entry backend.RecipePackage, put func(backend.BuildPut) error) error {
	if err := r.put(ctx, entry, put); err != nil {
		return fmt.Errorf("npm package %s: %w", entry.Package, err)
	}
	return nil
}

func (r Registry) put(ctx context.Context, entry backend.RecipePackage, put func(backend.BuildPut) error) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	// It is checked before any of it gets in, and may be too large for memory.
	packed, err := os.CreateTemp("", "claude-bottle-npm-*")
	if err != nil {
		return fmt.Errorf("make temporary file: %w", err)
	}
	defer func() { _ = packed.Close() }()
	if err := os.Remove(packed.Name()); err != nil {
		return fmt.Errorf("make temporary file: %w", err)
	}
	if err := r.download(ctx, entry, packed); err != nil {
		return err
	}
	name := entry.Package[:strings.LastIndex(entry.Package, "@")]
	description, err := describe(packed)
	if err != nil {
		return err
	}
	if len(description.Dependencies) > 0 {
		return fmt.Errorf("it needs %s: put npm among the packages, registry.npmjs.org under egress.allow, and `npm install -g %s` under run: %w",
			strings.Join(slices.Sorted(maps.Keys(description.Dependencies)), ", "), entry.Package, errdefs.ErrFailedPrecondition)
	}
	stream, write := io.Pipe()
	go func() { write.CloseWithError(repack(packed, write)) }()
	err = put(backend.BuildPut{To: modules + name, Tar: stream})
	_ = stream.Close()
	if err != nil {
		return err
	}
	return link(name, programs(entry, name, description), put)
}

// download gets the packed bytes, and refuses any others than those that were asked for.
func (r Registry) download(ctx context.Context, entry backend.RecipePackage, to *os.File) error {
	at := strings.LastIndex(entry.Package, "@")
	name, version := entry.Package[:at], entry.Package[at+1:]
	address, err := url.JoinPath(r.URL, name, "-", path.Base(name)+"-"+version+".tgz")
	if err != nil {
		return fmt.Errorf("registry %s: %w", backend.Printable(r.URL), err)
	}
	answer, err := r.get(ctx, address)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	sum := sha512.New()
	body := &counted{from: io.LimitReader(answer.Body, maxPacked+1), total: max(answer.ContentLength, 0), name: "fetching " + entry.Package, progress: r.Progress}
	n, err := io.Copy(io.MultiWriter(to, sum), body)
	if err != nil {
		return fmt.Errorf("get %s: %w", address, err)
	}
	if n > maxPacked {
		return fmt.Errorf("%s is larger than %s: %w", address, backend.Bytes(maxPacked), errdefs.ErrResourceExhausted)
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != entry.Integrity {
		return fmt.Errorf("its integrity is %s, not what the recipe says: look at both before you change the recipe: %w", got, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// get asks the registry. The caller closes the body.
func (r Registry) get(ctx context.Context, address string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", backend.Printable(r.URL), err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("get it: %w", errors.Join(err, errdefs.ErrUnavailable))
	}
	if answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("%s answers %s: %w", address, backend.Printable(answer.Status), errdefs.ErrNotFound)
	}
	return answer, nil
}

// counted reports what was read.
type counted struct {
	from        io.Reader
	done, total int64
	name        string
	progress    backend.Progress
}

func (c *counted) Read(buffer []byte) (int, error) {
	n, err := c.from.Read(buffer)
	c.done += int64(n)
	c.progress.Bytes(c.name, c.done, c.total)
	return n, err
}

// description is what of package.json is needed.
type description struct {
	Bin          json.RawMessage   `json:"bin"`
	Dependencies map[string]string `json:"dependencies"`
}

// each reads the packed files from their start. The name is without the first
// directory, whatever that is called.
func each(packed *os.File, visit func(name string, header *tar.Header, content io.Reader) error) error {
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	plain, err := gzip.NewReader(packed)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	reader := tar.NewReader(plain)
	var size int64
	for count := 0; ; count++ {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		if size += header.Size; size > maxUnpacked || count > maxEntries {
			return fmt.Errorf("it holds more than %s or %d files: %w", backend.Bytes(maxUnpacked), maxEntries, errdefs.ErrResourceExhausted)
		}
		_, name, below := strings.Cut(strings.TrimPrefix(header.Name, "./"), "/")
		if header.Typeflag != tar.TypeReg || !below {
			continue
		}
		if name != path.Clean(name) || path.IsAbs(name) || strings.HasPrefix(name, "../") || name == ".." {
			return fmt.Errorf("it holds %q: %w", header.Name, errdefs.ErrInvalidArgument)
		}
		if err := visit(name, header, reader); err != nil {
			return err
		}
	}
}

func describe(packed *os.File) (description, error) {
	var found description
	err := each(packed, func(name string, _ *tar.Header, content io.Reader) error {
		if name != "package.json" {
			return nil
		}
		data, err := io.ReadAll(io.LimitReader(content, maxDescription))
		if err != nil {
			return fmt.Errorf("read package.json: %w", err)
		}
		if err := json.Unmarshal(data, &found); err != nil {
			return fmt.Errorf("read package.json: %w", errors.Join(err, errdefs.ErrInvalidArgument))
		}
		return nil
	})
	return found, err
}

// repack writes the files as the stream of one directory.
func repack(packed *os.File, w io.Writer) error {
	to := tar.NewWriter(w)
	if err := to.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "x/", Mode: 0o755}); err != nil {
		return err
	}
	made := map[string]bool{".": true}
	err := each(packed, func(name string, header *tar.Header, content io.Reader) error {
		if err := parents(to, path.Dir(name), made); err != nil {
			return err
		}
		mode := int64(0o644)
		if header.Mode&0o111 != 0 {
			mode = 0o755
		}
		if err := to.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "x/" + name, Mode: mode, Size: header.Size, Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err := io.Copy(to, content)
		return err
	})
	return errors.Join(err, to.Close())
}

// parents writes the directories on the way that were not written before.
func parents(to *tar.Writer, directory string, made map[string]bool) error {
	if made[directory] {
		return nil
	}
	if err := parents(to, path.Dir(directory), made); err != nil {
		return err
	}
	made[directory] = true
	return to.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "x/" + directory + "/", Mode: 0o755, Format: tar.FormatPAX})
}

// programs are the names of programs and the files that they are: what the recipe
// says, else what the package does.
func programs(entry backend.RecipePackage, name string, found description) map[string]string {
	if len(entry.Bin) > 0 {
		return entry.Bin
	}
	var many map[string]string
	if json.Unmarshal(found.Bin, &many) == nil {
		return many
	}
	var one string
	if json.Unmarshal(found.Bin, &one) == nil && one != "" {
		return map[string]string{path.Base(name): one}
	}
	return nil
}

func link(name string, programs map[string]string, put func(backend.BuildPut) error) error {
	for _, program := range slices.Sorted(maps.Keys(programs)) {
		if program != path.Base(program) || strings.HasPrefix(program, ".") {
			return fmt.Errorf("its program %s has no name for /usr/local/bin: %w", backend.Printable(program), errdefs.ErrInvalidArgument)
		}
		var packed bytes.Buffer
		to := tar.NewWriter(&packed)
		header := &tar.Header{Typeflag: tar.TypeSymlink, Name: program, Linkname: path.Join("..", "lib", "node_modules", name, path.Clean("/"+programs[program])), Mode: 0o777}
		if err := errors.Join(to.WriteHeader(header), to.Close()); err != nil {
			return fmt.Errorf("link %s: %w", program, err)
		}
		if err := put(backend.BuildPut{To: "/usr/local/bin/" + program, Name: program, Tar: &packed}); err != nil {
			return fmt.Errorf("link %s: %w", program, err)
		}
	}
	return nil
}
