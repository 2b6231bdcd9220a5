package backend

// LabelPrefix begins every label of ours; nothing else is ever written.
const LabelPrefix = "claude-bottle.dev/"

// Labels of a bottle's record. No value is a secret.
const (
	LabelID            = LabelPrefix + "id"
	LabelAgent         = LabelPrefix + "agent"
	LabelBottle        = LabelPrefix + "bottle"
	LabelWish          = LabelPrefix + "wish" // WishUp or WishGone
	LabelPlan          = LabelPrefix + "plan" // digest
	LabelRuntime       = LabelPrefix + "runtime"
	LabelRuntimeReason = LabelPrefix + "runtime-reason"
	LabelImage         = LabelPrefix + "image"
	LabelVersion       = LabelPrefix + "version"  // of the record's form
	LabelRoots         = LabelPrefix + "roots"    // directories of state and of locks, with a colon between
	LabelDetached      = LabelPrefix + "detached" // "yes": lives without a client
	LabelHelps         = LabelPrefix + "helps"    // handle of whose work a helper bottle is for
)

// Labels of the names of images that were built.
const (
	LabelStep   = LabelPrefix + "build-step" // when a build has last needed this step
	LabelRecipe = LabelPrefix + "recipe"     // hash of the recipe or the Dockerfile, and of what it started from
	LabelClaude = LabelPrefix + "claude"     // version of claude that the recipe puts in
)

// Values of LabelWish.
const (
	WishUp   = "up"
	WishGone = "gone"
)

// RecordVersion is the newest form of a record that this program knows. A
// record of a newer form is listed, and otherwise left alone.
const RecordVersion = "1"
