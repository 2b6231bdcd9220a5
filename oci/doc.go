// Package oci writes the OCI runtime spec of a bottle, and checks every spec
// before it is used. It is pure: what depends on the host, its kernel and its
// limits stands in the Input. Which runtime a bottle gets, and where its
// directories are, is decided elsewhere.
package oci
