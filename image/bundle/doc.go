// Package bundle knows the files that images come in: archives of the OCI and of
// docker, layout directories, and plain tars of a root file system, packed or not.
// It tells them apart, and reads all of them as what they are, somebody else's:
// within bounds, and without following anything that they hold.
package bundle
