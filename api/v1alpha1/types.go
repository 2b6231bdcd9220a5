package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What stands under apiVersion and kind.
const (
	Group      = "claude-bottle.dev"
	Version    = "v1alpha1"
	APIVersion = Group + "/" + Version
	Kind       = "Bottle"
	ListKind   = "BottleList"
	// Resource is what a Bottle is called beside its name: bottle.claude-bottle.dev/NAME.
	Resource = "bottle." + Group
)

// Bottle is one claude in an isolated environment.
type Bottle struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   BottleSpec   `json:"spec"`
	Status BottleStatus `json:"status,omitzero"`
}

// BottleList is several of them.
type BottleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Bottle `json:"items"`
}

// BottleSpec is what a user wishes of a bottle. Of a bottle that is there only
// ttlSecondsAfterFinished may change.
type BottleSpec struct {
	Agent            string    `json:"agent" jsonschema:"description=Agent file that the bottle is started with."`
	Bottle           string    `json:"bottle,omitempty" jsonschema:"description=Bottle file to use instead of the agent's own. It must list the directory that apply is called in under projects."`
	Image            string    `json:"image,omitempty" jsonschema:"description=Image reference (default: the bottle file's)."`
	RuntimeClassName string    `json:"runtimeClassName,omitempty" jsonschema:"enum=auto,enum=gvisor,enum=runc,description=OCI runtime (default: the bottle file's or else auto: gVisor and nothing weaker)."`
	Prompt           string    `json:"prompt,omitempty" jsonschema:"description=What claude is to do without a terminal. Without a prompt claude gets a terminal and waits for an attach."`
	Args             []string  `json:"args,omitempty" jsonschema:"description=More arguments for claude."`
	Workspace        Workspace `json:"workspace,omitzero" jsonschema:"description=What the workspace holds at the start; nothing by default."`

	RestartPolicy           RestartPolicy `json:"restartPolicy,omitempty" jsonschema:"enum=Never,enum=OnFailure,enum=Always,default=Never,description=When claude is started again once it has ended."`
	ActiveDeadlineSeconds   *int64        `json:"activeDeadlineSeconds,omitempty" jsonschema:"minimum=1,description=The bottle ends after so long whatever claude does."`
	IdleTimeoutSeconds      *int64        `json:"idleTimeoutSeconds,omitempty" jsonschema:"minimum=1,description=The bottle ends when nothing happened in it for so long."`
	TTLSecondsAfterFinished *int64        `json:"ttlSecondsAfterFinished,omitempty" jsonschema:"minimum=0,description=The finished bottle is removed after so long unless it holds unsaved work (default: never)."`

	Resources Resources `json:"resources,omitzero" jsonschema:"description=Limits of the bottle."`
	Lease     *Lease    `json:"lease,omitempty" jsonschema:"description=For bottles of a cluster only: the bottle ends when its client renews no lease."`
}

// Workspace is a directory of the host that is copied into the bottle.
type Workspace struct {
	Path           string `json:"path,omitempty" jsonschema:"description=Directory of this host; a relative one counts from the file that it stands in."`
	IncludeIgnored bool   `json:"includeIgnored,omitempty" jsonschema:"description=Copy what git ignores too."`
	IncludeSecrets bool   `json:"includeSecrets,omitempty" jsonschema:"description=Copy what looks like a secret too."`
}

// RestartPolicy says when claude is started again once it has ended.
type RestartPolicy string

// The policies, as those of a pod.
const (
	RestartNever     RestartPolicy = "Never"
	RestartOnFailure RestartPolicy = "OnFailure"
	RestartAlways    RestartPolicy = "Always"
)

// ResourceName is what is limited.
type ResourceName string

// What can be limited.
const (
	ResourceCPU    ResourceName = "cpu"
	ResourceMemory ResourceName = "memory"
)

// Resources are the limits of one bottle, written as those of a container.
type Resources struct {
	Limits map[ResourceName]resource.Quantity `json:"limits,omitempty" jsonschema:"description=cpu and memory."`
}

// Lease ends a bottle whose client is gone. Only a cluster needs one.
type Lease struct {
	DurationSeconds int64 `json:"durationSeconds" jsonschema:"minimum=1"`
}

// Types of the conditions of a Bottle.
const (
	// ConditionReady says that claude runs.
	ConditionReady = "Ready"
	// ConditionFinished says that claude has ended and is not started again.
	ConditionFinished = "Finished"
	// ConditionCredentialsMissing says that the bottle was lost together with secrets that
	// only its user can bring again, and waits for that.
	ConditionCredentialsMissing = "CredentialsMissing"
	// ConditionWorkSaved says that no work of the bottle is nowhere else.
	ConditionWorkSaved = "WorkSaved"
)

// BottleStatus is what is seen of a bottle.
type BottleStatus struct {
	// Phase is in one word where the bottle is in its life.
	Phase      string             `json:"phase,omitempty"`
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Handle is what other verbs call the bottle: its name, or NAME@SUFFIX once only its
	// work is left.
	Handle   string `json:"handle,omitempty"`
	Runtime  string `json:"runtime,omitempty"`
	Image    string `json:"image,omitempty"` // with its digest
	ExitCode *int32 `json:"exitCode,omitempty"`
	Restarts int32  `json:"restarts"`
	// StartTime and FinishTime are those of claude, the restarts included.
	StartTime   *metav1.Time `json:"startTime,omitempty"`
	FinishTime  *metav1.Time `json:"finishTime,omitempty"`
	Egress      *Egress      `json:"egress,omitempty"`
	UnsavedWork *UnsavedWork `json:"unsavedWork,omitempty"`
	Message     string       `json:"message,omitempty"`
}

// Egress counts the connections that the bottle has asked for.
type Egress struct {
	Allowed int64 `json:"allowed"`
	Denied  int64 `json:"denied"`
}

// UnsavedWork is work that is nowhere else.
type UnsavedWork struct {
	Files   int64    `json:"files"`
	Commits int64    `json:"commits"` // by the bottle's own word; -1 when nobody has counted them
	Refs    []string `json:"refs,omitempty"`
	Summary string   `json:"summary,omitempty"`
}
