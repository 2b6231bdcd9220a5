// Package pattern has regular expressions that are compiled when they are used. The
// program starts anew for each supervisor and each command, and most of them use none.
package pattern

import (
	"regexp"
	"sync"
)

// Lazy is the expression of that text, compiled at its first use.
func Lazy(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}
