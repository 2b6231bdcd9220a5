package runtime

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	shimoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/typeurl/v2"
)

// The shims that we know. gVisor's own is used by explicit choice only: where
// CAP_SYS_RESOURCE is missing the stock one can't start, and it loses tasks when
// they are paused.
const (
	ShimRunc  = "io.containerd.runc.v2"
	ShimRunsc = "io.containerd.runsc.v1"
)

// candidate is one row of what a bottle may run on. Another runtime is another
// row.
type candidate struct {
	policy backend.RuntimePolicy
	binary string // file name
	// sandboxed says that the agent has no way to the host's kernel: the
	// probe must see gVisor. What is not sandboxed needs an explicit word.
	sandboxed bool
	// version checks what `binary --version` says, or is nil for a binary
	// whose version means nothing.
	version func(output string) (string, error)
}

var candidates = []candidate{
	{policy: backend.RuntimeGVisor, binary: "runsc", sandboxed: true},
	{policy: backend.RuntimeRunc, binary: "runc", version: runcVersion},
}

// Handle is how the daemon is told which runtime to use.
type Handle struct {
	Name   string `json:"name"` // gvisor or runc
	Shim   string `json:"shim"`
	Binary string `json:"binary"` // absolute
	// ContainerType says that the shim needs the annotation that calls the
	// container a sandbox.
	ContainerType bool `json:"containerType,omitempty"`
	config        string
	planned       string // what Binary was when it was chosen
}

// MapsUsers says that the shim can give a container a user namespace: gVisor's
// own does not know mapped snapshots.
func (h Handle) MapsUsers() bool { return h.Shim == ShimRunc }

// options are what the shim wants.
func (h Handle) options(root string) (typeurl.Any, error) {
	var value any = &runcoptions.Options{BinaryName: h.Binary, Root: filepath.Join(root, h.Name)}
	if h.ContainerType {
		value = &shimoptions.Options{TypeUrl: "io.containerd.runsc.v1.options", ConfigPath: h.config}
	}
	encoded, err := typeurl.MarshalAny(value)
	if err != nil {
		return nil, fmt.Errorf("encode runtime options: %w", err)
	}
	return encoded, nil
}

// handle completes a candidate whose binary was found.
func (c *Client) handle(row candidate, binary, shim string) (Handle, error) {
	h := Handle{Name: string(row.policy), Shim: ShimRunc, Binary: binary}
	if shim == "" || shim == ShimRunc || !row.sandboxed {
		return h, nil
	}
	h.Shim, h.ContainerType = shim, true
	h.config = filepath.Join(c.options.Root, "runsc.toml")
	text := fmt.Sprintf("binary_name = %q\nroot = %q\n", binary, filepath.Join(c.options.RuntimeRoot, h.Name))
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		return h, fmt.Errorf("write shim configuration: %w", err)
	}
	return h, nil
}
