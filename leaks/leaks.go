// Package leaks looks for secrets in what is about to leave: for the shapes that
// the rules of gitleaks know, and for values that the caller holds. It is a net
// for accidents: whoever wants to hide a secret from it can. What to do about a
// find is the caller's business, and no find holds the secret itself.
//
// The rules are gitleaks' own file, unchanged (gitleaks.toml, MIT licence);
// hack/gitleaks.sh fetches a newer one. Its detector is not used: it would bring
// a configuration framework along.
package leaks

import (
	"bytes"
	"math"
	"slices"
	"strings"
)

// Known is a value that must not leave.
type Known struct {
	// Name is what a find is called: where the value comes from.
	Name  string
	Value string
}

// minKnown is the length, in bytes, below which a value would be found by chance
// in many a text.
const minKnown = 8

// Detector finds secrets. It is safe for concurrent use.
type Detector struct {
	rules    []*rule
	general  allowlist
	known    []known
	keywords *keywords
}

type known struct {
	name      string
	spellings [][]byte
}

// NewDetector reads the rules. Values shorter than 8 bytes are not looked for.
func NewDetector(values []Known) (*Detector, error) {
	d := new(Detector)
	if err := d.readRules(); err != nil {
		return nil, err
	}
	for _, value := range values {
		if len(value.Value) < minKnown {
			continue
		}
		entry := known{name: value.Name}
		for _, spelling := range Spellings(value.Value) {
			entry.spellings = append(entry.spellings, []byte(spelling))
		}
		d.known = append(d.known, entry)
	}
	return d, nil
}

// Find returns the names of the rules and of the known values that are in the
// text, sorted, each once.
func (d *Detector) Find(text []byte) []string {
	var found []string
	for _, value := range d.known {
		if slices.ContainsFunc(value.spellings, func(spelling []byte) bool { return bytes.Contains(text, spelling) }) {
			found = append(found, value.name)
		}
	}
	present := d.keywords.in(text)
	for _, rule := range d.rules {
		if rule.path == nil && rule.isIn(text, present, d.general, nil) {
			found = append(found, rule.ID)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// allowComment in a line of a file says that what looks like a secret there is
// none: gitleaks' own mark.
var allowComment = []byte("gitleaks:allow")

// FindInFile is Find for what a file holds, without known values. Files that the
// rules excuse by their path, and lines that are marked by gitleaks:allow, hold
// nothing.
func (d *Detector) FindInFile(path string, text []byte) []string {
	var found []string
	present := d.keywords.in(text)
	for _, rule := range d.rules {
		// Paths are dear, and most rules never see their word.
		if !rule.mayBeIn(present) || rule.path != nil && !rule.path().MatchString(path) {
			continue
		}
		if rule.isIn(text, present, d.general, allowComment) && !rule.excusedPath(path) {
			found = append(found, rule.ID)
		}
	}
	if len(found) == 0 || d.general.excusesPath(path) {
		return nil
	}
	slices.Sort(found)
	return found
}

// mayBeIn says that one of the rule's words is in the text.
func (r *rule) mayBeIn(words [][]int) bool {
	return len(r.words) == 0 || slices.ContainsFunc(r.words, func(word int) bool { return len(words[word]) > 0 })
}

// isIn says that the rule matches something that no allow-list excuses, nor the
// mark on its line. It looks around its words alone, unless what it is made for
// has many lines.
func (r *rule) isIn(text []byte, words [][]int, general allowlist, mark []byte) bool {
	if !r.mayBeIn(words) {
		return false
	}
	if len(r.words) == 0 || r.lines {
		return r.matches(text, 0, len(text), general, mark)
	}
	var places []int
	for _, word := range r.words {
		places = append(places, words[word]...)
	}
	return slices.ContainsFunc(windows(text, places), func(window [2]int) bool {
		return r.matches(text, window[0], window[1], general, mark)
	})
}

// matches is isIn for one part of the text.
func (r *rule) matches(text []byte, from, to int, general allowlist, mark []byte) bool {
	pattern := r.pattern()
	for from <= to {
		part := text[from:to]
		at := pattern.FindSubmatchIndex(part)
		if at == nil {
			return false
		}
		match := string(part[at[0]:at[1]])
		secret := r.secret(part, at)
		around := line(text, from+at[0], from+at[1])
		marked := mark != nil && strings.Contains(around, string(mark))
		if !marked && (r.Entropy == 0 || entropy(secret) > r.Entropy) && !general.excuses(secret, match, "") && !r.excused(secret, match, around) {
			return true
		}
		from += max(at[1], at[0]+1)
	}
	return false
}

// secret is the part of a match that is the secret: the group that the rule
// names, or the first that holds something, or all of it.
func (r *rule) secret(text []byte, at []int) string {
	group := func(n int) string {
		if 2*n+1 >= len(at) || at[2*n] < 0 {
			return ""
		}
		return string(text[at[2*n]:at[2*n+1]])
	}
	if r.SecretGroup > 0 {
		return group(r.SecretGroup)
	}
	for n := 1; n < len(at)/2; n++ {
		if text := group(n); text != "" {
			return text
		}
	}
	return group(0)
}

// maxLine bounds the line around a match that an allow-list is asked about.
const maxLine = 4 << 10

func line(text []byte, from, to int) string {
	begin := bytes.LastIndexByte(text[:from], '\n') + 1
	end := bytes.IndexByte(text[to:], '\n')
	if end < 0 {
		end = len(text) - to
	}
	return string(text[max(begin, from-maxLine):min(to+end, to+maxLine)])
}

// entropy is Shannon's, in bits a byte.
func entropy(text string) float64 {
	var counts [256]int
	for i := range len(text) {
		counts[text[i]]++
	}
	bits := 0.0
	for _, count := range counts {
		if count > 0 {
			share := float64(count) / float64(len(text))
			bits -= share * math.Log2(share)
		}
	}
	return bits
}

func containsWord(text string, words []string) bool {
	lower := strings.ToLower(text)
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(lower, strings.ToLower(word)) })
}
