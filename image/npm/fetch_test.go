package npm_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/npm"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// registry serves one package, whatever is asked for below its name.
func registry(t *testing.T, files ...tar.Header) (npm.Registry, string) {
	t.Helper()
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	w := tar.NewWriter(zip)
	for _, header := range files {
		content := header.Linkname // stands for the content
		header.Linkname, header.Size = "", int64(len(content))
		if header.Typeflag == tar.TypeSymlink {
			header.Linkname, header.Size, content = content, 0, ""
		}
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/@a/tool/-/tool-1.2.3.tgz" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(packed.Bytes())
	}))
	t.Cleanup(server.Close)
	sum := sha512.Sum512(packed.Bytes())
	return npm.Registry{URL: server.URL, Progress: backend.NoProgress{}}, "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// put gathers what gets in.
func put(got *[]string) func(backend.BuildPut) error {
	return func(what backend.BuildPut) error {
		*got = append(*got, "put "+what.To)
		for from := tar.NewReader(what.Tar); ; {
			header, err := from.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			content, err := io.ReadAll(from)
			if err != nil {
				return err
			}
			*got = append(*got, fmt.Sprintf("%s %04o %s%s", header.Name, header.Mode, content, header.Linkname))
		}
	}
}

func file(name, content string, mode int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Linkname: content}
}

func TestAPackageIsPutInWithItsPrograms(t *testing.T) {
	files := []tar.Header{
		file("package/package.json", `{"bin": {"tool": "./bin/tool.js"}, "scripts": {"install": "evil"}}`, 0o644),
		file("package/bin/tool.js", "run", 0o755),
		{Typeflag: tar.TypeSymlink, Name: "package/link", Linkname: "/etc/shadow"},
	}
	from, integrity := registry(t, files...)
	var got []string
	if err := from.Put(t.Context(), backend.RecipePackage{Package: "@a/tool@1.2.3", Integrity: integrity}, put(&got)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"put /usr/local/lib/node_modules/@a/tool", "x/ 0755 ", `x/package.json 0644 {"bin": {"tool": "./bin/tool.js"}, "scripts": {"install": "evil"}}`,
		"x/bin/ 0755 ", "x/bin/tool.js 0755 run",
		"put /usr/local/bin/tool", "tool 0777 ../lib/node_modules/@a/tool/bin/tool.js",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	entry := backend.RecipePackage{Package: "@a/tool@1.2.3", Integrity: integrity, Bin: map[string]string{"other": "bin/tool.js"}}
	if err := from.Put(t.Context(), entry, put(&got)); err != nil || got[len(got)-1] != "other 0777 ../lib/node_modules/@a/tool/bin/tool.js" {
		t.Errorf("%v: it put %q", err, got)
	}
}

func TestNothingOfAPackageGetsInThatIsNotWhatWasAskedFor(t *testing.T) {
	other := "sha512-" + strings.Repeat("A", 86) + "=="
	for name, test := range map[string]struct {
		files []tar.Header
		entry backend.RecipePackage
		kind  func(error) bool
		want  string
	}{
		"other bytes":   {[]tar.Header{file("package/a", "a", 0o644)}, backend.RecipePackage{Package: "@a/tool@1.2.3", Integrity: other}, errdefs.IsFailedPrecondition, "its integrity is sha512-"},
		"other version": {[]tar.Header{file("package/a", "a", 0o644)}, backend.RecipePackage{Package: "@a/tool@9.9.9"}, errdefs.IsNotFound, "404"},
		"others needed": {[]tar.Header{file("package/package.json", `{"dependencies": {"b": "1"}}`, 0o644)}, backend.RecipePackage{Package: "@a/tool@1.2.3"}, errdefs.IsFailedPrecondition, "it needs b: put npm among the packages"},
		"a way out":     {[]tar.Header{file("package/../../etc/passwd", "a", 0o644)}, backend.RecipePackage{Package: "@a/tool@1.2.3"}, errdefs.IsInvalidArgument, "it holds"},
	} {
		from, integrity := registry(t, test.files...)
		if test.entry.Integrity == "" {
			test.entry.Integrity = integrity
		}
		var got []string
		err := from.Put(t.Context(), test.entry, put(&got))
		if err == nil || !test.kind(err) || !strings.Contains(err.Error(), test.want) || len(got) > 0 {
			t.Errorf("%s: %v; it put %q", name, err, got)
		}
	}
}

func TestAProgramHasNoOtherPlaceThanTheOneForPrograms(t *testing.T) {
	from, integrity := registry(t, file("package/package.json", `{"bin": {"../../etc/profile": "x"}}`, 0o644))
	var got []string
	err := from.Put(t.Context(), backend.RecipePackage{Package: "@a/tool@1.2.3", Integrity: integrity}, put(&got))
	if !errdefs.IsInvalidArgument(err) {
		t.Errorf("%v: it put %q", err, got)
	}
}
