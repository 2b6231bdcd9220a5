package backend

// EgressMode says what happens to a host that no rule names.
type EgressMode string

// The modes: deny, the default, refuses it; open lets every public host through
// on the ports of the web; ask holds it until the user has answered.
const (
	EgressDeny EgressMode = "deny"
	EgressOpen EgressMode = "open"
	EgressAsk  EgressMode = "ask"
)

// Egress says which hosts a bottle may reach.
type Egress struct {
	Mode EgressMode `yaml:"mode,omitempty" json:"mode,omitempty" jsonschema:"enum=deny,enum=open,enum=ask,description=What happens to hosts that no rule names: deny (the default) or open or ask."`
	// AskTimeout is how long a held host waits, as in 60s.
	AskTimeout string         `yaml:"askTimeout,omitempty" json:"askTimeout,omitempty" jsonschema:"description=How long mode ask waits for an answer before it denies.,example=60s"`
	Allow      []string       `yaml:"allow,omitempty" json:"allow,omitempty" jsonschema:"description=host or *.suffix or host:port or ssh://host"`
	Presets    []string       `yaml:"presets,omitempty" json:"presets,omitempty" jsonschema:"description=Lists of hosts that ship with the program: npm or pypi or go or debian and others."`
	Private    []PrivateRange `yaml:"private,omitempty" json:"private,omitempty" jsonschema:"description=Hosts that may resolve to addresses that are not public; each must be allowed too."`
}

// PrivateRange lets one allowed host resolve into one range of addresses that is
// else refused.
type PrivateRange struct {
	Host  string `yaml:"host" json:"host" jsonschema:"required,description=An allowed host or *.suffix"`
	Range string `yaml:"range" json:"range" jsonschema:"required,description=A range of addresses in CIDR form,example=10.1.0.0/16"`
}

// PlanAsk says that hosts which no rule names are held until the user answers.
type PlanAsk struct {
	Ports []uint16 `json:"ports"`
	// Timeout is how long, as time.ParseDuration reads it; then they are denied.
	Timeout string `json:"timeout"`
}
