// Package credentials finds what a registry asks of a user: in the configuration
// file that docker, podman and others log in to, or by the credential helpers that
// it names. It reads, and never writes.
package credentials
