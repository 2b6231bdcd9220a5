package supervise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestT52_AFileSystemIsTightBelowWhatTheHostIsToKeep(t *testing.T) {
	large := disk{total: room{500 << 30, 1 << 20}, reserve: room{1 << 30, 1000}}
	for name, test := range map[string]struct {
		spare room
		tight bool
		pause time.Duration
		words string
	}{
		"wide":      {room{100 << 30, 1 << 19}, false, mostPause, ""},
		"near":      {room{1 << 30, 1 << 19}, false, 500 * time.Millisecond, ""},
		"very near": {room{1, 1 << 19}, false, leastPause, ""},
		"bytes":     {room{-1 << 29, 1 << 19}, true, tightPause, "the disk of /x has 512.0 MiB of 1.0 GiB left"},
		"inodes":    {room{100 << 30, -400}, true, tightPause, "the disk of /x has 600 of 1000 inodes left"},
	} {
		d := large
		d.spare, d.free = test.spare, room{d.reserve.bytes + test.spare.bytes, d.reserve.inodes + test.spare.inodes}
		if d.isTight() != test.tight || d.pause() != test.pause || test.tight && !strings.HasPrefix(d.words("/x"), test.words) {
			t.Errorf("%s: tight is %v, looked at again in %v, %s", name, d.isTight(), d.pause(), d.words("/x"))
		}
	}
	if uncounted := (disk{spare: room{bytes: 1}}); uncounted.isTight() {
		t.Error("inodes that nobody counts are short")
	}
}

func TestT52_WhatABottleTakesIsMeasured(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "workspace", "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "workspace", "below", "file"), make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(dir, "workspace", "link")); err != nil {
		t.Fatal(err)
	}
	now, err := lookAt(dir)
	if err != nil || now.total.bytes <= 0 || now.free.bytes > now.total.bytes || now.reserve.bytes > reservedBytes {
		t.Fatalf("the disk is %+v, %v", now, err)
	}
	for device, want := range map[uint64]room{now.device: {3 << 20, 4}, now.device + 1: {}} {
		var sum room
		if err := measure(t.Context(), dir, device, &sum); err != nil {
			t.Fatal(err)
		}
		if sum.inodes != want.inodes || sum.bytes < want.bytes || sum.bytes > want.bytes+1<<20 {
			t.Errorf("on device %d it takes %+v, want %+v", device, sum, want)
		}
	}
	if _, err := lookAt(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a disk that is not there was looked at")
	}
}
