// Package manifest reads what users write: agent and bottle files, Markdown with
// YAML front matter, and the host's own configuration. It is strict, it merges
// what extends what, and it keeps the line between the files of the user's home
// directory, which may grant, and those of a repository, which may not. What the
// words mean for a running bottle is decided elsewhere.
package manifest
