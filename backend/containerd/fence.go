package containerd

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
)

// proveFence waits until the fence was tried from inside. The supervisor began
// when the neck opened.
func (l *launch) proveFence(ctx context.Context) error {
	_, err := l.supervisor.Fence(ctx)
	return err
}

// proof reads the proof of a bottle's fence; nil when there is none.
func (p places) proof() *backend.Fence {
	data, err := os.ReadFile(filepath.Join(p.state, backend.FenceFile))
	if err != nil {
		return nil
	}
	var proof backend.Fence
	if json.Unmarshal(data, &proof) != nil {
		return nil
	}
	return &proof
}
