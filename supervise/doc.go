// Package supervise is the process that stays with one bottle on the host: it
// holds the bottle's lock, the host end of the neck, the egress policy with its
// credential gateway, and the control socket that other commands talk to. When
// the client that launched an ephemeral bottle is gone, it takes the bottle down.
// How a bottle is taken down it does not know: that is its Sandbox. The package
// holds both ends: Run is the process, Start and Client are what the CLI uses.
package supervise
