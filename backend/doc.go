// Package backend is the vocabulary of claude-bottle and the contract that a
// backend keeps: what a user wishes (Spec), what would be done (Plan), what is
// left over (CleanupPlan), what runs (Status, Bottle), and the interfaces
// between them. It holds plain data and small pure functions only; it knows no
// containerd, opens no file and starts no process. The ways of doing it live in
// the folders below it, one a backend.
package backend
