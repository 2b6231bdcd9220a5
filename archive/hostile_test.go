package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// hostile is a stream that wants more than it may have. The canary's directory
// stands for %s in names and targets.
type hostile struct {
	name    string
	entries []tar.Header
	// raw is a stream that no writer makes; entries follow it.
	raw []byte
	// wants is what comes of its delivery to a new name, below one directory:
	// "refused", "" for taken as it is, or the kinds of what is left out.
	wants string
}

const refused = "refused"

func link(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}
}

func device(kind byte, name string) tar.Header {
	return tar.Header{Typeflag: kind, Name: name, Devmajor: 1, Devminor: 3, Mode: 0o666}
}

func pax(header tar.Header, records ...string) tar.Header {
	header.PAXRecords = map[string]string{}
	for i := 0; i < len(records); i += 2 {
		header.PAXRecords[records[i]] = records[i+1]
	}
	return header
}

func withMode(header tar.Header, mode int64) tar.Header {
	header.Mode = mode
	return header
}

// block is a raw header with a right checksum, after change has had its way.
func block(kind byte, name string, size int64, change func(block []byte)) []byte {
	b := make([]byte, 512)
	copy(b[:100], name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	copy(b[124:], fmt.Sprintf("%011o\x0000000000000\x00", size))
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	if change != nil {
		change(b)
	}
	copy(b[148:156], "        ")
	sum := 0
	for _, value := range b {
		sum += int(value)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00", sum))
	return b
}

// padded is content up to the end of its last block.
func padded(content string) []byte {
	return append([]byte(content), make([]byte, (512-len(content)%512)%512)...)
}

func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// extended is a raw header of one kind with content: L and K are GNU's long names
// and targets, x and g are pax records.
func extended(kind byte, content string) []byte {
	return joined(block(kind, "long", int64(len(content)), nil), padded(content))
}

func record(key, value string) string {
	text := fmt.Sprintf(" %s=%s\n", key, value)
	length := len(text) + 1
	for len(fmt.Sprint(length))+len(text) != length {
		length++
	}
	return fmt.Sprint(length) + text
}

// binarySize puts a size to base 256 into a header.
func binarySize(size int64) func([]byte) {
	return func(b []byte) {
		fill := byte(0)
		if size < 0 {
			fill = 0xff
		}
		for i := 124; i < 128; i++ {
			b[i] = fill
		}
		b[124] |= 0x80
		binary.BigEndian.PutUint64(b[128:136], uint64(size))
	}
}

func sparse(b []byte) {
	copy(b[257:], "ustar  \x00")
	copy(b[386:], "00000000000\x0000000000001\x00") // one byte at the start
	copy(b[483:495], b[124:136])                    // the real size
	binarySize(1)(b)
}

// namesThatLeave are paths that lead out.
func namesThatLeave() []string {
	return []string{
		"../canary/owned", "/canary/owned", "%s/owned", "a/../../canary/owned", "./../canary/owned", "a/b/../../../canary/owned",
		"..", "../", "a/..", "a/../..", "//%s/owned", "/../../..%s/owned", "a//../../canary/owned", "./..//canary/owned", "a/./../../canary/owned",
	}
}

func hostileStreams() []hostile {
	file, dir, symlink := func(name string) tar.Header { return fileHeader(name, 5) }, dirHeader, symlinkHeader
	outside, taken := "symbolic link that leads outside", "symbolic link whose name is taken"
	bits, attributes := "setuid, setgid or sticky bit", "extended attributes"
	irregular := "hard link to what is no regular file"
	list := []hostile{
		{"link to canary, then file through it", []tar.Header{symlink("x", "%s"), file("x/owned")}, nil, outside},
		{"link up, then file through it", []tar.Header{symlink("x", "../canary"), file("x/owned")}, nil, outside},
		{"link to file, then written", []tar.Header{symlink("x", "%s/keep"), file("x")}, nil, outside},
		{"two hops", []tar.Header{symlink("a", "%s"), symlink("b", "a"), file("b/owned")}, nil, outside + ", " + taken},
		{"two hops, the first inside", []tar.Header{dir("d"), dir("d/e"), symlink("d/e/up", "../.."), symlink("x", "d/e/up/../canary")}, nil, outside},
		{"hops up from a link's end", []tar.Header{dir("d"), symlink("d/l", "."), symlink("x", "d/l/../..")}, nil, outside},
		{"link in a directory, twice named", []tar.Header{dir("d"), symlink("d/x", "%s"), file("d/x/owned")}, nil, outside},
		{"link to a directory inside, then file through it", []tar.Header{dir("d"), symlink("x", "d"), file("x/owned")}, nil, taken},
		{"directory replaced by a link", []tar.Header{dir("d"), file("d/in"), symlink("d", "e"), file("d/owned")}, nil, refused},
		{"link, then directory of its name", []tar.Header{symlink("x", "%s"), dir("x"), file("x/owned")}, nil, outside},
		{"link too high by one", []tar.Header{dir("a"), dir("a/b"), symlink("a/b/x", "../../../canary")}, nil, outside},
		{"link up as far as it may", []tar.Header{dir("a"), dir("a/b"), symlink("a/b/x", "../../y")}, nil, ""},
		{"link to nothing", []tar.Header{symlink("x", ""), file("y")}, nil, outside},
		{"link to itself", []tar.Header{symlink("x", "x")}, nil, ""},
		{"link moved by a hard link", []tar.Header{dir("a"), symlink("a/x", "../keep"), link("x", "a/x")}, nil, irregular},
		{"hard link to outside", []tar.Header{link("x", "../canary/keep"), file("x")}, nil, refused},
		{"hard link to absolute", []tar.Header{link("x", "%s/keep"), file("x")}, nil, refused},
		{"hard link through a link", []tar.Header{symlink("s", "%s"), link("x", "s/keep"), file("x")}, nil, outside + ", " + irregular},
		{"hard link to a link, then written", []tar.Header{symlink("s", "%s/keep"), link("x", "s"), file("x")}, nil, outside + ", " + irregular},
		{"hard link to a hard link", []tar.Header{file("a"), link("b", "a"), link("c", "b"), file("a")}, nil, ""},
		{"hard link to the root", []tar.Header{link("x", ".")}, nil, refused},
		{"hard link to a directory", []tar.Header{dir("d"), link("x", "d")}, nil, irregular},
		{"hard link to itself", []tar.Header{file("x"), link("x", "x")}, nil, ""},
		{"hard link to what comes later", []tar.Header{link("x", "y"), file("y")}, nil, irregular},
		{"hard link through a file", []tar.Header{file("x"), link("y", "x/z")}, nil, refused},
		{"link that is the root", []tar.Header{symlink(".", "%s"), file("owned")}, nil, refused},
		{"file that is the root", []tar.Header{file(".")}, nil, refused},
		{"link with a slash", []tar.Header{symlink("x/", "%s"), file("x/owned")}, nil, outside},
		{"mode of a directory through a link", []tar.Header{symlink("x", "%s"), dir("x/")}, nil, outside},
		{"directory in place of a link to a directory", []tar.Header{symlink("x", "%s"), dir("x"), dir("x/made")}, nil, outside},
		{"same name thrice", []tar.Header{file("x"), symlink("x", "%s/keep"), file("x")}, nil, outside},
		{"link in place of a file, then file", []tar.Header{file("x"), symlink("x", "y"), file("x")}, nil, taken},
		{"file in place of a directory", []tar.Header{dir("x"), file("x")}, nil, refused},
		{"directory in place of a file", []tar.Header{file("x"), dir("x")}, nil, refused},
		{"file below a file", []tar.Header{file("x"), file("x/y")}, nil, refused},
		{"directory without a way in", []tar.Header{withMode(dir("d"), 0), file("d/x")}, nil, ""},
		{"character device", []tar.Header{device(tar.TypeChar, "null"), file("x")}, nil, "device"},
		{"block device", []tar.Header{device(tar.TypeBlock, "disk"), file("x")}, nil, "device"},
		{"FIFO", []tar.Header{device(tar.TypeFifo, "fifo"), file("x")}, nil, "FIFO or socket"},
		{"FIFO, then written", []tar.Header{device(tar.TypeFifo, "x"), file("x")}, nil, "FIFO or socket"},
		{"setuid", []tar.Header{withMode(file("x"), 0o4755)}, nil, bits},
		{"setgid directory", []tar.Header{withMode(dir("x"), 0o2777)}, nil, bits},
		{"sticky directory", []tar.Header{withMode(dir("x"), 0o1777)}, nil, bits},
		{"capabilities", []tar.Header{pax(file("x"), "SCHILY.xattr.security.capability", "\x01\x00\x00\x02")}, nil, attributes},
		{"opaque directory", []tar.Header{pax(dir("x"), "SCHILY.xattr.trusted.overlay.opaque", "y")}, nil, attributes},
		{"owner", []tar.Header{pax(file("x"), "SCHILY.fflags", "immutable")}, nil, ""},
		{"long name that climbs", []tar.Header{file(strings.Repeat("a/", 120) + strings.Repeat("../", 121) + "canary/owned")}, nil, refused},
		{"deep", []tar.Header{file(strings.Repeat("d/", 5000) + "x")}, nil, refused},
		{"name of 64 KiB", []tar.Header{file(strings.Repeat("n", 64<<10))}, nil, refused},
		{"part of a name of 300 bytes", []tar.Header{file("d/" + strings.Repeat("n", 300))}, nil, refused},
		{"target of 64 KiB", []tar.Header{symlink("x", strings.Repeat("n", 64<<10))}, nil, refused},
		{"garbled name", []tar.Header{file("\x1b]0;x\x07\n"), file("\xff\xfe")}, nil, ""},
	}
	for _, name := range namesThatLeave() {
		list = append(list,
			hostile{"file " + name, []tar.Header{file(name)}, nil, refused},
			hostile{"directory " + name, []tar.Header{dir(name)}, nil, refused},
			hostile{"symbolic link " + name, []tar.Header{symlink(name, "x")}, nil, refused},
			hostile{"hard link to " + name, []tar.Header{link("x", name)}, nil, refused},
		)
	}
	return append(list, rawStreams()...)
}

// rawStreams are those that a tar writer refuses to make.
func rawStreams() []hostile {
	five := padded("OWNED")
	plain := joined(block(tar.TypeReg, "x", 5, nil), five)
	end := make([]byte, 1024)
	name64 := strings.Repeat("n", 64<<10)
	return []hostile{
		{"GNU long name that climbs", nil, joined(extended('L', "../canary/owned\x00"), plain, end), refused},
		{"GNU long name, absolute", nil, joined(extended('L', "/canary/owned\x00"), plain, end), refused},
		{"GNU long name of 64 KiB", nil, joined(extended('L', name64+"\x00"), plain, end), refused},
		{"GNU long name of 2 MiB", nil, joined(extended('L', strings.Repeat("n", 2<<20)), plain, end), refused},
		{"GNU long target that climbs", nil, joined(extended('K', "../canary/keep\x00"), block(tar.TypeLink, "x", 0, nil), end), refused},
		{"pax path that climbs", nil, joined(extended('x', record("path", "../canary/owned")), plain, end), refused},
		{"pax path, absolute", nil, joined(extended('x', record("path", "/canary/owned")), plain, end), refused},
		{"pax path twice", nil, joined(extended('x', record("path", "fine")+record("path", "../canary/owned")), plain, end), refused},
		{"pax path with NUL", nil, joined(extended('x', record("path", "a\x00b")), plain, end), refused},
		{"pax target that climbs", nil, joined(extended('x', record("linkpath", "../canary/keep")), block(tar.TypeLink, "x", 0, nil), end), refused},
		{"pax size, negative", nil, joined(extended('x', record("size", "-1")), plain, end), refused},
		{"pax size, too large", nil, joined(extended('x', record("size", "100000")), plain, end), refused},
		{"pax size of 8 EiB", nil, joined(extended('x', record("size", "9223372036854775807")), plain, end), refused},
		{"pax size, no number", nil, joined(extended('x', record("size", "many")), plain, end), refused},
		{"pax record with a wrong length", nil, joined(extended('x', "999 path=x\n"), plain, end), refused},
		{"pax record without an end", nil, joined(extended('x', "10 path=xy"), plain, end), refused},
		{"pax sparse file of 8 EiB", nil, joined(extended('x', record("GNU.sparse.major", "1")+record("GNU.sparse.minor", "0")+
			record("GNU.sparse.name", "x")+record("GNU.sparse.realsize", "9223372036854775807")), block(tar.TypeReg, "x", 512, nil),
			padded("1\n0\n0\n"), end), refused},
		{"pax sparse file that overlaps itself", nil, joined(extended('x', record("GNU.sparse.major", "0")+record("GNU.sparse.minor", "1")+
			record("GNU.sparse.numblocks", "2")+record("GNU.sparse.map", "0,5,2,5")+record("GNU.sparse.size", "100")), plain, end), refused},
		{"GNU sparse file of 8 EiB", nil, joined(block(tar.TypeGNUSparse, "x", 0, func(b []byte) {
			binarySize(1<<63 - 1)(b)
			sparse(b)
		}), padded("x"), end), refused},
		{"global pax header with a path", nil, joined(extended('g', record("path", "../canary/owned")), plain, end), refused},
		{"global pax header of git's", nil, joined(extended('g', record("comment", "0123")), plain, end), ""},
		{"pax header before nothing", nil, joined(extended('x', record("path", "x")), end), refused},
		{"headers without end", nil, joined(bytes.Repeat(extended('x', record("comment", strings.Repeat("c", 900<<10))), 6), plain, end), refused},
		{"negative size to base 256", nil, joined(block(tar.TypeReg, "x", 0, binarySize(-1)), five, end), refused},
		{"size of 8 EiB to base 256", nil, joined(block(tar.TypeReg, "x", 0, binarySize(1<<63-1)), five, end), refused},
		{"negative size, octal", nil, joined(block(tar.TypeReg, "x", 0, func(b []byte) { copy(b[124:], "-0000000005\x00") }), five, end), refused},
		{"size of 8 GiB, octal", nil, joined(block(tar.TypeReg, "x", 1<<33-1, nil), five, end), refused},
		{"size that is no number", nil, joined(block(tar.TypeReg, "x", 0, func(b []byte) { copy(b[124:], "zzzzzzzzzzz\x00") }), five, end), refused},
		{"size of a directory", nil, joined(block(tar.TypeDir, "x", 1024, nil), plain, end), refused},
		{"size of a link", nil, joined(block(tar.TypeSymlink, "x", 512, func(b []byte) { copy(b[157:], "y") }), five, end), refused},
		{"name with NUL", nil, joined(block(tar.TypeReg, "a\x00/../../canary/owned", 5, nil), five, end), ""},
		{"name without an end", nil, joined(block(tar.TypeReg, strings.Repeat("n", 100), 5, nil), five, end), ""},
		{"name split by a prefix that climbs", nil, joined(block(tar.TypeReg, "canary/owned", 5, func(b []byte) { copy(b[345:], "..") }), five, end), refused},
		{"empty name", nil, joined(block(tar.TypeReg, "", 5, nil), five, end), refused},
		{"mode to base 256", nil, joined(block(tar.TypeReg, "x", 5, func(b []byte) { copy(b[100:108], "\xff\xff\xff\xff\xff\xff\xff\xff") }), five, end), "setuid, setgid or sticky bit"},
		{"wrong checksum", nil, joined(block(tar.TypeReg, "x", 5, nil)[:511], []byte{1}, five, end), refused},
		{"file of an unknown kind", nil, joined(block('Z', "x", 5, nil), five, end), refused},
		{"volume label", nil, joined(block('V', "x", 0, nil), plain, end), refused},
		{"multi-volume file", nil, joined(block('M', "x", 5, nil), five, end), refused},
		{"contiguous file", nil, joined(block('7', "x", 5, nil), five, end), refused},
		{"file with a slash", nil, joined(block(0, "x/", 0, nil), plain, end), refused},
		{"no end", nil, plain, refused},
		{"nothing at all", nil, []byte{}, refused},
		{"one empty block at the end", nil, joined(plain, end[:512]), ""},
		{"something after one empty block", nil, joined(plain, end[:512], block(tar.TypeReg, "y", 5, nil), five), refused},
		{"something after the end", nil, joined(plain, end, block(tar.TypeReg, "../canary/owned", 5, nil), five), ""},
		{"much after the end", nil, joined(plain, end, make([]byte, 17<<20)), refused},
		{"compressed", nil, []byte("\x1f\x8b\x08\x00" + strings.Repeat("\x01", 2000)), refused},
		{"noise", nil, bytes.Repeat([]byte("noise"), 2000), refused},
		{"half a header", nil, plain[:300], refused},
		{"half a file", nil, plain[:514], refused},
	}
}

// bytes is the stream, with the canary's directory put in. All that is neither
// absolute nor the root lies below the prefix.
func (h hostile) bytes(t testing.TB, prefix, canary string) []byte {
	t.Helper()
	if h.raw != nil {
		return h.raw
	}
	below := func(name string) string {
		name = strings.ReplaceAll(name, "%s", canary)
		if name == "." || strings.HasPrefix(name, "/") {
			return name
		}
		return prefix + name
	}
	entries := slices.Clone(h.entries)
	for i := range entries {
		entry := &entries[i]
		entry.Name = below(entry.Name)
		if entry.Typeflag == tar.TypeLink {
			entry.Linkname = below(entry.Linkname)
		}
		entry.Linkname = strings.ReplaceAll(entry.Linkname, "%s", canary)
		if entry.Typeflag == tar.TypeReg {
			entry.Name = strings.TrimSuffix(entry.Name, "/") // the writer refuses it
		}
	}
	return tarOf(t, entries...).Bytes()
}
