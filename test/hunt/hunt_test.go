package hunt_test

import (
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/claude-bottle/claude-bottle/test/hunt"
)

const secret = "s3cret+of/the=host&more"

func everything(string, fs.DirEntry) bool { return false }

func TestEverySpellingIsFoundWhereverItLies(t *testing.T) {
	wide := ""
	for _, c := range utf16.Encode([]rune(secret)) {
		wide += string([]byte{byte(c), byte(c >> 8)})
	}
	for name, text := range map[string]string{
		"plain": secret, "hex": hex.EncodeToString([]byte(secret)), "UTF-16": wide, "escaped": url.QueryEscape(secret),
		"base64 at 0": base64.StdEncoding.EncodeToString([]byte(secret)), "base64 at 1": base64.StdEncoding.EncodeToString([]byte("user:me:me:" + secret + "xx"))[3:], "base64 at 2": base64.RawStdEncoding.EncodeToString([]byte("ab" + secret + "x")),
	} {
		for _, before := range []int{0, 1, 1<<20 - 5, 1 << 20, 2<<20 + 17} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "file"), []byte(strings.Repeat("x", before)+text+"y"), 0o600); err != nil {
				t.Fatal(err)
			}
			h := hunt.New(map[string]string{"it": secret, "other": "another-secret"})
			h.Tree(dir, everything)
			if len(h.Hits) == 0 || !strings.Contains(h.Hits[0], "it (") || h.Files != 1 {
				t.Errorf("%s behind %d bytes: %q, %d files", name, before, h.Hits, h.Files)
			}
			if strings.Contains(strings.Join(h.Hits, " "), secret) || strings.Contains(strings.Join(h.Hits, " "), "other") {
				t.Errorf("%s: it says %q", name, h.Hits)
			}
		}
	}
}

func TestNamesAndLinksAreLookedAt(t *testing.T) {
	const word = "a-secret-word"
	for _, make := range []func(path string) error{
		func(path string) error { return os.Mkdir(path+"/"+word, 0o700) },
		func(path string) error { return os.Symlink(word, path+"/link") },
	} {
		dir := t.TempDir()
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		h := hunt.New(map[string]string{"it": word})
		h.Tree(dir, everything)
		if len(h.Hits) != 1 {
			t.Errorf("hits are %q", h.Hits)
		}
		h = hunt.New(map[string]string{"it": word})
		h.Tree(dir, func(path string, _ fs.DirEntry) bool { return path != dir })
		if len(h.Hits) != 0 {
			t.Errorf("what is skipped is looked at: %q", h.Hits)
		}
	}
}

func TestAProcessIsLookedAt(t *testing.T) {
	for name, command := range map[string]*exec.Cmd{
		"environment": exec.Command("cat"), "arguments": exec.Command("sh", "-c", "read x", secret), "memory": exec.Command("sh", "-c", `x=$(echo "$0" | tr b-zA a-yZ); echo ready; read y; echo "$x"`, "xifsf.jt.ju.opx"),
	} {
		wanted := secret
		if name == "memory" {
			wanted = strings.Map(func(r rune) rune {
				if r >= 'b' && r <= 'z' {
					return r - 1
				}
				return r
			}, "xifsf.jt.ju.opx")
		}
		command.Env = []string{"PATH=/usr/bin:/bin"}
		if name == "environment" {
			command.Env = append(command.Env, "TOKEN="+secret)
		}
		input, err := command.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		output, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if name == "memory" {
			if _, err := output.Read(make([]byte, 6)); err != nil {
				t.Fatal(err)
			}
		}
		h := hunt.New(map[string]string{"it": wanted})
		h.Start(command.Process.Pid)
		if h.Processes != 1 || (len(h.Hits) > 0) != (name != "memory") {
			t.Errorf("%s: hits of the start are %q", name, h.Hits)
		}
		if err := h.Contents(command.Process.Pid); err != nil || len(h.Hits) == 0 || h.Memory == 0 {
			t.Errorf("%s: hits are %q, %d bytes, %v", name, h.Hits, h.Memory, err)
		}
		_ = input.Close()
		_ = command.Wait()
	}
}
