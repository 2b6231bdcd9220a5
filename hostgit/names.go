package hostgit

import (
	"crypto/sha1" //nolint:gosec // git's own name of an object
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// MeansRepository says that git, on some file system, takes the name of a file for
// that of a repository: whatever the case, with characters that HFS+ ignores, or by
// what NTFS makes of it. It follows verify_path of git.
func MeansRepository(name string) bool {
	stream, _, _ := strings.Cut(name, ":") // of NTFS
	for _, form := range []string{Fold(name), Fold(stream)} {
		if form == ".git" || form == "git~1" {
			return true
		}
	}
	return false
}

// Fold is a name as the most forgiving file systems compare it: in lower case,
// without the characters that HFS+ ignores, nor spaces and dots at its end.
func Fold(name string) string {
	visible := strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
			return -1
		case r == utf8.RuneError:
			return '?'
		default:
			return r
		}
	}, name)
	return strings.ToLower(strings.TrimRight(visible, " ."))
}

// BlobName is git's name of a blob of that size, of so many hex digits. Content that
// is shorter or longer is an error.
func BlobName(content io.Reader, size int64, digits int) (string, error) {
	sum := sha1.New() //nolint:gosec // git's own name of an object
	if digits == 2*sha256.Size {
		sum = sha256.New()
	}
	_, _ = fmt.Fprintf(sum, "blob %d\x00", size)
	if _, err := io.CopyN(sum, content, size); err != nil {
		return "", fmt.Errorf("hash content: %w", err)
	}
	var more [1]byte
	if n, err := content.Read(more[:]); n > 0 || !errors.Is(err, io.EOF) {
		return "", errors.Join(errors.New("hash content: there is more of it than was said"), err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
