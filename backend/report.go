package backend

import "context"

// Denials are what a bottle was refused because no rule names it.
type Denials struct {
	Hosts []Denial `json:"hosts,omitempty"`
	// More counts refusals of hosts that are not listed.
	More int `json:"more,omitempty"`
}

// Denial is one host, with its port when a connection was asked for.
type Denial struct {
	Host  string `json:"host"`
	Port  uint16 `json:"port,omitempty"`
	Count int    `json:"count"`
}

// RefusedCredential is a secret that its upstream did not take.
type RefusedCredential struct {
	Route  string `json:"route"`
	Source string `json:"source"` // such as env:GITHUB_TOKEN
	Status int    `json:"status"` // of the upstream's answer
}

// Leak is what a request of a route held: a rule's name, or where a secret is from.
type Leak struct {
	Route   string `json:"route"`
	What    string `json:"what"`
	Blocked bool   `json:"blocked"`
}

// Report is what a bottle's end of the network has to say to its user.
type Report struct {
	Refused []RefusedCredential `json:"refused,omitempty"`
	Leaks   []Leak              `json:"leaks,omitempty"`
	Denials Denials             `json:"denials"`
	// Evicted is why the bottle was ended to spare the host; "" when it wasn't.
	Evicted string `json:"evicted,omitempty"`
}

// Reporter is a Bottle that can tell what became of its requests.
type Reporter interface {
	// Report is asked for while the bottle lives.
	Report(ctx context.Context) (Report, error)
}
