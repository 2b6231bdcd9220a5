package integration

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// npmVersion is the newest npm that the Node.js of the default image runs.
const npmVersion = "10.9.9"

func TestT33_NpmInstallsThroughTheNeck(t *testing.T) {
	registry := strings.TrimSuffix(hostSays(t, "npm", "config", "get", "registry"), "/")
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		hostRoots(t, u)
		// The image has Node.js alone: npm comes the way that its packages do.
		said := script(t, u, runtime, reach(t, "npm", registry), `set -e
export NODE_EXTRA_CA_CERTS=$PWD/roots.crt npm_config_registry=`+registry+`/ npm_config_cache=/tmp/npm npm_config_update_notifier=false
mkdir /tmp/tool /tmp/app
curl -fsSL --retry 3 --cacert roots.crt `+registry+`/npm/-/npm-`+npmVersion+`.tgz | tar -xzC /tmp/tool
cd /tmp/app
node /tmp/tool/package/bin/npm-cli.js install --no-audit --no-fund is-odd@3.0.1
node -e 'console.log("three is odd:", require("is-odd")(3), Object.keys(require("./package-lock.json").packages).join())'`)
		nothingRefused(t, u)
		bottletest.Contains(t, said, "added 2 packages", "three is odd: true ,node_modules/is-number,node_modules/is-odd")
	})
}

func TestT33_GoDownloadsModulesThroughTheNeck(t *testing.T) {
	proxy, _, _ := strings.Cut(hostSays(t, "go", "env", "GOPROXY"), ",")
	// A module of our own, whose sum is known here.
	const module = "github.com/agext/levenshtein"
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^` + module + ` (v\S+) h1:.*\n` + module + ` v\S+/go.mod h1:.*$`).FindStringSubmatch(string(sums))
	if lines == nil {
		t.Fatalf("go.sum has no %s", module)
	}
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		hostRoots(t, u)
		copyGo(t, u)
		u.Write("project/app/go.mod", "module example.org/lamp\n\ngo 1.21\n\nrequire "+module+" "+lines[1]+"\n")
		said := script(t, u, runtime, reach(t, "go", proxy), `set -e
export GOROOT=$PWD/go GOPATH=/tmp/go GOCACHE=/tmp/cache GOTMPDIR=/tmp GOFLAGS=-mod=mod GOTOOLCHAIN=local SSL_CERT_FILE=$PWD/roots.crt
export GOPROXY=`+proxy+` GOSUMDB='`+hostSays(t, "go", "env", "GOSUMDB")+`'
export PATH=$GOROOT/bin:$PATH
cd app
go mod download all
cat go.sum
go list -m -versions `+module)
		nothingRefused(t, u)
		bottletest.Contains(t, said, lines[0], module+" v1.")
	})
}

func TestT33_AptUpdatesThroughTheNeck(t *testing.T) {
	uris := hostSays(t, "apt-get", "update", "--print-uris")
	mirror := regexp.MustCompile(`'(https?://[^' ]+)/dists/bookworm/InRelease'`).FindStringSubmatch(uris)
	if mirror == nil {
		t.Fatalf("this host has no mirror of Debian 12 among\n%s", uris)
	}
	onEachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		hostRoots(t, u)
		said := script(t, u, runtime, reach(t, "debian", mirror[1]), `set -e
mkdir -p /tmp/apt/lists/partial /tmp/apt/cache/archives/partial /tmp/hello
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] `+mirror[1]+` bookworm main" > /tmp/apt/sources.list
apt() {
	apt-get -o Dir::State=/tmp/apt -o Dir::Cache=/tmp/apt/cache -o Dir::Etc::SourceList=/tmp/apt/sources.list -o Dir::Etc::SourceParts=/dev/null \
		-o Debug::NoLocking=1 -o Acquire::Retries=3 -o APT::Sandbox::User=claude -o Acquire::https::CAInfo=$PWD/roots.crt "$@"
}
apt update
cd /tmp/hello
apt download hello sl
for package in *.deb; do dpkg -x $package .; done
usr/bin/hello; ls usr/games/sl`)
		nothingRefused(t, u)
		bottletest.Contains(t, said, "bookworm InRelease", "Packages", "Hello, world!", "usr/games/sl")
		if regexp.MustCompile(`(?m)^(W|E|Err):`).MatchString(said) {
			t.Error("apt-get complains")
		}
	})
}
