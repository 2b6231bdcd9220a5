package egress

import (
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// policy returns the policy of these entries of egress.allow.
func policy(t testing.TB, entries ...string) *Policy {
	t.Helper()
	var hosts []backend.PlanHost
	for _, entry := range entries {
		host, err := ParseRule(entry)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, host)
	}
	return NewPolicy(hosts)
}

func TestT38_NamesAreAllowedIffOnTheList(t *testing.T) {
	p := policy(t, "api.example.com", "*.wild.example.org", "example.net:8443", "ssh://git.example.com", "Bücher.example")
	tests := []struct {
		host string
		port uint16
		want string // the canonical name, "" for refused
	}{
		{"api.example.com", 443, "api.example.com"},
		{"api.example.com", 80, "api.example.com"},
		{"API.Example.COM", 443, "api.example.com"},
		{"api.example.com.", 443, "api.example.com"},
		{"a.wild.example.org", 443, "a.wild.example.org"},
		{"a.b.wild.example.org", 443, "a.b.wild.example.org"},
		{"A.WILD.example.org.", 80, "a.wild.example.org"},
		{"example.net", 8443, "example.net"},
		{"git.example.com", 22, "git.example.com"},
		{"xn--bcher-kva.example", 443, "xn--bcher-kva.example"},

		{"api.example.com", 22, ""},
		{"api.example.com", 8443, ""},
		{"api.example.com", 0, ""},
		{"git.example.com", 443, ""},
		{"example.net", 443, ""},
		{"xapi.example.com", 443, ""},
		{"api.example.com.evil.org", 443, ""},
		{"api.example.comx", 443, ""},
		{"example.com", 443, ""},
		{"sub.api.example.com", 443, ""},
		{"wild.example.org", 443, ""},
		{".wild.example.org", 443, ""},
		{"*.wild.example.org", 443, ""},
		{"xwild.example.org", 443, ""},
		{"a..wild.example.org", 443, ""},
		{"-a.wild.example.org", 443, ""},
		{"a-.wild.example.org", 443, ""},
		{"a_b.wild.example.org", 443, ""},
		{"api.example.com..", 443, ""},
		{"api.example.com:443", 443, ""},
		{"api.example.com\x00", 443, ""},
		{"evil.org\x00api.example.com", 443, ""},
		{"evil.org\x00.wild.example.org", 443, ""},
		{"api.example.com\r\nHost: evil.org", 443, ""},
		{"api.example.com\n", 443, ""},
		{" api.example.com", 443, ""},
		{"api.example.com ", 443, ""},
		{"\tapi.example.com", 443, ""},
		{"user@api.example.com", 443, ""},
		{"user:secret@api.example.com", 443, ""},
		{"evil.org@api.example.com", 443, ""},
		{"evil.org#.wild.example.org", 443, ""},
		{"evil.org/.wild.example.org", 443, ""},
		{"evil.org?.wild.example.org", 443, ""},
		{"evil.org\\.wild.example.org", 443, ""},
		{"evil.org%00.wild.example.org", 443, ""},
		{"evil.org%2e.wild.example.org", 443, ""},
		{"https://api.example.com", 443, ""},
		{"//api.example.com", 443, ""},
		{"[api.example.com]", 443, ""},
		{"bücher.example", 443, ""}, // what is dialled is ASCII
		{"аpi.example.com", 443, ""},
		{"api。example。com", 443, ""},
		{"ａpi.example.com", 443, ""},
		{"api.example.com\u200b", 443, ""},
		{"api\u00ad.example.com", 443, ""},
		{"xn--api-.example.com", 443, ""},
		{"", 443, ""},
		{".", 443, ""},
		{"..", 443, ""},
		{"localhost", 443, ""},
		{strings.Repeat("a", 64) + ".wild.example.org", 443, ""},
		{strings.Repeat("a.", 130) + "wild.example.org", 443, ""},
		{strings.Repeat("a", 63) + ".wild.example.org", 443, strings.Repeat("a", 63) + ".wild.example.org"},
	}
	if len(tests) < 60 {
		t.Fatalf("only %d rows", len(tests))
	}
	for _, test := range tests {
		got, err := p.Check(test.host, test.port)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("Check(%q, %d) = %q, %v; want %q", test.host, test.port, got, err, test.want)
		}
		if err != nil && !errdefs.IsPermissionDenied(err) && !errdefs.IsInvalidArgument(err) {
			t.Errorf("Check(%q, %d): %v is of no kind", test.host, test.port, err)
		}
	}
}

