package leaks

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func detector(t testing.TB, values ...Known) *Detector {
	t.Helper()
	d, err := NewDetector(values)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// parts keeps what looks like a secret out of this file, whose readers scan it.
func parts(texts ...string) string { return strings.Join(texts, "") }

func TestShapesOfSecretsAreFound(t *testing.T) {
	d := detector(t)
	if len(d.rules) < 200 {
		t.Fatalf("only %d rules", len(d.rules))
	}
	tests := map[string]string{
		"aws-access-token":  parts("AK", "IA", "Q3EGRKX6LNJTY7WD"),
		"github-pat":        parts("gh", "p_", "x8Kq2ZrV5tYw3NbM7cLdF1gHjP9sQaEu4R6i"),
		"slack-webhook-url": parts("https://hooks.sl", "ack.com/services/T0A1B2C3D/B4E5F6G7H/", "aZ3kL9mQ2xW7vB5nR8tY1cUd"),
		"private-key":       parts("-----BEGIN OPENSSH PRI", "VATE KEY-----\n", strings.Repeat("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n", 5), "-----END OPENSSH PRI", "VATE KEY-----"),
	}
	for rule, secret := range tests {
		text, err := json.Marshal(map[string]any{"messages": []any{map[string]string{"content": "the file says: " + secret + "\nand no more"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Find(text); !slices.Contains(got, rule) {
			t.Errorf("%s: found %v in %s", rule, got, text)
		}
	}
}

func TestWhatOnlyLooksLikeASecretIsLetBe(t *testing.T) {
	d := detector(t)
	for _, text := range []string{
		"", "the key of the lamp = brass, the token: a coin, api_key = os.Getenv(\"API_KEY\")",
		parts("AK", "IA", "IOSFODNN7EXAMPLE"), // the one of AWS's own documentation
		parts("gh", "p_", strings.Repeat("a", 36)),
		"sha256:73249f4ffb2d30e0b5f663ad45c984638c973a7f76920f1383efd99cbb052156 8ba98ce433fa392bea4eb98758d6f905fa52a86b",
		`password = "correct horse battery staple"`,
	} {
		if got := d.Find([]byte(text)); len(got) > 0 {
			t.Errorf("found %v in %q", got, text)
		}
	}
}

func TestKnownValuesAreFoundInEverySpelling(t *testing.T) {
	const value = "s3cret+of/the=lamp \"quoted\""
	d := detector(t, Known{"env:LAMP", value}, Known{"env:SHORT", "abc"})
	quoted, err := json.Marshal(map[string]string{"a": value})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"x" + value + "y", url.QueryEscape(value), url.PathEscape(value), string(quoted)}
	for _, before := range []string{"", "a", "ab", "abc", "user:"} {
		for _, after := range []string{"", "z", "zz"} {
			texts = append(texts, base64.StdEncoding.EncodeToString([]byte(before+value+after)), base64.URLEncoding.EncodeToString([]byte(before+value+after)))
		}
	}
	for _, text := range texts {
		if got := d.Find([]byte(text)); !slices.Equal(got, []string{"env:LAMP"}) {
			t.Errorf("found %v in %q", got, text)
		}
	}
	if got := d.Find([]byte("abc abc s3cret+of/the=lamp")); len(got) > 0 {
		t.Errorf("found %v where it isn't", got)
	}
}

func TestEveryRuleCompiles(t *testing.T) {
	d := detector(t)
	for _, rule := range d.rules {
		if _, err := regexp.Compile(rule.Regex); err != nil {
			t.Errorf("%s: %v", rule.ID, err)
		}
		for _, list := range rule.Allowlists {
			list.patterns()
		}
	}
	d.general.patterns()
}

func FuzzFind(f *testing.F) {
	f.Add("text", "value-of-something")
	f.Add(parts("AK", "IA", "Q3EGRKX6LNJTY7WD"), "\x00\xff12345678")
	d := detector(f)
	f.Fuzz(func(t *testing.T, text, value string) {
		d.Find([]byte(text))
		if len(value) < minKnown {
			return
		}
		with := detector(t, Known{"known", value})
		if !slices.Contains(with.Find([]byte(text+value+text)), "known") {
			t.Errorf("%q is not found", value)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	d := detector(b, Known{"env:LAMP", "s3cret-of-the-lamp"})
	text := []byte(strings.Repeat("the key of the lamp = brass, a token: coin; const api = \"https://api.example.com/v1\"\n", 12_000))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		d.Find(text)
	}
}

func TestFilesAreJudgedWithTheirPath(t *testing.T) {
	d := detector(t)
	token := parts("gh", "p_", "x8Kq2ZrV5tYw3NbM7cLdF1gHjP9sQaEu4R6i")
	for path, want := range map[string]int{
		"notes.txt": 1, "src/main.go": 1, "node_modules/x/notes.txt": 0, "package-lock.json": 0, "go.sum": 0,
	} {
		if got := d.FindInFile(path, []byte("a\ntoken "+token+"\nb")); len(got) != want {
			t.Errorf("%s: found %v", path, got)
		}
	}
	if got := d.FindInFile("notes.txt", []byte("a\ntoken "+token+" # gitleaks:allow\nb")); len(got) != 0 {
		t.Errorf("found %v in a marked line", got)
	}
	if got := d.Find([]byte(token + " # gitleaks:allow")); len(got) != 1 {
		t.Errorf("whoever sends a secret can excuse it: %v", got)
	}
}

func TestKeywordsAreFoundAsBySearching(t *testing.T) {
	words := []string{"he", "she", "his", "hers", "a-b", "q~", "sk", "ask"}
	k := newKeywords(words)
	for _, text := range []string{"", "x", "ushers", "HIS", "ahishers", "a-a-b", "Q~", "aASK", "he\xffshe", "s\x00k", "sHe ask"} {
		for i, places := range k.in([]byte(text)) {
			if want := strings.Contains(strings.ToLower(text), words[i]); tails[words[i]] == 0 && len(places) > 0 != want {
				t.Errorf("%q in %q: %v, want %v", words[i], text, places, want)
			}
		}
	}
}

// TestLongTextsAreSearchedAroundTheirWords: a secret is found wherever it lies,
// also when it is longer than what is looked at around a word.
func TestLongTextsAreSearchedAroundTheirWords(t *testing.T) {
	d := detector(t)
	jwt := parts("ey", "JhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.ey", strings.Repeat("JzdWIiOiIxMjM0NTY3ODkw", 200), ".dBjftJeZ4CVPmB92K27uhbUJU1p1r")
	twilio := parts("S", "K", "0f3a9c7b5e1d2a4c6e8f0b1d3f5a7c9e")
	vault := parts("s", ".", "Zx4kQ9mT2wLp7vRb5nHs8dYc")
	noise := strings.Repeat("the key of sky.scrapers; they ask for keys. ", 300)
	for rule, secret := range map[string]string{"jwt": jwt, "twilio-api-key": twilio, "vault-service-token": vault, "private-key": parts("-----BEGIN PRI", "VATE KEY-----\n", strings.Repeat("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n", 300), "-----END PRI", "VATE KEY-----")} {
		for _, text := range []string{secret, noise + secret + " " + noise, secret + "\n" + noise, noise + "\"" + secret + "\""} {
			if got := d.Find([]byte(text)); !slices.Contains(got, rule) {
				t.Errorf("%s: found %v", rule, got)
			}
		}
	}
	if got := d.Find([]byte(noise)); len(got) > 0 {
		t.Errorf("found %v in noise", got)
	}
}

func BenchmarkFindInFile(b *testing.B) {
	d := detector(b)
	text := []byte(strings.Repeat("func (p *packer) visit(entry Entry) error { return p.out.header(&header) } // the key of the lamp\n", 100))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		d.FindInFile("x.go", text)
	}
}
