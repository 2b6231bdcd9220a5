//go:build !amd64 && !arm64

package main

import "time"

// ofMachine are calls that only this architecture has.
func ofMachine() []raw { return nil }

// compatBound is when an answer is given up.
const compatBound = time.Second

// compat is the 32-bit way in, where there is one.
func compat([]string) {}
