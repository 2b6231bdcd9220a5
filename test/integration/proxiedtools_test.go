package integration

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// networkProxy is the one way out of a network whose names it alone knows.
type networkProxy struct {
	*httptest.Server
	targets map[string]string // host:port, and where that is

	mu    sync.Mutex
	asked []string
}

// newNetworkProxy starts a proxy that wants a user and a password.
func newNetworkProxy(t *testing.T, targets map[string]string) *networkProxy {
	t.Helper()
	p := &networkProxy{targets: targets}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

// ServeHTTP implements http.Handler: CONNECT, and nothing else.
func (p *networkProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.mu.Unlock()
	r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
	user, password, _ := r.BasicAuth()
	target, known := p.targets[r.Host]
	if r.Method != http.MethodConnect || user != "aladdin" || password != "open sesame" || !known {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	far, err := net.Dial("tcp", target)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	// The server's own 200 would go out before it stops to read, and the first
	// byte of the tunnel would be lost.
	near, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_, err = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
	}
	if err != nil {
		_ = far.Close()
		return
	}
	neck.Splice(near, far)
}

// names are what it was asked for, each once.
func (p *networkProxy) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Clone(p.asked)
	slices.Sort(list)
	return slices.Compact(list)
}

func TestT36_BehindAProxyToolsReachWhatIsAllowedAndItHearsNoOtherName(t *testing.T) {
	const name = "packages.corp.example"
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		certificate := bottletest.Certificate(t, filepath.Join(u.Cwd, "ca.crt"), name)
		mux := http.NewServeMux()
		mux.Handle("/", echo("https://"+name))
		index := packageIndex(t)
		mux.Handle("/simple/", index)
		mux.Handle("/files/", index)
		secure, plain := web(t, "127.0.0.1:0", mux, &certificate), web(t, "127.0.0.1:0", mux, nil)
		proxy := newNetworkProxy(t, map[string]string{name + ":443": secure.String(), name + ":80": plain.String()})
		address := strings.Replace(proxy.URL, "://", "://"+url.UserPassword("aladdin", "open sesame").String()+"@", 1)
		t.Setenv("HTTPS_PROXY", address)
		t.Setenv("NO_PROXY", "")
		pip(t, u)
		said := script(t, u, runtime, "egress: {allow: ["+name+", refused.corp.example]}", `
export CURL_CA_BUNDLE=$PWD/ca.crt PIP_CERT=$PWD/ca.crt PIP_NO_CACHE_DIR=1
head -c 3000000 /dev/zero > /tmp/blob
try() { local what=$1; shift; echo "$what: $(curl -sS --max-time 120 "$@" 2>&1), exit $?"; }
try secure https://`+name+`/
try plain http://`+name+`/
try moved -L http://`+name+`/moved
try chunked -T - https://`+name+`/ < /tmp/blob
try refused https://refused.corp.example/
try refused80 -w ' %{http_code}' http://refused.corp.example/
try denied https://evil.example/
try address https://93.184.215.14/
python3 pip.whl/pip download --index-url https://`+name+`/simple/ --dest /tmp lamp`)
		bottletest.Contains(t, said, "secure: GET "+name+" / 0 ", "plain: GET "+name+" / 0 ", "moved: GET "+name+" /arrived 0 ", "chunked: PUT "+name+" / 3000000 ",
			"alert access denied, exit 35\n", "claude-bottle: the proxy of this host's network refuses refused.corp.example", " 403, exit 0\n", "Could not resolve host: evil.example, exit 6\n", ", exit 7\n", "Successfully downloaded lamp genie")
		want := []string{"CONNECT " + name + ":443", "CONNECT " + name + ":80", "CONNECT refused.corp.example:443", "CONNECT refused.corp.example:80"}
		if got := proxy.names(); !slices.Equal(got, want) {
			t.Errorf("the proxy heard %q, want %q", got, want)
		}
	})
}
