// Package e2e runs the claude-bottle binary as a user does, on a PTY and
// without one, with the real claude, a real containerd, gVisor and runc, against
// the fake Anthropic API. It holds tests and what they share, nothing else.
package e2e
