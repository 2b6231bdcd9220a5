// Package anthropic is a fake of the Anthropic API: for doctor, which has claude talk
// to it, for the offline tour and for tests. It speaks the Messages API as claude uses
// it, streaming or not, with tool use and failures, from a scenario of turns, and
// records what it was asked.
package anthropic
