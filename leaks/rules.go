package leaks

import (
	_ "embed" // for gitleaks.toml
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/claude-bottle/claude-bottle/pattern"
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
	// So does path, which is nil for rules that hold everywhere.
	pattern, path func() *regexp.Regexp
	words         []int // numbers of Keywords
	lines         bool  // Regex may match far from its word
}

// allowlist excuses matches. Lists of paths excuse whole files; a request body has
// no path.
type allowlist struct {
	Condition   string   `toml:"condition"` // AND, or any
	RegexTarget string   `toml:"regexTarget"`
	Regexes     []string `toml:"regexes"`
	Stopwords   []string `toml:"stopwords"`
	Paths       []string `toml:"paths"`
	Commits     []string `toml:"commits"`

	patterns, paths func() []*regexp.Regexp
}

// readRules takes the rules that look at what a file holds; those that look at
// its path alone are left.
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
	var words []string
	for _, rule := range file.Rules {
		if rule.Regex == "" || tooGeneral[rule.ID] {
			continue
		}
		for _, keyword := range rule.Keywords {
			rule.words = append(rule.words, number(&words, strings.ToLower(keyword)))
		}
		rule.pattern = pattern.Lazy(rule.Regex)
		rule.lines = manyLines().MatchString(rule.Regex)
		if rule.Path != "" {
			rule.path = pattern.Lazy(rule.Path)
		}
		for i := range rule.Allowlists {
			rule.Allowlists[i].prepare()
		}
		d.rules = append(d.rules, rule)
	}
	d.keywords = newKeywords(words)
	return nil
}

// manyLines are the patterns of rules for what has many lines.
var manyLines = pattern.Lazy(`\[\\s\\S|\[\\r\\n\]|\(\?s`)

func (a *allowlist) prepare() {
	a.patterns = compileAll(a.Regexes)
	a.paths = compileAll(a.Paths)
}

// compileAll compiles patterns at their first use.
func compileAll(texts []string) func() []*regexp.Regexp {
	return sync.OnceValue(func() []*regexp.Regexp {
		patterns := make([]*regexp.Regexp, 0, len(texts))
		for _, text := range texts {
			patterns = append(patterns, regexp.MustCompile(text))
		}
		return patterns
	})
}

// excusesPath says that the list lets all of a file be. One that asks for more
// than the path does not.
func (a *allowlist) excusesPath(path string) bool {
	if a.Condition == "AND" {
		return false
	}
	return slices.ContainsFunc(a.paths(), func(pattern *regexp.Regexp) bool { return pattern.MatchString(path) })
}

func (r *rule) excusedPath(path string) bool {
	return slices.ContainsFunc(r.Allowlists, func(list allowlist) bool { return list.excusesPath(path) })
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
