// Package farend gives a test the whole internet on one machine: a network
// namespace for the program under test, whose one route leads to a second one
// that has every address there is. What arrives there is written down, byte for
// byte, and so is every packet on the wire, so that a test can say what left a
// bottle without asking the bottle. No program imports it.
package farend
