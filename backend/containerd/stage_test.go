package containerd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

func TestT11_WhatIsStagedIsClosedToOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives directories away")
	}
	dir := t.TempDir()
	where := places{id: backend.ID{Name: "genie", Suffix: "abcde"}, state: filepath.Join(dir, "state"), run: filepath.Join(dir, "run")}
	for _, path := range []string{where.state, where.run} {
		if err := os.Mkdir(path, wayThrough); err != nil {
			t.Fatal(err)
		}
	}
	if err := stage(where, user{inside: bottleUID, host: 1 << 20, first: 1<<20 - bottleUID}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(where.initLog()); err != nil {
		t.Errorf("the shim would make its log as it likes: %v", err)
	}
	for _, path := range []string{where.state, where.run} {
		entries, err := os.ReadDir(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if err != nil {
				t.Fatal(err)
			}
			full := filepath.Join(path, entry.Name())
			// Both are bound read-only, and hold nothing that is secret.
			if full != where.etc() && full != where.neck() && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s is %v", full, info.Mode())
			}
		}
	}
}
