package leaks

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
)

// Spellings are the usual forms of a value: as it is, escaped as in a URL and in
// JSON, and in base64 at each of the three places where it can begin. Forms that
// are equal stand there once.
func Spellings(value string) []string {
	list := []string{value}
	add := func(form string) {
		if form != "" && !slices.Contains(list, form) {
			list = append(list, form)
		}
	}
	add(url.QueryEscape(value))
	add(url.PathEscape(value))
	if quoted, err := json.Marshal(value); err == nil {
		add(string(quoted[1 : len(quoted)-1]))
	}
	for shift := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			// The letters at both ends depend on the neighbours, too.
			first, last := (8*shift+5)/6, 8*(shift+len(value))/6
			add(encoding.EncodeToString(append(make([]byte, shift), value...))[first:last])
		}
	}
	return list
}
