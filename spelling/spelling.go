// Package spelling finds the word that was meant by one that was mistyped. Which words
// there are, and what is said of it, is decided elsewhere.
package spelling

import (
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest is the known word that a typing error could have come from, with up to half of
// its letters wrong, or "".
func Nearest(word string, known []string) string { return Within(word, known, len(word)/2) }

// Within is Nearest with up to so many letters wrong.
func Within(word string, known []string, most int) string {
	best, bestDistance := "", most+1
	for _, candidate := range known {
		if distance := levenshtein.Distance(strings.ToLower(word), strings.ToLower(candidate), nil); distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}
