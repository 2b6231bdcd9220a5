package debian_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/image/debian"
	"github.com/containerd/errdefs"
	"github.com/ulikunitz/xz"
)

// mirror is an archive of a few packages, signed by a key of its own.
type mirror struct {
	files  map[string][]byte // by path
	signer *openpgp.Entity
	public []byte
}

func newSigner(t *testing.T) (*openpgp.Entity, []byte) {
	t.Helper()
	signer, err := openpgp.NewEntity("archive", "", "archive@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(signer.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	return signer, public.Bytes()
}

// suite is what the mirror has: what a control says, and the files.
var suite = []struct {
	control, conffiles, triggers string
	files                        []tar.Header // Linkname stands for the content of a file
}{
	{
		control:   "Package: base-files\nVersion: 1\nEssential: yes\nPre-Depends: awk\nDepends: libc (>= 2) | libd\n",
		files:     []tar.Header{dir("./"), dir("./bin/"), file("./etc/issue", "Debian"), file("./usr/share/doc/base-files/README", "long"), file("./usr/share/doc/base-files/copyright", "free")},
		conffiles: "/etc/issue\n",
	},
	{control: "Package: gawk\nVersion: 1\nPriority: optional\nProvides: awk\n"},
	{control: "Package: mawk\nVersion: 1\nPriority: required\nProvides: awk\n", files: []tar.Header{file("./bin/mawk", "awk")}},
	{
		control: "Package: libc\nVersion: 1\nMulti-Arch: same\nArchitecture: amd64\nDepends: usrmerge | usr-is-merged\n", triggers: "interest-noawait ldconfig\ninterest /usr/lib\n",
		files: []tar.Header{dir("./lib64/"), file("./lib64/ld.so", "loader"), {Typeflag: tar.TypeLink, Name: "./lib64/ld2.so", Linkname: "./lib64/ld.so"}},
	},
	{control: "Package: usrmerge\nVersion: 1\n"},
	{control: "Package: usr-is-merged\nVersion: 1\n"},
	{control: "Package: apt\nVersion: 1.9\nDepends: base-files\n", files: []tar.Header{{Typeflag: tar.TypeReg, Name: "./sbin/apt", Linkname: "apt", Mode: 0o4755}}},
	{control: "Package: unneeded\nVersion: 1\n"},
}

func dir(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755} }

func file(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content, Mode: 0o644}
}

func packed(t *testing.T, files []tar.Header) []byte {
	t.Helper()
	var made bytes.Buffer
	w := tar.NewWriter(&made)
	for _, header := range files {
		content := ""
		if header.Typeflag == tar.TypeReg {
			content, header.Linkname = header.Linkname, ""
			header.Size = int64(len(content))
		}
		header.ModTime = time.Unix(1e9, 0)
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return squeezed(t, made.Bytes())
}

func squeezed(t *testing.T, data []byte) []byte {
	t.Helper()
	var made bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 16}.NewWriter(&made)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return made.Bytes()
}

// deb puts the parts of a package together.
func deb(parts ...[]byte) []byte {
	made := []byte("!<arch>\n")
	for i, name := range []string{"debian-binary", "control.tar.xz", "data.tar.xz"} {
		made = fmt.Appendf(made, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(parts[i]))
		made = append(made, parts[i]...)
		if len(parts[i])%2 == 1 {
			made = append(made, '\n')
		}
	}
	return made
}

// newMirror makes one whose security part has a newer apt.
func newMirror(t *testing.T) *mirror {
	t.Helper()
	m := &mirror{files: map[string][]byte{}}
	m.signer, m.public = newSigner(t)
	var list, newer strings.Builder
	add := func(to *strings.Builder, base, control, conffiles, triggers string, files []tar.Header) {
		members := []tar.Header{file("./control", control), file("./postinst", "#!/bin/sh\n")}
		if conffiles != "" {
			members = append(members, file("./conffiles", conffiles))
		}
		if triggers != "" {
			members = append(members, file("./triggers", triggers))
		}
		made := deb([]byte("2.0\n"), packed(t, members), packed(t, files))
		path := fmt.Sprintf("pool/%x.deb", sha256.Sum256([]byte(control)))
		m.files[base+path] = made
		fmt.Fprintf(to, "%sFilename: %s\nSize: %d\nSHA256: %x\n\n", control, path, len(made), sha256.Sum256(made))
	}
	for _, one := range suite {
		add(&list, "/debian/", one.control, one.conffiles, one.triggers, one.files)
	}
	add(&newer, "/debian-security/", "Package: apt\nVersion: 1.10\nDepends: base-files\n", "", "", []tar.Header{{Typeflag: tar.TypeReg, Name: "./sbin/apt", Linkname: "newer", Mode: 0o4755}})
	for name, text := range map[string]string{"/debian/dists/here": list.String(), "/debian/dists/here-updates": "", "/debian-security/dists/here-security": newer.String()} {
		m.files[name+"/main/binary-amd64/Packages.xz"] = squeezed(t, []byte(text))
		m.release(t, name, "Codename: "+name[strings.LastIndex(name, "/")+1:]+"\n")
	}
	return m
}

