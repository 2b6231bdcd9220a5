package egress

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// withPrivate is a dialer whose bottle file names ranges.
func withPrivate(t *testing.T, resolver Resolver, private ...backend.PrivateRange) (*Dialer, *[]string) {
	t.Helper()
	rules, err := Rules(backend.Egress{Allow: []string{"git.corp.example", "other.example", "*.wild.example"}})
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := PlanHosts(rules, private)
	if err != nil {
		t.Fatal(err)
	}
	d, dialled := dialer(t, resolver)
	d.Policy = NewPolicy(hosts)
	return d, dialled
}

func TestT35_APrivateRangeIsForItsHostAlone(t *testing.T) {
	private := []backend.PrivateRange{
		{Host: "git.corp.example", Range: "10.1.0.0/16"}, {Host: "GIT.corp.example.", Range: "127.0.0.0/8"}, {Host: "git.corp.example", Range: "8.8.4.4/32"},
		{Host: "a.wild.example", Range: "192.168.7.0/24"}, {Host: "git.corp.example", Range: "fd00::/8"}, {Host: "git.corp.example", Range: "100.64.0.0/10"},
	}
	for _, test := range []struct {
		host, address string
		want          bool
	}{
		{"git.corp.example", "10.1.2.3", true},
		{"git.corp.example", "::ffff:10.1.2.3", true},
		{"git.corp.example", "127.0.0.1", true},
		{"git.corp.example", "8.8.4.4", true}, // the host's own
		{"git.corp.example", "8.8.8.8", true},
		{"git.corp.example", "fd12::1", true},
		{"git.corp.example", "100.64.1.1", true},
		{"a.wild.example", "192.168.7.9", true},

		{"git.corp.example", "10.2.0.1", false},
		{"git.corp.example", "192.168.7.9", false},
		{"git.corp.example", "169.254.169.254", false},
		{"git.corp.example", "100.100.100.200", false}, // metadata, within a named range
		{"git.corp.example", "fd00:ec2::254", false},
		{"git.corp.example", "fe80::1", false},
		{"git.corp.example", "::1", false},
		{"git.corp.example", "224.0.0.1", false},
		{"other.example", "10.1.2.3", false},
		{"other.example", "127.0.0.1", false},
		{"other.example", "168.63.129.16", false},
		{"b.wild.example", "192.168.7.9", false},
		{"x.a.wild.example", "192.168.7.9", false},
	} {
		d, dialled := withPrivate(t, &answers{list: [][]string{{test.address}}}, private...)
		conn, err := d.Dial(t.Context(), test.host, 443)
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != test.want || (len(*dialled) == 1) != test.want || err != nil && !errdefs.IsPermissionDenied(err) {
			t.Errorf("%s at %s: dialled %v, %v", test.host, test.address, *dialled, err)
		}
	}
}

func TestT35_RebindingWithinANamedRange(t *testing.T) {
	resolver := &answers{list: [][]string{{"10.1.0.1"}, {"127.0.0.1"}, {"::1"}, {"169.254.169.254"}, {"10.2.0.1", "10.1.0.2"}}}
	d, dialled := withPrivate(t, resolver, backend.PrivateRange{Host: "git.corp.example", Range: "10.1.0.0/16"})
	for range 5 {
		if conn, err := d.Dial(t.Context(), "git.corp.example", 443); err == nil {
			_ = conn.Close()
		}
	}
	if got := strings.Join(*dialled, " "); got != "10.1.0.1:443 10.1.0.2:443" {
		t.Errorf("dialled %s", got)
	}
}

