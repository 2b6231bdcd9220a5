package credentials

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// helper puts a credential helper on the PATH.
func helper(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func written(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLoginsAreFoundAsDockerFindsThem(t *testing.T) {
	helper(t, "one", `read server; test "$1" = get; echo "{\"ServerURL\":\"$server\",\"Username\":\"of-$server\",\"Secret\":\"s\"}"`)
	helper(t, "token", `echo '{"Username":"<token>","Secret":"identity"}'`)
	helper(t, "none", "echo credentials not found in native keychain; exit 1")
	entry := `{"auth":"` + base64.StdEncoding.EncodeToString([]byte("me:pass:word")) + `"}`
	for _, test := range []struct{ text, host, name, secret string }{
		{`{"auths":{"reg.example:5000":` + entry + `}}`, "reg.example:5000", "me", "pass:word"},
		{`{"auths":{"https://reg.example/v2/":` + entry + `}}`, "reg.example", "me", "pass:word"},
		{`{"auths":{"https://index.docker.io/v1/":` + entry + `}}`, "registry-1.docker.io", "me", "pass:word"},
		{`{"auths":{"reg.example":{"identitytoken":"identity"}}}`, "reg.example", "", "identity"},
		{`{"auths":{"reg.example":` + entry + `}}`, "other.example", "", ""},
		{`{"auths":{"reg.example":` + entry + `},"credHelpers":{"reg.example":"one"}}`, "reg.example", "of-reg.example", "s"},
		{`{"credsStore":"token"}`, "reg.example", "", "identity"},
		{`{"credsStore":"none"}`, "reg.example", "", ""},
		{`{}`, "reg.example", "", ""},
		{"", "reg.example", "", ""},
	} {
		name, secret, err := Lookup(t.Context(), written(t, test.text), test.host)
		if err != nil || name != test.name || secret != test.secret {
			t.Errorf("%s for %s: %q %q %v", test.text, test.host, name, secret, err)
		}
	}
	if name, secret, err := Lookup(t.Context(), filepath.Join(t.TempDir(), "none.json"), "reg.example"); err != nil || name+secret != "" {
		t.Errorf("without a file: %q %q %v", name, secret, err)
	}
}

func TestErrorsNameTheFileAndNeverTheSecret(t *testing.T) {
	helper(t, "broken", "echo it is locked; exit 1")
	secret := base64.StdEncoding.EncodeToString([]byte("canary-without-a-colon"))
	for _, test := range []struct {
		text, want string
		is         func(error) bool
	}{
		{`{"auths":{"reg.example":{"auth":"` + secret + `"}}}`, "log in again", errdefs.IsInvalidArgument},
		{`{"auths":`, "mend the file", errdefs.IsInvalidArgument},
		{`{"credsStore":"missing"}`, "docker-credential-missing on the PATH", errdefs.IsNotFound},
		{`{"credsStore":"broken"}`, "docker-credential-broken: it is locked", func(error) bool { return true }},
	} {
		file := written(t, test.text)
		_, _, err := Lookup(t.Context(), file, "reg.example")
		if err == nil || !test.is(err) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", test.text, err)
		}
	}
}

func TestTheFileIsWhereDockerHasIt(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	if got := File(none, "/home/me"); got != "/home/me/.docker/config.json" {
		t.Error(got)
	}
	if got := File(func(name string) (string, bool) { return "/other", name == "DOCKER_CONFIG" }, "/home/me"); got != "/other/config.json" {
		t.Error(got)
	}
}
