package leaks

import (
	_ "embed" // for gitleaks.toml
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
)

//go:embed gitleaks.toml
var ruleFile []byte

// tooGeneral are rules that tell no secret from a variable's name and value: in
// the talk of a coding agent they would match all day.
var tooGeneral = map[string]bool{"generic-api-key": true}

// rule is one of gitleaks' rules, as its file has it.
type rule struct {
	ID          string      `toml:"id"`
	Regex       string      `toml:"regex"`
	Path        string      `toml:"path"`
	Keywords    []string    `toml:"keywords"`
	Entropy     float64     `toml:"entropy"`
	SecretGroup int         `toml:"secretGroup"`
	Allowlists  []allowlist `toml:"allowlists"`

	// pattern compiles Regex at its first use: most rules never see their word.
	pattern func() *regexp.Regexp
}

// allowlist excuses matches. Lists of paths excuse nothing here: a request body
// has none.
type allowlist struct {
	Condition   string   `toml:"condition"` // AND, or any
	RegexTarget string   `toml:"regexTarget"`
	Regexes     []string `toml:"regexes"`
	Stopwords   []string `toml:"stopwords"`
	Paths       []string `toml:"paths"`
	Commits     []string `toml:"commits"`

	patterns func() []*regexp.Regexp
}

// readRules takes the rules that need no path of a file.
func (d *Detector) readRules() error {
	var file struct {
		Allowlist allowlist `toml:"allowlist"`
		Rules     []*rule   `toml:"rules"`
	}
	if err := toml.Unmarshal(ruleFile, &file); err != nil {
		return fmt.Errorf("read rules: %w", err)
	}
	d.general = file.Allowlist
	d.general.prepare()
	for _, rule := range file.Rules {
		if rule.Regex == "" || rule.Path != "" || tooGeneral[rule.ID] {
			continue
		}
		for i, keyword := range rule.Keywords {
			rule.Keywords[i] = strings.ToLower(keyword)
		}
		rule.pattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(rule.Regex) })
		for i := range rule.Allowlists {
			rule.Allowlists[i].prepare()
		}
		d.rules = append(d.rules, rule)
	}
	return nil
}

func (a *allowlist) prepare() {
	regexes := a.Regexes
	a.patterns = sync.OnceValue(func() []*regexp.Regexp {
		patterns := make([]*regexp.Regexp, 0, len(regexes))
		for _, text := range regexes {
			patterns = append(patterns, regexp.MustCompile(text))
		}
		return patterns
	})
}

func (r *rule) excused(secret, match, line string) bool {
	for _, list := range r.Allowlists {
		if list.excuses(secret, match, line) {
			return true
		}
	}
	return false
}

// excuses says that the list lets a match be.
func (a *allowlist) excuses(secret, match, line string) bool {
	target := secret
	switch a.RegexTarget {
	case "match":
		target = match
	case "line":
		target = line
	}
	byPattern := false
	for _, pattern := range a.patterns() {
		byPattern = byPattern || pattern.MatchString(target)
	}
	byWord := containsWord(secret, a.Stopwords)
	if a.Condition != "AND" {
		return byPattern || byWord
	}
	// All that the list has must hold, and a path or commit never does.
	return len(a.Paths)+len(a.Commits) == 0 && (byPattern || len(a.Regexes) == 0) && (byWord || len(a.Stopwords) == 0)
}
