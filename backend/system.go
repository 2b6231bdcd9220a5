package backend

import (
	"context"
	"io"
)

// Lister is an Inside that can say what the root file system of its bottle holds.
type Lister interface {
	// List writes that as archive.ReadListing reads it.
	List(ctx context.Context, w io.Writer) error
}

// Pristiner is a Keeper that can bring up a bottle as one was at its beginning.
type Pristiner interface {
	// Pristine brings up a bottle of the image that did this work, in which
	// nothing has run yet. The caller closes it.
	Pristine(ctx context.Context, work *Work) (Inside, error)
}
