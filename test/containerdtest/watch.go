package containerdtest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// traces are the paths outside the daemon's directories that containers have
// had: cgroups, shim sockets, and what OCI runtimes know of them (as patterns).
type traces struct {
	cgroups map[string]bool
	sockets map[string]bool
	states  map[string]bool
}

// stateFiles are the files and directories of OCI runtimes that there are.
func (t traces) stateFiles() []string {
	var paths []string
	for pattern := range t.states {
		found, _ := filepath.Glob(pattern)
		paths = append(paths, found...)
	}
	return paths
}

// runcRoot is where runc keeps its state unless the record names another place.
// All daemons of a host share it.
const runcRoot = "/run/containerd/runc"

// watch listens to the daemon and notes the traces of every container that it
// ever had, so that they are looked for when the container is gone.
type watch struct {
	client  *containerd.Client
	address string
	cancel  context.CancelFunc
	done    chan struct{}

	mu     sync.Mutex
	traces traces
}

func newWatch(client *containerd.Client, address string) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{
		client: client, address: address, cancel: cancel, done: make(chan struct{}),
		traces: traces{cgroups: map[string]bool{}, sockets: map[string]bool{}, states: map[string]bool{}},
	}
	go w.run(ctx)
	return w
}

func (w *watch) close() {
	w.cancel()
	<-w.done
}

// run subscribes again whenever the daemon has been away.
func (w *watch) run(ctx context.Context) {
	defer close(w.done)
	for ctx.Err() == nil {
		w.listen(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (w *watch) listen(ctx context.Context) {
	envelopes, failed := w.client.EventService().Subscribe(ctx, `topic=="/containers/create"`)
	for {
		select {
		case <-ctx.Done():
			return
		case <-failed: //nolint:errcheck // the daemon has ended
			return
		case envelope := <-envelopes:
			event, err := typeurl.UnmarshalAny(envelope.Event)
			if err != nil {
				continue
			}
			if created, ok := event.(*events.ContainerCreate); ok {
				w.note(namespaces.WithNamespace(ctx, envelope.Namespace), envelope.Namespace, created.ID)
			}
		}
	}
}

func (w *watch) note(ctx context.Context, namespace, id string) {
	record, err := w.client.ContainerService().Get(ctx, id)
	w.mu.Lock()
	defer w.mu.Unlock()
	// As containerd's shims name their sockets.
	sum := sha256.Sum256([]byte(filepath.Join(w.address, namespace, id)))
	w.traces.sockets[fmt.Sprintf("/run/containerd/s/%x", sum)] = true
	if err != nil || record.Spec == nil {
		return
	}
	root := runcRoot
	var chosen options.Options
	if record.Runtime.Options != nil && typeurl.UnmarshalTo(record.Runtime.Options, &chosen) == nil && chosen.Root != "" {
		root = chosen.Root
	}
	w.traces.states[filepath.Join(root, namespace, id)] = true
	w.traces.states[filepath.Join(root, namespace, id+"_sandbox:*")] = true // runsc
	var spec specs.Spec
	if json.Unmarshal(record.Spec.GetValue(), &spec) == nil && spec.Linux != nil && spec.Linux.CgroupsPath != "" {
		w.traces.cgroups[spec.Linux.CgroupsPath] = true
	}
}

// seen returns a copy of what was noted.
func (w *watch) seen() traces {
	if w == nil {
		return traces{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return traces{cgroups: maps.Clone(w.traces.cgroups), sockets: maps.Clone(w.traces.sockets), states: maps.Clone(w.traces.states)}
}
