// Package egress decides what a bottle may reach and does the reaching, all on
// the host: rules and names, dialing with the checks that follow resolution, the
// credential gateway for the Anthropic API, and the audit log. It knows nothing
// of how a request came out of the bottle.
package egress
