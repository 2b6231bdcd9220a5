// Package work is what a bottle has made: what of it is unsaved, its refs, copies of
// its files, and what it has changed of its image. How it comes home to a repository
// is package fetch, how it comes home as files is package change; both share the
// books of package ledger. What lies in a bottle's directories is hostile: it is read
// through os.Root or descriptors, and no program of the host ever runs in there.
package work
