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
