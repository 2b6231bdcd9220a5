// Package debian makes the root file system of a suite of Debian's: it gets the smallest
// set of packages with apt in it from a mirror, checks each up to a signature by Debian's
// keys, which ship, and merges their files into one tar, with the books of dpkg beside
// them. It runs nothing of a package: they are configured where the tar is unpacked.
package debian
