package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/image/layer"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// epoch is the newest time of the layers here.
func epoch() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

func packed(t *testing.T, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, header := range headers {
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, strings.NewReader(strings.Repeat("x", int(header.Size))), header.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func list(t *testing.T, r io.Reader) []string {
	t.Helper()
	var names []string
	for from := tar.NewReader(r); ; {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprintf("%c %s %04o %d:%d %d %s%s", header.Typeflag, header.Name, header.Mode, header.Uid, header.Gid, header.ModTime.Unix(), header.Linkname, header.Uname))
	}
}

func TestTheSameFilesAreTheSameLayerWheneverAndByWhomTheyWereMade(t *testing.T) {
	at := func(host int, now time.Time) []tar.Header {
		return []tar.Header{
			{Typeflag: tar.TypeDir, Name: "./etc/", Mode: 0o755, Uid: host, Gid: host, ModTime: now},
			{Typeflag: tar.TypeReg, Name: "etc/new", Mode: 0o644, Size: 3, Uid: host + 33, Gid: host, ModTime: now.Add(time.Millisecond), Uname: "somebody", Format: tar.FormatPAX, AccessTime: now, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b"}},
			{Typeflag: tar.TypeReg, Name: "etc/old", Mode: 0o644, Size: 1, ModTime: time.Unix(1000, 0)},
			{Typeflag: tar.TypeSymlink, Name: "etc/link", Linkname: "/../../etc/shadow", Mode: 0o777, ModTime: now},
			{Typeflag: tar.TypeLink, Name: "etc/same", Linkname: "etc/new", ModTime: now},
			{Typeflag: tar.TypeReg, Name: "etc/.wh.gone", ModTime: now},
		}
	}
	var first []byte
	for i, host := range []int{0, 536870912} {
		var out bytes.Buffer
		options := layer.Options{Epoch: epoch(), HostID: host, Size: 65536}
		if _, err := layer.Rewrite(packed(t, at(host, time.Now().Add(time.Duration(i)*time.Hour))...), &out, options); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = bytes.Clone(out.Bytes())
		} else if !bytes.Equal(first, out.Bytes()) {
			t.Error("the layers differ")
		}
		want := []string{
			"5 etc/ 0755 0:0 1700000000 ", "0 etc/new 0644 33:0 1700000000 ", "0 etc/old 0644 0:0 1000 ",
			"2 etc/link 0777 0:0 1700000000 /../../etc/shadow", "1 etc/same 0000 0:0 1700000000 etc/new", "0 etc/.wh.gone 0000 0:0 1700000000 ",
		}
		if diff := cmp.Diff(want, list(t, &out)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestT15_DevicesAndMarksOfPrivilegeDoNotGetIntoALayer(t *testing.T) {
	var out bytes.Buffer
	summary, err := layer.Rewrite(packed(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "bin/su", Mode: 0o6755, Size: 1},
		tar.Header{Typeflag: tar.TypeDir, Name: "var/mail", Mode: 0o2775},
		tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Mode: 0o666},
		tar.Header{Typeflag: tar.TypeBlock, Name: "etc/disk", Mode: 0o666},
		tar.Header{Typeflag: tar.TypeLink, Name: "etc/other", Linkname: "etc/disk"},
		tar.Header{Typeflag: tar.TypeFifo, Name: "etc/pipe"},
		tar.Header{Typeflag: tar.TypeDir, Name: "tmp", Mode: 0o1777},
		tar.Header{Typeflag: tar.TypeReg, Name: "tmp/left", Size: 1},
	), &out, layer.Options{Epoch: epoch(), Shadowed: []string{"tmp", "dev"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"0 bin/su 0755 0:0 0 ", "5 var/mail/ 2775 0:0 0 "}
	if diff := cmp.Diff(want, list(t, &out)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(layer.Summary{Entries: 2, Bytes: 1, Unmarked: []string{"bin/su"}, Dropped: []string{"etc/disk", "etc/other", "etc/pipe"}}, summary); diff != "" {
		t.Error(diff)
	}
}

func TestT13_NamesThatLeadOutAreRefused(t *testing.T) {
	for _, header := range []tar.Header{
		{Typeflag: tar.TypeReg, Name: "../etc/passwd"},
		{Typeflag: tar.TypeReg, Name: "a/../../b"},
		{Typeflag: tar.TypeLink, Name: "a", Linkname: "../../etc/shadow"},
	} {
		if _, err := layer.Rewrite(packed(t, header), io.Discard, layer.Options{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s -> %s: %v", header.Name, header.Linkname, err)
		}
	}
}

func TestT16_ALayerIsBounded(t *testing.T) {
	two := []tar.Header{{Typeflag: tar.TypeReg, Name: "a", Size: 600}, {Typeflag: tar.TypeReg, Name: "b", Size: 600}}
	for name, options := range map[string]layer.Options{"bytes": {Bytes: 1000}, "entries": {Entries: 1}} {
		if _, err := layer.Rewrite(packed(t, two...), io.Discard, options); !errdefs.IsResourceExhausted(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