func TestPrivateEntriesThatAreRefused(t *testing.T) {
	for _, test := range []struct{ host, block, want string }{
		{"git.corp.example", "10.1.2.3", "give a range"},
		{"git.corp.example", "10.1.2.3/16", "the range is 10.1.0.0/16"},
		{"git.corp.example", "10.0.0.0-10.1.0.0", "give a range"},
		{"git.corp.example", "", "give a range"},
		{"git.corp.example", "0.0.0.0/0", "too wide"},
		{"git.corp.example", "::/0", "too wide"},
		{"git.corp.example", "::ffff:10.0.0.0/104", "IPv4"},
		{"git.corp.example", "169.254.169.254/32", "stay closed"},
		{"git.corp.example", "169.254.0.0/16", "stay closed"},
		{"git.corp.example", "fe80::/64", "stay closed"},
		{"git.corp.example", "224.0.0.0/8", "stay closed"},
		{"git.corp.example", "168.63.129.16/32", "stay closed"},
		{"git.corp.example", "fd00:ec2::254/128", "stay closed"},
		{"evil.example", "10.1.0.0/16", "not allowed at all"},
		{"corp.example", "10.1.0.0/16", "not allowed at all"},
		{"*.corp.example", "10.1.0.0/16", "not allowed at all"},
		{"*.example", "10.1.0.0/16", "top-level"},
		{"git.corp.example:443", "10.1.0.0/16", "without scheme and port"},
		{"ssh://git.corp.example", "10.1.0.0/16", "without scheme and port"},
		{"10.1.2.3", "10.1.0.0/16", "IP address"},
		{"", "10.1.0.0/16", "egress.private"},
	} {
		rules, err := Rules(backend.Egress{Allow: []string{"git.corp.example"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = PlanHosts(rules, []backend.PrivateRange{{Host: test.host, Range: test.block}})
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "egress.private") {
			t.Errorf("%s at %s: %v, want %q", test.host, test.block, err, test.want)
		}
	}
	if _, err := Rules(backend.Egress{Private: []backend.PrivateRange{{Host: "a.example", Range: "x"}}}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a bad range is no mistake of the file: %v", err)
	}
}

func TestModeOpenIsForPublicNamesOnThePortsOfTheWeb(t *testing.T) {
	rules, err := Rules(backend.Egress{Mode: backend.EgressOpen})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		host string
		port uint16
		want bool
	}{
		{"example.com", 443, true}, {"a.b.example.org", 80, true}, {"xn--bcher-kva.example", 443, true},
		{"example.com", 22, false}, {"example.com", 8443, false}, {"localhost", 443, false}, {"a.localhost", 80, false}, {"vm", 80, false},
		{"x.bottle", 80, false}, {"printer.local", 80, false}, {"metadata.google.internal", 80, false}, {"1.0.0.127.in-addr.arpa", 80, false},
		{"127.0.0.1", 80, false}, {"0x7f.1", 80, false}, {"a_b.example.com", 443, false}, {"example.com\x00", 443, false},
	} {
		if _, err := NewPolicy(rules).Check(test.host, test.port); (err == nil) != test.want {
			t.Errorf("%s:%d: %v", test.host, test.port, err)
		}
	}
	d, dialled := dialer(t, &answers{list: [][]string{{"10.0.0.1"}}})
	d.Policy = NewPolicy(rules)
	if _, err := d.Dial(t.Context(), "internal.example.com", 443); !errdefs.IsPermissionDenied(err) || len(*dialled) != 0 {
		t.Errorf("dialled %v, %v", *dialled, err)
	}
	for _, mode := range []backend.EgressMode{"sometimes", "allow", "OPEN", "none"} {
		if _, err := Rules(backend.Egress{Mode: mode}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "egress.mode") {
			t.Errorf("mode %s: %v", mode, err)
		}
	}
}

func TestPresets(t *testing.T) {
	list, err := presets()
	if err != nil || len(list) < 6 {
		t.Fatalf("%d presets, %v", len(list), err)
	}
	for name, preset := range list {
		rules, err := presetRules(name)
		if err != nil || preset.Version < 1 || len(rules) == 0 {
			t.Errorf("%s: %v, %v", name, rules, err)
		}
		for _, rule := range rules {
			if !strings.HasPrefix(rule.Because, "preset "+name+" (v") || strings.Contains(rule.Host, "*") || strings.HasSuffix(rule.Host, "github.com") {
				t.Errorf("%s: %+v", name, rule)
			}
		}
	}
	for name, want := range map[string]string{
		"github": "credentials:", "nmp": "did you mean npm?", "Debian": "did you mean debian?", "zzzzzz": "known are alpine, ", "": "there is no preset", "\x1b[2J": `\x1b`,
	} {
		if _, err := Rules(backend.Egress{Presets: []string{name}}); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "egress.presets") {
			t.Errorf("preset %q: %v, want %s", name, err, want)
		}
	}
}

func FuzzRules(f *testing.F) {
	for _, seed := range append(addresses(), "example.com:443", "*.example.com", "ssh://git.example.com", "bücher.example") {
		f.Add(seed, "10.0.0.0/8")
	}
	f.Fuzz(func(t *testing.T, text, block string) {
		rule, err := ParseRule(text)
		if err != nil {
			return
		}
		name := strings.TrimPrefix(rule.Host, "*.")
		if canonical, err := Canonical(name); err != nil || canonical != name {
			t.Fatalf("rule %q is for %q, which is not canonical: %v", text, name, err)
		}
		hosts, err := PlanHosts([]backend.PlanHost{rule}, []backend.PrivateRange{{Host: rule.Host, Range: block}})
		if err != nil {
			return
		}
		parsed := netip.MustParsePrefix(hosts[0].Private[0])
		if named(netip.MustParseAddr("169.254.169.254"), []netip.Prefix{parsed}) {
			t.Fatalf("%q opens the metadata address", block)
		}
	})
}
