// Package v1alpha1 is the Bottle as a resource: the types that a file given to
// apply -f holds and that get prints, in the words of Kubernetes, so that a cluster
// takes the same file. It holds the types, their copies, strict decoding, and what is
// valid everywhere. What a Bottle means on this host, and how one is shown, is in
// resources; nothing of this program is imported here.
package v1alpha1
