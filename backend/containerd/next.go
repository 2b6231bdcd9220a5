package containerd

// wish is what a bottle should come to.
type wish int

const (
	wishUp   wish = iota // running, provisioned, ready for claude
	wishGone             // nothing left but kept work
)

// seen is what is there of one bottle. Nothing is remembered that could not be
// observed again.
type seen struct {
	record      bool
	supervisor  bool
	snapshot    bool
	task        taskPhase
	neck        bool
	fence       bool // proved from inside
	provisioned bool
	leftovers   bool // processes, cgroups, mounts outside containerd's books
	state       bool // directory, with nothing in it worth keeping
	run         bool // directory
	marked      bool // the record says that the bottle is to go
	unsynced    bool // its work may not be on the disk yet
}

// done notes that a step has succeeded.
func (s *seen) done(done step) {
	switch done {
	case stepSupervise:
		s.supervisor = true
	case stepSnapshot:
		s.snapshot = true
	case stepCreate:
		s.task = taskCreated
	case stepStart:
		s.task = taskRunning
	case stepProvision:
		s.provisioned = true
	case stepNeck:
		s.neck = true
	case stepFence:
		s.fence = true
	case stepMark:
		s.marked = true
	case stepKill:
		s.task, s.neck, s.fence = taskAbsent, false, false
	case stepSweep:
		s.leftovers = false
	case stepSync:
		s.unsynced = false
	case stepUnsnapshot:
		s.snapshot = false
	case stepForget:
		s.record = false
	case stepState:
		s.state = false
	case stepRun:
		s.run = false
	}
}

// onlyState says that there is nothing of the bottle but its state directory.
func (s seen) onlyState() bool {
	return s.state && !s.record && !s.snapshot && !s.leftovers && !s.run && s.task == taskAbsent
}

type taskPhase int

const (
	taskAbsent taskPhase = iota
	taskCreated
	taskRunning
	taskStopped
)

// step is one thing to do. Each is idempotent.
type step string

// The steps up, then the steps down.
const (
	stepSupervise  step = "start supervisor"
	stepSnapshot   step = "prepare snapshot"
	stepCreate     step = "create task"
	stepStart      step = "start task"
	stepProvision  step = "provision"
	stepNeck       step = "open neck"
	stepFence      step = "prove fence"
	stepMark       step = "mark record"
	stepKill       step = "remove task"
	stepSweep      step = "remove leftovers"
	stepSync       step = "sync work"
	stepUnsnapshot step = "remove snapshot"
	stepForget     step = "remove record"
	stepState      step = "remove state directory"
	stepRun        step = "remove run directory"
)

// next names the steps that may be done now, and at the same time. None means
// that the wish is fulfilled. It is pure: the whole life of a bottle can be read
// here.
func next(w wish, s seen) []step {
	if w == wishGone {
		return nextDown(s)
	}
	return nextUp(s)
}

func nextUp(s seen) []step {
	var steps []step
	if !s.supervisor {
		steps = append(steps, stepSupervise)
	}
	if !s.provisioned {
		// The places of a bottle are bound directories, seen inside at
		// once: nothing has to wait for the files but claude.
		steps = append(steps, stepProvision)
	}
	switch {
	case !s.snapshot:
		steps = append(steps, stepSnapshot)
	case s.task == taskAbsent:
		steps = append(steps, stepCreate)
	case s.task == taskCreated:
		steps = append(steps, stepStart)
	case s.supervisor && !s.neck:
		steps = append(steps, stepNeck)
	case s.neck && !s.fence:
		steps = append(steps, stepFence)
	}
	return steps
}

func nextDown(s seen) []step {
	switch {
	case s.record && !s.marked:
		return []step{stepMark}
	case s.task != taskAbsent:
		return []step{stepKill}
	case s.leftovers:
		return []step{stepSweep}
	case s.unsynced && (s.snapshot || s.record):
		// Nobody writes any more, and nothing is deleted yet.
		return []step{stepSync}
	case s.snapshot:
		return []step{stepUnsnapshot}
	case s.record:
		return []step{stepForget}
	case s.state:
		return []step{stepState}
	case s.run:
		// It holds the lock, which keeps others away up to here.
		return []step{stepRun}
	default:
		return nil
	}
}