// release signs for what the suite holds.
func (m *mirror) release(t *testing.T, suite, head string) {
	t.Helper()
	index := m.files[suite+"/main/binary-amd64/Packages.xz"]
	var made bytes.Buffer
	w, err := clearsign.Encode(&made, m.signer.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(w, "%sSHA256:\n %x %d main/binary-amd64/Packages.xz\n", head, sha256.Sum256(index), len(index)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m.files[suite+"/InRelease"] = made.Bytes()
}

func (m *mirror) root(t *testing.T) (map[string]string, []byte, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := m.files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	}))
	defer server.Close()
	var made bytes.Buffer
	archive := debian.Archive{URL: server.URL + "/debian", Keys: m.public, Progress: backend.NoProgress{}}
	if err := archive.Root(t.Context(), "here", "amd64", &made); err != nil {
		return nil, nil, err
	}
	found := map[string]string{}
	for reader := tar.NewReader(bytes.NewReader(made.Bytes())); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found, made.Bytes(), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		found[header.Name] = fmt.Sprintf("%c%04o %s%s", header.Typeflag, header.Mode, header.Linkname, content)
	}
}

func TestTheSmallestSystemIsUnpackedWithTheBooksOfDpkg(t *testing.T) {
	m := newMirror(t)
	found, bytesOf, err := m.root(t)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/issue":                             "00644 Debian",
		"usr/bin/mawk":                          "00644 awk",
		"usr/sbin/apt":                          "00755 newer",
		"usr/lib64/ld2.so":                      "10000 usr/lib64/ld.so",
		"bin":                                   "20777 usr/bin",
		"lib64":                                 "20777 usr/lib64",
		"usr/share/doc/base-files/copyright":    "00644 free",
		"var/lib/dpkg/info/libc:amd64.list":     "00644 /lib64\n/lib64/ld.so\n/lib64/ld2.so\n",
		"var/lib/dpkg/info/base-files.postinst": "00755 #!/bin/sh\n",
		"var/lib/dpkg/triggers/ldconfig":        "00644 libc:amd64/noawait\n",
		"var/lib/dpkg/triggers/File":            "00644 /usr/lib libc:amd64\n",
	} {
		if got := found[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"lib", "usr/share/doc/base-files/README", "var/lib/dpkg/info/gawk.list", "var/lib/dpkg/info/usrmerge.list", "var/lib/dpkg/info/unneeded.list"} {
		if got, ok := found[name]; ok {
			t.Errorf("%s is there: %q", name, got)
		}
	}
	status := found["var/lib/dpkg/status"]
	for _, want := range []string{"Package: apt\nVersion: 1.10\n", "Package: usr-is-merged\n", "Status: install ok unpacked\nConffiles:\n /etc/issue 6fe8b98c53e8d099686936732785d471\n\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("the status has no %q: %s", want, status)
		}
	}
	if _, again, err := m.root(t); err != nil || !bytes.Equal(again, bytesOf) {
		t.Errorf("the second time it is another one, %v", err)
	}
}

func TestT9_NothingIsTakenThatDebianHasNotSignedFor(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*testing.T, *mirror)
		want   string
		is     func(error) bool
	}{
		"another key":       {func(t *testing.T, m *mirror) { _, m.public = newSigner(t) }, "not signed by a key", errdefs.IsFailedPrecondition},
		"Debian's own keys": {func(_ *testing.T, m *mirror) { m.public = nil }, "not signed by a key of Debian's that ships", errdefs.IsFailedPrecondition},
		"no signature":      {func(_ *testing.T, m *mirror) { m.files["/debian/dists/here/InRelease"] = []byte("Codename: here\n") }, "is not signed", errdefs.IsFailedPrecondition},
		"a word changed": {func(_ *testing.T, m *mirror) {
			m.files["/debian/dists/here/InRelease"] = bytes.Replace(m.files["/debian/dists/here/InRelease"], []byte("Codename: here"), []byte("Codename: hers"), 1)
		}, "not signed by a key", errdefs.IsFailedPrecondition},
		"another suite": {func(_ *testing.T, m *mirror) {
			m.files["/debian/dists/here-updates/InRelease"] = m.files["/debian/dists/here/InRelease"]
		}, "here-updates: its InRelease is that of here", errdefs.IsFailedPrecondition},
		"out of date": {func(t *testing.T, m *mirror) {
			m.release(t, "/debian-security/dists/here-security", "Codename: here-security\nValid-Until: Sat, 01 Jan 2000 00:00:00 UTC\n")
		}, "was valid until", errdefs.IsFailedPrecondition},
		"another list": {func(t *testing.T, m *mirror) {
			m.files["/debian/dists/here/main/binary-amd64/Packages.xz"] = squeezed(t, []byte("Package: evil\n"))
		}, "is not what Debian has signed for", errdefs.IsFailedPrecondition},
		"another package": {func(_ *testing.T, m *mirror) {
			for name := range m.files {
				if strings.HasPrefix(name, "/debian/pool/") {
					m.files[name] = deb(nil, nil, nil)
				}
			}
		}, "is not what Debian has signed for", errdefs.IsFailedPrecondition},
		"no suite": {func(_ *testing.T, m *mirror) { clear(m.files) }, "404", errdefs.IsNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			test.change(t, m)
			if _, _, err := m.root(t); err == nil || !test.is(err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("it says %v, want %q", err, test.want)
			}
		})
	}
}
