package backend

import "context"

// Location is a bottle and where it keeps what is its own.
type Location struct {
	Status
	// Run holds the sockets of a bottle that is held, State what outlives it.
	Run   string
	State string
}

// Held says that a supervisor stands behind the bottle.
func (l Location) Held() bool {
	return l.Phase == PhaseStarting || l.Phase == PhaseRunning || l.Phase == PhaseStopping
}

// Locator is a Backend that can say where bottles keep their own.
type Locator interface {
	// Locate finds a bottle by its name, or kept work by its handle. One that
	// is not there is a NotFound error.
	Locate(ctx context.Context, name string) (Location, error)
}
