package integration

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// echo says what came, so that the tool inside can be asked what arrived.
func echo(secureURL string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, secureURL+"/arrived", http.StatusFound)
	})
	mux.HandleFunc("/full", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no room", http.StatusRequestEntityTooLarge) // before a byte of the body is read
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "part %d\n", i)
			_ = http.NewResponseController(w).Flush()
		}
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "lamp.txt", time.Time{}, strings.NewReader("0123456789"))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		size, err := io.Copy(sum, r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s %d %x %v\n", r.Method, r.Host, r.URL, size, sum.Sum(nil), err)
	})
	return mux
}

func TestT40_CurlSpeaksHTTPAsItLikes(t *testing.T) {
	name, address := bottletest.OwnName(t)
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		certificate := bottletest.Certificate(t, filepath.Join(u.Cwd, "ca.crt"), name)
		handler := echo("https://" + name)
		web(t, net.JoinHostPort(address, "80"), handler, nil)
		web(t, net.JoinHostPort(address, "443"), handler, &certificate)
		said := script(t, u, runtime, toOwn(name, address, name), `
export CURL_CA_BUNDLE=$PWD/ca.crt
head -c 3000000 /dev/urandom > /tmp/blob
sum=$(sha256sum < /tmp/blob | cut -d ' ' -f 1)
try() { local what=$1; shift; echo "$what: $(curl -sS --max-time 120 "$@" 2>&1), exit $?" | sed "s/$sum/WHOLE/"; }
for scheme in http https; do
	url=$scheme://`+name+`
	try $scheme.get $url/
	try $scheme.again $url/ $url/ -o /dev/null -o /dev/null -w '%{num_connects},'
	try $scheme.head -I -o /dev/null -w '%{http_code}' $url/
	try $scheme.post --data-binary @/tmp/blob $url/
	try $scheme.expect -H 'Expect: 100-continue' --expect100-timeout 100 --data-binary @/tmp/blob $url/
	try $scheme.chunked -T - $url/ < /tmp/blob
	try $scheme.full -H 'Expect: 100-continue' --expect100-timeout 100 --data-binary @/tmp/blob -w '%{http_code}' $url/full
	try $scheme.delete -X DELETE $url/
	try $scheme.stream -N $url/stream
	try $scheme.range -r 2-4 $url/file
	try $scheme.moved -L $url/moved
	try $scheme.old -0 --no-alpn $url/
	curl -s -Z $(for i in {1..40}; do echo $url/$i -o /tmp/many.$scheme.$i; done) 2>/dev/null
	echo "$scheme.many: exit $?, $(cat /tmp/many.$scheme.* | sort -u | wc -l) of 40"
done
try one --http1.1 -o /dev/null -w '%{http_version}' https://`+name+`/
try two --http2 -o /dev/null -w '%{http_version}' https://`+name+`/
try tls12 --tls-max 1.2 -o /dev/null -w '%{http_code}' https://`+name+`/
try dot https://`+name+`./
`)
		for _, scheme := range []string{"http", "https"} {
			line := func(method string) string {
				return ": " + method + " " + name + " / 3000000 WHOLE <nil>, exit 0\n"
			}
			bottletest.Contains(t, said, scheme+".get: GET "+name+" / 0 ", scheme+".again: 1,0,, exit 0\n", scheme+".head: 200, exit 0\n",
				scheme+".post"+line("POST"), scheme+".expect"+line("POST"), scheme+".chunked"+line("PUT"), scheme+".full: no room\n413, exit 0\n",
				scheme+".delete: DELETE ", scheme+".stream: part 0\npart 1\npart 2, exit 0\n", scheme+".range: 234, exit 0\n",
				scheme+".moved: GET "+name+" /arrived 0 ", scheme+".old: GET "+name, scheme+".many: exit 0, 40 of 40\n")
		}
		bottletest.Contains(t, said, "one: 1.1, exit 0", "two: 2, exit 0", "tls12: 200, exit 0")
		nothingRefused(t, u)
	})
}

