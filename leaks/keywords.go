package leaks

import "slices"

// keywords finds which of many words are in a text, in one pass over it (the
// automaton of Aho and Corasick). ASCII letters match in both cases.
type keywords struct {
	words []string
	// class maps bytes to columns of the table; all bytes that are in no word
	// share column 0.
	class   [256]uint8
	columns int
	next    []uint16  // state × columns + class
	ends    [][]int32 // words that end in a state
	// steps is next as it is walked: places in itself instead of states, and a
	// bit for states in which words end.
	steps  []uint32
	follow []int // what of tails holds for each word
}

// tails are words so short that they are in every text: how many letters, digits,
// _ and - follow them in what their rules look for.
var tails = map[string]int{"ey": 17, "s.": 24, "sk": 32}

// newKeywords takes words in lower case, at most as many as fit 65,535 letters.
func newKeywords(words []string) *keywords {
	k := &keywords{words: words, columns: 1}
	for _, word := range words {
		for _, letter := range []byte(word) {
			if k.class[letter] == 0 {
				k.class[letter] = uint8(k.columns)
				k.columns++
			}
		}
	}
	for letter := byte('a'); letter <= 'z'; letter++ {
		k.class[letter-'a'+'A'] = k.class[letter]
	}
	k.addState()
	for i, word := range words {
		state := 0
		for _, letter := range []byte(word) {
			at := state*k.columns + int(k.class[letter])
			if k.next[at] == 0 {
				k.next[at] = k.addState()
			}
			state = int(k.next[at])
		}
		k.ends[state] = append(k.ends[state], int32(i))
	}
	k.link()
	for _, state := range k.next {
		step := uint32(int(state) * k.columns)
		if len(k.ends[state]) > 0 {
			step |= ending
		}
		k.steps = append(k.steps, step)
	}
	for _, word := range words {
		k.follow = append(k.follow, tails[word])
	}
	return k
}

func (k *keywords) addState() uint16 {
	k.next = append(k.next, make([]uint16, k.columns)...)
	k.ends = append(k.ends, nil)
	return uint16(len(k.ends) - 1)
}

// link fills in where a state goes for letters that no word has there: to where
// its longest proper suffix would go.
func (k *keywords) link() {
	suffix := make([]uint16, len(k.ends))
	var queue []int
	for _, state := range k.next[:k.columns] {
		if state != 0 {
			queue = append(queue, int(state))
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		state := queue[0]
		shorter := int(suffix[state])
		k.ends[state] = append(k.ends[state], k.ends[shorter]...)
		for column := range k.columns {
			at, other := state*k.columns+column, k.next[shorter*k.columns+column]
			if k.next[at] == 0 {
				k.next[at] = other
				continue
			}
			suffix[k.next[at]] = other
			queue = append(queue, int(k.next[at]))
		}
	}
}

// ending is the bit in steps.
const ending = 1 << 31

// in returns for each word the places in the text where it ends.
func (k *keywords) in(text []byte) [][]int {
	found := make([][]int, len(k.words))
	var at uint32
	for i, letter := range text {
		at = k.steps[at+uint32(k.class[letter])]
		if at&ending == 0 {
			continue
		}
		at &^= ending
		for _, word := range k.ends[int(at)/k.columns] {
			if isToken(text[i+1:], k.follow[word]) {
				found[word] = append(found[word], i+1)
			}
		}
	}
	return found
}

// isToken says that the text begins with so many letters of a token.
func isToken(text []byte, length int) bool {
	if len(text) < length {
		return false
	}
	for _, letter := range text[:length] {
		if !tokenLetter(letter) {
			return false
		}
	}
	return true
}

func tokenLetter(letter byte) bool {
	return letter >= 'a' && letter <= 'z' || letter >= 'A' && letter <= 'Z' || letter >= '0' && letter <= '9' || letter == '_' || letter == '-'
}

// Around a keyword a rule looks at so much of the text, and to the end of the
// token that the limit falls into.
const (
	before = 256
	after  = 1024
	token  = 64 << 10
)

// windows are the parts of the text around places, in order, none overlapping.
func windows(text []byte, places []int) [][2]int {
	slices.Sort(places)
	var list [][2]int
	for _, place := range places {
		if len(list) > 0 && list[len(list)-1][1] >= place+after {
			continue
		}
		from, to := max(0, place-before), min(len(text), place+after)
		for least := max(0, from-token); from > least && tokenByte(text[from-1]); {
			from--
		}
		for most := min(len(text), to+token); to < most && tokenByte(text[to]); {
			to++
		}
		if len(list) > 0 && list[len(list)-1][1] >= from {
			list[len(list)-1][1] = to
			continue
		}
		list = append(list, [2]int{from, to})
	}
	return list
}

// tokenByte says that a window must not end at that byte: it is in the middle of
// something long.
func tokenByte(letter byte) bool {
	return tokenLetter(letter) || letter == '.' || letter == '/' || letter == '+' || letter == '='
}

// number returns the place of a word in the list, and adds it.
func number(words *[]string, word string) int {
	if at := slices.Index(*words, word); at >= 0 {
		return at
	}
	*words = append(*words, word)
	return len(*words) - 1
}
