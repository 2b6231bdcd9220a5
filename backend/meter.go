package backend

import (
	"context"
	"time"
)

// Usage is what a bottle takes of its host at one moment. Under gVisor it is what the
// whole sandbox takes.
type Usage struct {
	Time time.Time
	// CPUTime is that of all processors together since the launch.
	CPUTime time.Duration
	// MemoryBytes leaves out what the host can have back at once; MemoryLimitBytes is
	// 0 without a limit.
	MemoryBytes      int64
	MemoryLimitBytes int64
	// Tasks are processes and threads of the host.
	Tasks int64
}

// Meter is a Backend that can say what bottles take of their host.
type Meter interface {
	// Usage looks at a bottle that runs. One that can't be seen is a NotFound error.
	Usage(ctx context.Context, id ID) (Usage, error)
}
