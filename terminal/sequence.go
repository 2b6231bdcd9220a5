package terminal

import (
	"slices"
	"strconv"
	"strings"
)

// drawing are the final bytes of plain CSI sequences that move, erase and
// colour.
const drawing = "@ABCDEFGHIJKLMPSTXZ`abdefgmrsu"

// privateModes are those that a program may set: the cursor, the alternate
// screen, mouse, focus, paste, synchronised output and colour-scheme reports.
var privateModes = []int{1, 7, 12, 25, 47, 1000, 1002, 1003, 1004, 1006, 1007, 1047, 1048, 1049, 2004, 2026, 2027, 2031}

// allowedControl judges a CSI sequence, given without its introducer, and notes
// what it changes.
func (f *Filter) allowedControl(body []byte) bool {
	final := body[len(body)-1]
	parameters := string(body[:len(body)-1])
	prefix := byte(0)
	if parameters != "" && strings.IndexByte("<=>?", parameters[0]) >= 0 {
		prefix, parameters = parameters[0], parameters[1:]
	}
	middle := strings.TrimLeft(parameters, "0123456789;:")
	parameters = strings.TrimSuffix(parameters, middle)
	if strings.ContainsAny(middle, "<=>?") {
		return false
	}
	switch string(prefixed(prefix)) + middle + string(final) {
	case "?h", "?l":
		return f.setModes(parameters, final == 'h')
	case "?$p", "?u", ">q", "c", "n":
		return f.question(string(final), prefix, parameters)
	case ">u", "<u", "=u", ">m":
		f.keyboard = prefix != '<' && (final != 'm' || len(parameters) > 1)
		return prefix != '>' || final != 'm' || strings.HasPrefix(parameters, "4")
	case " q": // the cursor's shape
		f.undoLater("\x1b[0 q")
		return true
	case "!p": // soft reset
		return true
	case "?J", "?K": // selective erase
		return true
	case "h", "l": // insert mode
		f.undoLater("\x1b[4l")
		return parameters == "4"
	case "r": // margins; setting them moves the cursor
		f.undoLater("\x1b7\x1b[r\x1b8")
		return true
	}
	return prefix == 0 && middle == "" && strings.IndexByte(drawing, final) >= 0
}

func prefixed(prefix byte) []byte {
	if prefix == 0 {
		return nil
	}
	return []byte{prefix}
}

// question lets through what claude asks: cursor position and status, device
// attributes, version, modes and key protocol. Answers to these hold nothing
// that the program has chosen.
func (f *Filter) question(final string, prefix byte, parameters string) bool {
	switch final {
	case "n":
		if parameters != "5" && parameters != "6" {
			return false
		}
	case "c":
		if parameters != "" && parameters != "0" {
			return false
		}
	case "q":
		if prefix != '>' || parameters != "" && parameters != "0" {
			return false
		}
	}
	f.asked = true
	return true
}

// setModes allows a setting when all its modes are allowed, and remembers those
// that are not as they usually are.
func (f *Filter) setModes(parameters string, set bool) bool {
	var numbers []int
	for field := range strings.SplitSeq(parameters, ";") {
		number, err := strconv.Atoi(field)
		if err != nil || !slices.Contains(privateModes, number) && !f.raw {
			return false
		}
		numbers = append(numbers, number)
	}
	for _, number := range numbers {
		f.modes = slices.DeleteFunc(f.modes, func(known int) bool { return known == number })
		if usual := endings[number] == "h"; set != usual {
			f.modes = append(f.modes, number)
		}
	}
	return true
}

// isLink says that an OSC sequence is a plain hyperlink, or the end of one.
func isLink(sequence []byte) bool {
	body := strings.TrimSuffix(strings.TrimSuffix(string(sequence), "\x07"), "\x1b\\")
	rest, ok := strings.CutPrefix(body, "\x1b]8;")
	if !ok {
		return false
	}
	parameters, address, ok := strings.Cut(rest, ";")
	if !ok {
		return false
	}
	for _, text := range []string{parameters, address} {
		if strings.IndexFunc(text, func(r rune) bool { return r <= 0x20 || r >= 0x7f }) >= 0 {
			return false
		}
	}
	return address == "" || strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}
