package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// DefaultMirror is where packages are got unless another one is named. What comes is
// signed: plain HTTP does.
const DefaultMirror = "http://deb.debian.org/debian"

// Bounds of what a mirror may send.
const (
	maxRelease   = 4 << 20
	maxIndex     = 256 << 20 // as it is packed
	maxPackage   = 128 << 20
	fetchTimeout = 20 * time.Minute
)

// Archive is a mirror of Debian's.
type Archive struct {
	// URL is that of the packages; those of the security team are at the same one with
	// -security behind it.
	URL string
	// Keys are those that the archive is signed with, in armour; nil takes Debian's own,
	// which ship.
	Keys     []byte
	Progress backend.Progress
}

// Root writes the root file system of the suite for that architecture, as Go calls it.
// The same packages give the same bytes.
func (a Archive) Root(ctx context.Context, suite, architecture string, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	if err := a.root(ctx, suite, architecture, w); err != nil {
		return fmt.Errorf("make %s of Debian's packages: %w", backend.Printable(suite), err)
	}
	return nil
}

func (a Archive) root(ctx context.Context, suite, architecture string, w io.Writer) error {
	keys, err := a.keys()
	if err != nil {
		return err
	}
	known := index{}
	for _, part := range []struct{ url, suite string }{
		{a.URL, suite}, {a.URL, suite + "-updates"}, {a.URL + "-security", suite + "-security"},
	} {
		if err := a.read(ctx, part.url, part.suite, architecture, keys, known); err != nil {
			return fmt.Errorf("%s: %w", part.suite, err)
		}
	}
	chosen, err := known.choose()
	if err != nil {
		return err
	}
	packed, err := a.download(ctx, chosen)
	if err != nil {
		return err
	}
	return writeRoot(w, suite, architecture, chosen, packed)
}

// get is what lies at that path of a mirror, no more of it than most.
func get(ctx context.Context, base, path string, most int64) (io.ReadCloser, error) {
	address, err := url.JoinPath(base, path)
	if err != nil {
		return nil, fmt.Errorf("mirror %s: %w", backend.Printable(base), errors.Join(err, errdefs.ErrInvalidArgument))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("mirror %s: %w", backend.Printable(base), errors.Join(err, errdefs.ErrInvalidArgument))
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the mirror, which --debian-mirror chooses: %w", errors.Join(err, errdefs.ErrUnavailable))
	}
	if answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("%s answers %s: is there such a suite, and such a mirror?: %w", address, backend.Printable(answer.Status), errdefs.ErrNotFound)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, most), answer.Body}, nil
}

// fetch gets a file whole, and refuses any other bytes than those that were signed for.
func fetch(ctx context.Context, base, path string, want sum, most int64) ([]byte, error) {
	if want.size < 0 || want.size > most {
		return nil, fmt.Errorf("%s is said to have %d bytes: %w", backend.Printable(path), want.size, errdefs.ErrResourceExhausted)
	}
	body, err := get(ctx, base, path, want.size+1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", backend.Printable(path), errors.Join(err, errdefs.ErrUnavailable))
	}
	if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != want.sha256 {
		return nil, fmt.Errorf("%s is not what Debian has signed for: try again when the mirror is up to date, or take another one: %w", backend.Printable(path), errdefs.ErrFailedPrecondition)
	}
	return data, nil
}
