// Package change tells how the files of a bottle differ from what went in, or from
// those of another bottle, shows the difference, and puts it onto a directory of the
// user's after a review. No program of the host runs in a bottle's directory, and
// nothing in there is followed.
package change
