// Package fetch brings what a bottle has committed, and what it has not, into a
// repository of the user's: as objects that git has checked and refs below
// refs/bottle/NAME/, and nothing else. Git inside packs them and is not believed;
// the host's git runs in the user's repository alone.
package fetch
