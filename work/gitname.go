package work

import "strings"

// isGit says that git, on some file system, takes a name for that of a repository:
// whatever the case, with characters that the file system ignores, or by the short
// name that it has on Windows.
func isGit(name string) bool {
	visible := strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
			return -1
		default:
			return r
		}
	}, name)
	visible, _, _ = strings.Cut(strings.ToLower(visible), ":")
	visible = strings.TrimRight(visible, ". ")
	return visible == ".git" || visible == "git~1"
}
