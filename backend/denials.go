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

// Denied is a Bottle that can say what it was refused so far.
type Denied interface {
	Denials(ctx context.Context) (Denials, error)
}
