// Package archive moves file trees as tar streams: Pack writes one from a
// directory, Extract unpacks one below a directory, Deliver puts one in its place as
// cp would, whole or not at all, Sift passes one on, and a baseline says later what has
// changed. No end ever follows a symbolic link or leaves its directory, whatever the
// tree or the stream holds, for both may be hostile and the work is done by root. What
// goes into a stream, and who owns what comes out, is the caller's decision.
package archive
