//go:build !amd64

package main

// ofMachine are calls that only this architecture has.
func ofMachine() []raw { return nil }
