// Package containerd is the backend that talks to a containerd socket. It turns
// a Spec into a Plan, and keeps bottles by one loop: what is wished is on the
// containerd record, what is there is observed, next names the steps that lead
// from one to the other, and the same steps serve launch, teardown, crash
// recovery and cleanup. The containerd client itself is in package runtime, the
// process that stays with a bottle in package supervise.
package containerd