// addresses are spellings that some resolver or other takes for an address.
func addresses() []string {
	return []string{
		"127.0.0.1", "127.1", "127.0.1", "0.0.0.0", "0", "1", "2130706433", "0x7f000001", "0x7f.0x0.0x0.0x1",
		"0x7f.1", "0X7F.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "127.0.0.01", "127.0.0.0x1", "10.0.0.1", "10.1",
		"169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518", "192.168.1.1",
		"::1", "[::1]", "::", "::ffff:127.0.0.1", "[::ffff:7f00:1]", "fe80::1%lo", "fe80::1%25eth0", "fd00::1",
		"64:ff9b::7f00:1", "2002:7f00:1::", "256.256.256.256", "1.2.3.4.5", "999999999999", "0b1111111", "0o177.1",
		"a.0x1", "api.example.com.1", "127.0.0.1:80",
	}
}

func TestT37_AddressesAreRefusedInAnySpelling(t *testing.T) {
	spellings := addresses()
	if len(spellings) < 40 {
		t.Fatalf("only %d spellings", len(spellings))
	}
	for _, spelling := range spellings {
		if name, err := Canonical(spelling); err == nil {
			t.Errorf("%q is taken for the name %q", spelling, name)
		}
		if _, err := ParseRule(spelling); err == nil {
			t.Errorf("egress.allow takes %q", spelling)
		}
	}
}

func TestRulesThatAreRefused(t *testing.T) {
	for _, entry := range []string{
		"", "*", "*.", "*.com", "*.example.com.*", "a.*.example.com", "**.example.com", "https://example.com", "example.com/path",
		"example.com:", "example.com:0", "example.com:65536", "example.com:http", "example.com:-1", "ssh://git@example.com", "ssh://",
		"anthropic.bottle", "*.bottle", "bottle", "exa mple.com", "ssh://example.com/x",
	} {
		_, err := ParseRule(entry)
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("ParseRule(%q): %v, want InvalidArgument", entry, err)
		} else if !strings.Contains(err.Error(), "egress.allow") {
			t.Errorf("ParseRule(%q): %q does not say where", entry, err)
		}
	}
}

func TestTheZeroPolicyAllowsNothing(t *testing.T) {
	if _, err := new(Policy).Check("example.com", 443); !errdefs.IsPermissionDenied(err) {
		t.Errorf("got %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range append(addresses(), "api.example.com", "a.wild.example.org", "evil.org\x00.wild.example.org", "API.example.com.") {
		f.Add(seed, uint16(443))
	}
	p := policy(f, "api.example.com", "*.wild.example.org", "example.net:8443")
	f.Fuzz(func(t *testing.T, host string, port uint16) {
		got, err := p.Check(host, port)
		if err != nil {
			return
		}
		plain := strings.ToLower(strings.TrimSuffix(host, "."))
		web := port == 80 || port == 443
		listed := plain == "api.example.com" && web || plain == "example.net" && port == 8443 ||
			strings.HasSuffix(plain, ".wild.example.org") && web
		if !listed || got != plain {
			t.Errorf("Check(%q, %d) = %q", host, port, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool {
			return r != '.' && r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
		}) {
			t.Errorf("%q holds more than letters, digits and hyphens", got)
		}
	})
}
