package backend

import "time"

// Fence is the proof that a bottle's fence holds, tried from inside before claude
// is started.
type Fence struct {
	Time time.Time `json:"time"`
	// Denied is what was tried and refused, Allowed what was tried and answered.
	Denied  []string `json:"denied"`
	Allowed []string `json:"allowed"`
	// Micros is how long it took, in microseconds.
	Micros int64 `json:"us"`
}

// FenceFile is the name of the proof in a bottle's state directory.
const FenceFile = "fence.json"
