package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
)

// release is an npm package of claude's that says what it is.
func release(t *testing.T, version string) (packed []byte, integrity string) {
	t.Helper()
	var made bytes.Buffer
	zip := gzip.NewWriter(&made)
	w := tar.NewWriter(zip)
	for name, content := range map[string]string{"package/package.json": "{}", "package/claude": "#!/bin/sh\necho claude " + version + "\n"} {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))})
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(made.Bytes())
	return made.Bytes(), "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// TestT3_ImageUpdateBuildsWithTheNewestClaude: the pin in the file moves on with the image,
// the old image stays, and a package that is not what the registry has said changes nothing.
func TestT3_ImageUpdateBuildsWithTheNewestClaude(t *testing.T) {
	const name = "@anthropic-ai/claude-code-linux-x64"
	u := newUser(t, "2.4")
	old, integrity := release(t, "1.9.0")
	next, newer := release(t, "1.10.0")
	answers := map[string][]byte{
		"/@anthropic-ai/claude-code/latest":                []byte(`{"name": "@anthropic-ai/claude-code", "version": "1.10.0"}`),
		"/" + name + "/1.10.0":                             fmt.Appendf(nil, `{"name": %q, "version": "1.10.0", "dist": {"integrity": %q}}`, name, newer),
		"/" + name + "/-/claude-code-linux-x64-1.9.0.tgz":  old,
		"/" + name + "/-/claude-code-linux-x64-1.10.0.tgz": old, // not what is promised, at first
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	file := "---\n# ours\nimage:\n  from: " + containerdtest.TestImage + "\n  npm: [{package: '" + name + "@1.9.0', integrity: " + integrity + ", bin: {claude: claude}}]\n  run: [echo " + rand.Text() + "]\n---\n"
	u.Write("home/.claude-bottle/bottles/updated.md", file)
	path := filepath.Join(u.Home, ".claude-bottle", "bottles", "updated.md")
	wantFile := func(want string) {
		t.Helper()
		if data, err := os.ReadFile(path); err != nil || string(data) != want {
			t.Errorf("the file is %q, %v", data, err)
		}
	}
	first := built(t, u.Run("image", "build", "updated", "--npm-registry", server.URL, "-o", "json"))
	update := func(args ...string) bottletest.Result {
		return u.Run(append([]string{"image", "update", first.Name, "--npm-registry", server.URL}, args...)...)
	}
	bottletest.Contains(t, update("--check").Want(t, 5).Stdout, "claude 1.9.0 -> 1.10.0", "not in the table of those known to work")
	bottletest.Contains(t, update().Want(t, 1).Stderr, "nothing is built")
	bottletest.Contains(t, update("--yes").Want(t, 1).Stderr, "its integrity is "+integrity)
	wantFile(file)
	answers["/"+name+"/-/claude-code-linux-x64-1.10.0.tgz"] = next
	second := built(t, update("--yes", "-o", "json"))
	if second.Digest == first.Digest || second.Built != 2 {
		t.Errorf("it made %+v of %s", second, first.Digest)
	}
	wantFile(strings.NewReplacer("@1.9.0", "@1.10.0", integrity, newer).Replace(file))
	bottletest.Contains(t, update("--check").Want(t, 0).Stdout, "claude 1.10.0, and none is newer")
	bottletest.Contains(t, u.Run("image", "ls", "-o", "name").Want(t, 0).Stdout, "claude-bottle.localhost/updated@"+first.Digest+"\n", second.Name+"\n")
	bottletest.Contains(t, u.Start("gvisor", "--image", second.Name, "--dry-run").Want(t, 0).Stdout, second.Digest, "present, claude 1.10.0)")
	bottletest.Contains(t, u.Run("image", "prune", "--yes").Want(t, 0).Stdout, "remove claude-bottle.localhost/updated@"+first.Digest)
	bottletest.Contains(t, u.Run("image", "update", "default").Want(t, 1).Stderr, "has no recipe")
}
