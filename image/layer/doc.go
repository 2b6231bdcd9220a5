// Package layer makes a layer of an image out of what differs between two file
// systems: the same bytes whoever built it and when, and nothing in it that an image
// of a bottle has no use for. It is pure: tar stream in, tar stream out.
package layer
