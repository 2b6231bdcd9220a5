package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// askTimeout bounds a question to the registry.
const askTimeout = time.Minute

// Release is a version of a package, as the registry has it.
type Release struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Dist    struct {
		Integrity string `json:"integrity"`
	} `json:"dist"`
}

// Find is that version of a package; the version may be a tag, such as latest.
func (r Registry) Find(ctx context.Context, name, version string) (Release, error) {
	found, err := r.find(ctx, name, version)
	if err != nil {
		return found, fmt.Errorf("ask npm's registry for %s of %s: %w", backend.Printable(version), backend.Printable(name), err)
	}
	return found, nil
}

func (r Registry) find(ctx context.Context, name, version string) (found Release, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	address, err := url.JoinPath(r.URL, name, version)
	if err != nil {
		return found, fmt.Errorf("registry %s: %w", backend.Printable(r.URL), err)
	}
	answer, err := r.get(ctx, address)
	if err != nil {
		return found, err
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxDescription))
	if err != nil {
		return found, fmt.Errorf("%w: %w", err, errdefs.ErrUnavailable)
	}
	if err := json.Unmarshal(data, &found); err != nil {
		return found, errors.Join(err, errdefs.ErrInvalidArgument)
	}
	if found.Name != name || found.Version == "" {
		return found, fmt.Errorf("it answers with %s: %w", backend.Printable(found.Name+"@"+found.Version), errdefs.ErrInvalidArgument)
	}
	return found, nil
}
