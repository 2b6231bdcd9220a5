package provision

import (
	"fmt"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
)

// sayWhatIsOdd warns of what a user would not expect of the copy.
func (s *survey) sayWhatIsOdd() {
	if len(s.secrets) > 0 && s.tree.IncludeSecrets {
		s.warn("%d files or directories that look like secrets go in (--include-secrets): %s", len(s.secrets), firstNames(s.secrets))
	}
	if s.scan.skipped > 0 {
		s.warn("%d files were not looked into for secrets: together they are larger than %s.", s.scan.skipped, backend.Bytes(maxScannedTotal))
	}
	var secrets, named, borrowed, links []string
	for _, omission := range s.tree.Omitted {
		switch reason := omission.Reason; {
		case reason == reasonElsewhere:
			borrowed = append(borrowed, omission.Path)
		case reason == reasonPointsOut && s.repository.history && contains(s.tree.GitDir, omission.Path):
			links = append(links, omission.Path)
		case !omission.Tracked:
		case reason == backend.ReasonBottleIgnore:
			named = append(named, omission.Path)
		case reason == backend.ReasonSecret, reason == backend.ReasonSecretName, reason == reasonDecrypted:
			secrets = append(secrets, omission.Path)
		}
	}
	for _, list := range []struct {
		paths []string
		say   string
	}{
		{secrets, "%d secrets that stay out are tracked by git: what was committed of them is in the copied history: %s"},
		{named, "%d paths that .bottleignore names are tracked by git: what was committed of them is in the copied history: %s"},
		{borrowed, "%d repositories in the working directory borrow objects, which are not copied: commits may be missing inside. Run `git repack -a -d` there first: %s"},
		{links, "%d links of the repository lead out of the working directory, and git may not work inside: %s"},
	} {
		if len(list.paths) > 0 {
			s.warn(list.say, len(list.paths), firstNames(list.paths))
		}
	}
}

// firstNames are as many as fit a line.
func firstNames(paths []string) string {
	const shown = 10
	text := strings.Join(paths[:min(shown, len(paths))], ", ")
	if len(paths) > shown {
		text += fmt.Sprintf(" and %d more", len(paths)-shown)
	}
	return text
}
