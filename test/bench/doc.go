// Package bench compares claude-bottle with what else does the same work, in
// pairs that run in turn on one machine: A B A B. It prints ratios of medians, for
// absolute times say more about the machine than about the program. Nothing here
// fails for being slow.
package bench
