// Package sshagent is the host end of a bottle's SSH agent. It holds just the
// keys that the bottle file names, and signs with each for one thing only: to log
// in as the entry's user, in a session whose identifier the entry's host has
// signed with its pinned key. Who asks is taken for hostile.
package sshagent
