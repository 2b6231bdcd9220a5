package backend

import (
	"context"
	"io"
	"time"
)

// Image is an image in the local store.
type Image struct {
	Name      string `json:"name"`
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Platform  string `json:"platform,omitempty"`
	// Size is what it takes packed, in bytes, layers that it shares included.
	Size     int64     `json:"size"`
	Created  time.Time `json:"created"` // in this store
	Unpacked bool      `json:"unpacked"`
	// Step says that it is a step of a build, kept so that the next one need not make it.
	Step bool `json:"buildStep,omitempty"`
	// Recipe is a hash of what it was built of, "" if it was not built here.
	Recipe string `json:"recipe,omitempty"`
	// Claude is the version of the claude in it, as far as that is known without asking it.
	Claude string `json:"claude,omitempty"`
	// Users are who would miss it.
	Users []ImageUser `json:"usedBy,omitempty"`
	// Problem says why it can't be used.
	Problem string `json:"problem,omitempty"`
}

// Pinned is the name with the digest.
func (i Image) Pinned() string {
	return PlanImage{Reference: i.Name, Digest: i.Digest}.Pinned()
}

// ImageUse is a way of using an image.
type ImageUse string

// The uses of an image.
const (
	UseBottle    ImageUse = "bottle"    // runs from it
	UseKept      ImageUse = "kept"      // its work needs it to go on, and to be looked at
	UseContainer ImageUse = "container" // somebody else's, in the same namespace
	UseFile      ImageUse = "file"      // a bottle file names it
	UseDefault   ImageUse = "default"   // bottles get it whose file names none
	UseBuild     ImageUse = "build"     // builds go on from it
)

// ImageUser is one who would miss an image.
type ImageUser struct {
	Use  ImageUse `json:"use"`
	Name string   `json:"name"`
}

// ImageDetail is all that is known of an image.
type ImageDetail struct {
	Image

	Layers []ImageLayer `json:"layers"`
	// Config is what the image says of itself.
	Config ImageConfig `json:"config"`
	// Taken is what a bottle takes of that.
	Taken ImageTaken `json:"taken"`
}

// ImageLayer is one layer, lowest first.
type ImageLayer struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`
	DiffID    string `json:"diffID,omitempty"` // digest of the unpacked tar
}

// ImageConfig is what an image says of itself. It is nobody's wish.
type ImageConfig struct {
	Created      *time.Time          `json:"created,omitempty"`
	Author       string              `json:"author,omitempty"`
	User         string              `json:"user,omitempty"`
	Env          []string            `json:"env,omitempty"`
	Entrypoint   []string            `json:"entrypoint,omitempty"`
	Command      []string            `json:"command,omitempty"`
	Directory    string              `json:"directory,omitempty"`
	Labels       map[string]string   `json:"labels,omitempty"`
	Volumes      map[string]struct{} `json:"volumes,omitempty"`
	ExposedPorts map[string]struct{} `json:"exposedPorts,omitempty"`
	StopSignal   string              `json:"stopSignal,omitempty"`
}

// ImageTaken is what a bottle takes of an image, and what it leaves.
type ImageTaken struct {
	Platform string   `json:"platform"`
	Layers   int      `json:"layers"`
	Ignored  []string `json:"ignored"`
}

// ImagePull says what to pull.
type ImagePull struct {
	Reference string
	// MaxSize bounds it, packed and unpacked; 0 is DefaultImageSize.
	MaxSize int64
}

// DefaultImageSize is how large an image may be unless the user says otherwise.
const DefaultImageSize = 32 << 30

// ImageImport says what to import.
type ImageImport struct {
	// Archive is the stream, or else Directory an image layout.
	Archive   io.Reader
	Directory string
	// Name is what the image is called; "" takes what the archive says.
	Name string
	// Files says that it is a tar of a root file system, whatever it looks like.
	Files bool
	// Replace lets names that the archive says be taken from images that have them.
	Replace bool
	// Recipe is a hash of what Name's image was built of, which its name remembers.
	Recipe  string
	MaxSize int64
	// Size is how long the stream is, for the progress; 0 while unknown.
	Size int64
}

// ImageRemove says what to remove.
type ImageRemove struct {
	Reference string
	// Digest is what it must be; "" takes it as it is. Another is a NotFound error.
	Digest string
	// Force takes the name away from an image that somebody uses.
	Force bool
}

// ImageRemoval is what removing a name has done.
type ImageRemoval struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	// Others are further names of the same image, which keep it here.
	Others []string `json:"others,omitempty"`
	// Users are those who use it all the same.
	Users []ImageUser `json:"usedBy,omitempty"`
	Freed int64       `json:"freed"` // bytes, of packed layers and unpacked ones
}

// Transfers are what pulls and imports have left that were cut.
type Transfers struct {
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"`
}

// ImageKeeper is a Backend that has images.
type ImageKeeper interface {
	// Images lists them by name. An image that can't be read is listed with its
	// problem.
	Images(ctx context.Context) ([]Image, error)
	// InspectImage finds one by its name, or by name and digest.
	InspectImage(ctx context.Context, reference string) (*ImageDetail, error)
	// TagImage gives an image a further name.
	TagImage(ctx context.Context, source, target string) (Image, error)
	// RemoveImage takes a name away, and with the last one the image. What
	// somebody uses is a Conflict error unless forced.
	RemoveImage(ctx context.Context, wish ImageRemove) (ImageRemoval, error)
}

// ImageCarrier is a Backend that images come to and go from.
type ImageCarrier interface {
	// PullImage fetches an image from its registry, and goes on where a pull
	// that was cut has stopped.
	PullImage(ctx context.Context, wish ImagePull) (Image, error)
	// ImportImage takes what a file has.
	ImportImage(ctx context.Context, wish ImageImport) ([]Image, error)
	// ExportImage writes an archive of an image, of this host's platform.
	ExportImage(ctx context.Context, reference string, w io.Writer) error
	// Transfers tells what was cut, and DropTransfers removes it.
	Transfers(ctx context.Context) (Transfers, error)
	DropTransfers(ctx context.Context) (Transfers, error)
}

// Part is one piece of a transfer.
type Part struct {
	Name        string // short, of the piece's digest
	Done, Total int64  // bytes
	Ended       bool
}

// PartProgress is a Progress that wants to know of each piece.
type PartProgress interface {
	Progress
	// Parts says how far each piece has come, in an order that stays.
	Parts(name string, parts []Part)
}