// wheel is a Python package that needs another.
func wheel(t *testing.T, name string, needs ...string) []byte {
	t.Helper()
	var data bytes.Buffer
	archive := zip.NewWriter(&data)
	info, metadata := name+"-1.0.dist-info/", "Metadata-Version: 2.1\nName: "+name+"\nVersion: 1.0\n"
	for _, other := range needs {
		metadata += "Requires-Dist: " + other + "\n"
	}
	for path, text := range map[string]string{
		name + ".py": "polished = True\n", info + "METADATA": metadata, info + "RECORD": "",
		info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
	} {
		file, err := archive.Create(path)
		if err == nil {
			_, err = io.WriteString(file, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// packageIndex is what pip fetches from (PEP 503), with the packages lamp and
// genie on it.
func packageIndex(t *testing.T) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	for name, data := range map[string][]byte{"lamp": wheel(t, "lamp", "genie>=1"), "genie": wheel(t, "genie")} {
		file := name + "-1.0-py3-none-any.whl"
		mux.HandleFunc("GET /simple/"+name+"/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprintf(w, `<a href="/files/%s#sha256=%x">%s</a>`, file, sha256.Sum256(data), file)
		})
		mux.HandleFunc("GET /files/"+file, func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, file, time.Time{}, bytes.NewReader(data))
		})
	}
	return mux
}

// pip puts Debian's pip into the working directory, as a wheel that Python runs
// as it is: the image has none.
func pip(t *testing.T, u *bottletest.User) {
	t.Helper()
	dir := t.TempDir()
	for _, words := range [][]string{
		{"apt-get", "download", "-qq", "-o", "Acquire::Retries=3", "-o", "APT::Sandbox::User=root", "python3-pip-whl"}, {"sh", "-c", "dpkg -x *.deb ."},
	} {
		command := exec.CommandContext(t.Context(), words[0], words[1:]...)
		command.Dir = dir
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", words, err, output)
		}
	}
	found, err := filepath.Glob(filepath.Join(dir, "usr/share/python-wheels/pip-*.whl"))
	if err != nil || len(found) != 1 {
		t.Fatalf("Debian's pip is at %v, %v", found, err)
	}
	copyIn(t, u, found[0], "pip.whl", 0o644)
}

func TestT35_PipDownloadsFromANamedPrivateIndex(t *testing.T) {
	name, address := bottletest.OwnName(t)
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		certificate := bottletest.Certificate(t, filepath.Join(u.Cwd, "ca.crt"), name)
		index := packageIndex(t)
		web(t, net.JoinHostPort(address, "443"), index, &certificate)
		web(t, net.JoinHostPort(address, "80"), index, nil)
		pip(t, u)
		said := script(t, u, runtime, toOwn(name, address, name), `set -e
export PIP_CERT=$PWD/ca.crt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
pip() { python3 $PWD/pip.whl/pip "$@"; }
pip download --index-url https://`+name+`/simple/ --dest /tmp/secure lamp
pip download --index-url http://`+name+`/simple/ --trusted-host `+name+` --dest /tmp/plain lamp
cd /tmp; sha256sum */*.whl
PYTHONPATH=/tmp/secure/lamp-1.0-py3-none-any.whl python3 -c 'import lamp; print("the lamp is polished:", lamp.polished)'`)
		bottletest.Contains(t, said, "Successfully downloaded lamp genie", "the lamp is polished: True")
		for _, where := range []string{"secure", "plain"} {
			for _, file := range []string{"lamp-1.0", "genie-1.0"} {
				bottletest.Contains(t, said, where+"/"+file+"-py3-none-any.whl")
			}
		}
		nothingRefused(t, u)
	})
}

func TestT35_GitClonesAndPushesOverHTTPSToAnAllowedHost(t *testing.T) {
	name, address := bottletest.OwnName(t)
	const token = "agents-own-7b21"
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		certificate := bottletest.Certificate(t, filepath.Join(u.Cwd, "ca.crt"), name)
		// The forge wants a token, which is the agent's own here: no route
		// holds one for it.
		forge := bottletest.NewGitServer(t, token)
		origin := forge.Repository(t, "owner/repo")
		at := web(t, net.JoinHostPort(address, "0"), forge.Config.Handler, &certificate)
		_, port, _ := net.SplitHostPort(at.String())
		said := script(t, u, runtime, toOwn(name, address, name+":"+port), `set -e
export GIT_SSL_CAINFO=$PWD/ca.crt GIT_TERMINAL_PROMPT=0 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b.c GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b.c
forge=`+name+":"+port+`
git clone https://x:`+token+`@$forge/owner/repo /tmp/repo
cd /tmp/repo
head -c 3000000 /dev/urandom > oil; git add oil; git commit -qm oil
git push
git fetch --depth 1 origin
git ls-remote https://$forge/owner/repo || echo "without a token: $?"`)
		bottletest.Contains(t, said, "main -> main", "without a token: 128")
		if size := bottletest.Git(t, origin, "cat-file", "-s", "main:oil"); size != "3000000" {
			t.Errorf("the server has %s bytes of oil", size)
		}
		nothingRefused(t, u)
	})
}
