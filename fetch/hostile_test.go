package fetch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
)

// sum is a hash of all that lies below a directory, but for what is below these.
func sum(t testing.TB, dir string, but ...string) string {
	t.Helper()
	hash := sha256.New()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		for _, prefix := range but {
			if name == prefix || strings.HasPrefix(name, prefix+"/") {
				return nil
			}
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(hash, "%q %s\n", name, info.Mode())
		if !info.Mode().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		_, _ = fmt.Fprintf(hash, "%x\n", sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// object makes an object inside, whatever git thinks of it.
func (l *lamp) object(kind string, raw string) string {
	l.Helper()
	var out, said bytes.Buffer
	code, err := l.run(l.Context(), []string{"git", "hash-object", "-t", kind, "--literally", "-w", "--stdin"},
		backend.Terminal{In: strings.NewReader(raw), Out: &out, Err: &said})
	if err != nil || code != 0 {
		l.Fatalf("make %s: %d, %v: %s", kind, code, err, said.String())
	}
	return strings.TrimSpace(out.String())
}

// entry is one entry of a tree.
func entry(mode, name, object string) string {
	raw, _ := hex.DecodeString(object)
	return mode + " " + name + "\x00" + string(raw)
}

// commit makes a commit of a tree and has a branch stand for it.
func (l *lamp) commit(tree string) {
	l.Helper()
	const who = "agent <agent@bottle> 1700000000 +0000"
	made := l.object("commit", "tree "+tree+"\nauthor "+who+"\ncommitter "+who+"\n\nevil\n")
	l.agent("git update-ref refs/heads/evil " + made)
}

// refused fetches, and wants nothing at all to have come of it.
func (l *lamp) refused(bounds limits, want ...string) {
	l.Helper()
	before := sum(l, l.host)
	_, err := fetch(l.Context(), l, l.work, Options{Into: l.host, Progress: backend.NoProgress{}}, bounds)
	if err == nil {
		l.Error("it is taken")
		return
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			l.Errorf("%q is missing in: %v", part, err)
		}
	}
	if sum(l, l.host) != before {
		l.Error("the host's repository has changed")
	}
	if _, err := os.Stat(l.work.Path(backend.StateSaved)); err == nil {
		l.Error("something counts as saved")
	}
}

func generous() limits {
	return limits{bytes: 64 << 20, total: 10 * time.Minute, idle: 10 * time.Minute, memory: 4 << 30}
}

func TestT17_AHostileGitInsideIsBoundedAndRefused(t *testing.T) {
	last := strings.TrimSpace(fetchScript[strings.LastIndex(strings.TrimSpace(fetchScript), "\n"):])
	instead := func(old, replacement string) string {
		if !strings.Contains(fetchScript, old) {
			t.Fatalf("the script has no %q", old)
		}
		return strings.Replace(fetchScript, old, replacement, 1)
	}
	const listing = "echo claude-bottle 1; echo format sha1; echo end; "
	const none = "0123456789012345678901234567890123456789"
	quick := generous()
	quick.idle = 300 * time.Millisecond
	small := generous()
	small.bytes = 1 << 20
	slow := generous()
	slow.total = time.Second
	for _, test := range []struct {
		name, script string
		bounds       limits
		want         string
	}{
		{"says nothing", "sleep 100", quick, "said nothing for"},
		{"stops in the pack", listing + `printf PACK; sleep 100`, quick, "said nothing for"},
		{"is slow for ever", `echo claude-bottle 1; while :; do echo shallow; sleep 0.1; done`, slow, "within 1s"},
		{"ends at once", ":", generous(), "breaks off"},
		{"is no git", "exit 69", generous(), "no git"},
		{"has no repository", "exit 66", generous(), "no git repository"},
		{"fails", "echo 'broken \033[2J' >&2; exit 1", generous(), `broken \x1b[2J`},
		{"has an endless listing", "yes 'ref " + none + " refs/heads/x' | sed '1i claude-bottle 1'", generous(), "more than 10000 refs"},
		{"has an endless line", "cat /dev/zero", generous(), "makes no sense"},
		{"speaks another language", "echo hello", generous(), "begins hello"},
		{"has no pack", listing, generous(), "refused"},
		{"has an endless pack", listing + "printf 'PACK\\000\\000\\000\\002\\177\\377\\377\\377'; cat /dev/zero", generous(), "refused"},
		{"claims a commit of 64 GiB", listing + "printf 'PACK\\000\\000\\000\\002\\000\\000\\000\\001\\237\\377\\377\\377\\377\\017'; cat /dev/zero", generous(), "refused"},
		{"sends too much", instead(last, last+"; cat /dev/urandom"), small, "goes on after its pack"},
		{"sends one that is too large", "head -c 3000000 /dev/urandom >large; " + fetchScript, small, ""},
		{"cuts the pack", instead(last, last+" | head -c 150"), generous(), "refused"},
		{"spoils the pack", instead(last, last+" | tr e f"), generous(), "refused"},
		{"fails after all", instead(last, last+"; exit 3"), generous(), "ended with code 3"},
		{"lists what it does not send", instead("echo end", "echo 'ref "+none+" refs/heads/none'; echo end"), generous(), "heads/none is not in the pack"},
		{"leaves a file out", instead(last, `g rev-list --objects --all | cut -c 1-40 | grep -v "$(g rev-parse HEAD:more)" | g pack-objects --stdout`), generous(), "refused"},
		{"leaves a commit out", instead(last, `g rev-list --objects --all | cut -c 1-40 | grep -v "$(g rev-parse HEAD~1)" | g pack-objects --stdout`), generous(), "refused"},
		{"lists a tree as a branch", instead("echo end", `echo "ref $(git rev-parse 'HEAD^{tree}') refs/heads/tree"; echo end`), generous(), "heads/tree is a tree"},
		{"is of the other kind", instead(`echo "format $(g rev-parse --show-object-format)"`, "echo format sha256"), generous(), "wrong kind"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLamp(t)
			l.goIn()
			l.agent("echo wish >>tracked; head -c 9000 /dev/urandom >more; git add more; git commit -qam first; echo again >>tracked; git commit -qam second")
			l.script = test.script
			l.refused(test.bounds, test.want)
		})
	}
}

func TestT17_TooMuchIsRefusedAsSuch(t *testing.T) {
	l := newLamp(t)
	l.goIn()
	l.agent("head -c 3000000 /dev/urandom >large")
	bounds := generous()
	bounds.bytes = 1 << 20
	l.refused(bounds, "--max-size")
}

func TestT19_ObjectsThatAreTrapsAreRefused(t *testing.T) {
	blob := func(l *lamp, text string) string { return l.object("blob", text) }
	tree := func(entries ...string) func(*lamp) string {
		return func(l *lamp) string {
			object := blob(l, "x\n")
			raw := ""
			for _, one := range entries {
				mode, name, _ := strings.Cut(one, " ")
				raw += entry(mode, name, object)
			}
			return l.object("tree", raw)
		}
	}
	modules := func(text string) func(*lamp) string {
		return func(l *lamp) string { return l.object("tree", entry("100644", ".gitmodules", blob(l, text))) }
	}
	for name, make := range map[string]func(*lamp) string{
		".git":                  tree("100644 .git"),
		".GIT":                  tree("100644 .GIT"),
		"git~1":                 tree("100644 git~1"),
		".g\u200cit":            tree("100644 .g\u200cit"),
		"dot":                   tree("100644 ."),
		"dotdot":                tree("100644 .."),
		"path":                  tree("100644 a/b"),
		"empty name":            tree("100644 "),
		"twice":                 tree("100644 a", "100644 a"),
		"unsorted":              tree("100644 b", "100644 a"),
		"zero-padded":           tree("0100644 a"),
		"missing":               func(l *lamp) string { return l.object("tree", entry("100644", "a", strings.Repeat("12", 20))) },
		"null":                  func(l *lamp) string { return l.object("tree", entry("100644", "a", strings.Repeat("00", 20))) },
		".git below":            func(l *lamp) string { return l.object("tree", entry("40000", "a", tree("100755 .git")(l))) },
		"url with a newline":    modules("[submodule \"a\"]\n\tpath = a\n\turl = \"https://example.com/\\nhost=evil\"\n"),
		"url that is an option": modules("[submodule \"a\"]\n\tpath = a\n\turl = -u./payload\n"),
		"path that is one":      modules("[submodule \"a\"]\n\tpath = -a\n\turl = https://example.com/a\n"),
		"name that climbs":      modules("[submodule \"../../x\"]\n\tpath = a\n\turl = https://example.com/a\n"),
		"update command":        modules("[submodule \"a\"]\n\tpath = a\n\turl = https://example.com/a\n\tupdate = !touch ran\n"),
		".gitmodules is a link": func(l *lamp) string { return l.object("tree", entry("120000", ".gitmodules", blob(l, "/etc/x"))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLamp(t)
			l.goIn()
			l.commit(make(l))
			// As it is packed here, git inside does not look at what it sends.
			last := strings.LastIndex(strings.TrimSpace(fetchScript), "\n")
			l.script = fetchScript[:last] + "\ng cat-file --batch-all-objects --batch-check='%(objectname)' | g pack-objects --stdout\n"
			l.refused(generous(), "refused")
		})
	}
}
