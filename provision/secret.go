package provision

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/claude-bottle/claude-bottle/archive"
	"github.com/claude-bottle/claude-bottle/leaks"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// What of a tree is looked into for secrets: small files, and so much of them that
// a plan is not long in coming.
const (
	maxScanned      = 256 << 10
	maxScannedTotal = 256 << 20
)

// secretNames and secretDirectories are where credentials usually lie.
var (
	secretNames = []string{
		".env", ".envrc", ".netrc", ".npmrc", ".pypirc", ".git-credentials", ".htpasswd", ".pgpass", ".my.cnf", ".vault-token",
		".dockercfg", ".terraformrc", "credentials.json", "service-account.json", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519",
	}
	secretDirectories = []string{".ssh", ".gnupg", ".aws", ".azure", ".kube", ".gcloud"}
	secretEndings     = []string{".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk"}
	exampleEndings    = []string{".example", ".sample", ".template", ".dist"}
)

func secretLike(entry archive.Entry) bool {
	name := strings.ToLower(entry.Path[strings.LastIndexByte(entry.Path, '/')+1:])
	match := func(list []string, is func(s, of string) bool) bool {
		for _, known := range list {
			if is(name, known) {
				return true
			}
		}
		return false
	}
	same := func(s, of string) bool { return s == of }
	if entry.IsDir() {
		return match(secretDirectories, same)
	}
	if match(exampleEndings, strings.HasSuffix) {
		return false
	}
	return match(secretNames, same) || strings.HasPrefix(name, ".env.") || match(secretEndings, strings.HasSuffix)
}

// scan is a search for secrets in what files hold.
type scan struct {
	files   []scanned
	total   int64
	skipped int // files that were too many
}

type scanned struct {
	path string
	size int64
}

// add notes a file that is to be looked into, if it is small enough.
func (s *scan) add(entry archive.Entry) {
	size := entry.Stat.Size
	switch {
	case entry.Kind() != unix.S_IFREG || size == 0 || size > maxScanned:
	case s.total+size > maxScannedTotal:
		s.skipped++
	default:
		s.total += size
		s.files = append(s.files, scanned{entry.Path, size})
	}
}

// run reads the files side by side, and returns the rules that found something,
// by path. A file that went away, or can't be read, is met again when it is
// copied.
func (s *scan) run(ctx context.Context, read func(path string) ([]byte, error)) (map[string]string, error) {
	if len(s.files) == 0 {
		return nil, nil
	}
	detector, err := leaks.NewDetector(nil)
	if err != nil {
		return nil, err
	}
	var (
		mu    sync.Mutex
		found = map[string]string{}
		next  atomic.Int64
	)
	group, ctx := errgroup.WithContext(ctx)
	for range min(runtime.GOMAXPROCS(0), len(s.files)) {
		group.Go(func() error {
			for {
				at := int(next.Add(1)) - 1
				if at >= len(s.files) || ctx.Err() != nil {
					return context.Cause(ctx)
				}
				text, err := read(s.files[at].path)
				if err != nil || isBinary(text) {
					continue
				}
				if rules := detector.FindInFile(s.files[at].path, text); len(rules) > 0 {
					mu.Lock()
					found[s.files[at].path] = strings.Join(rules, ", ")
					mu.Unlock()
				}
			}
		})
	}
	return found, group.Wait()
}

// isBinary is git's own rule of thumb.
func isBinary(content []byte) bool { return bytes.IndexByte(content[:min(len(content), 8000)], 0) >= 0 }
