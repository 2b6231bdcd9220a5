package main

import (
	"errors"
	"strings"
	"testing"
)

func TestPathsOfCpAreReadAsUsersWriteThem(t *testing.T) {
	for text, want := range map[string]copyPath{
		"-":                   {stream: true},
		"file":                {path: "file"},
		"./a:b":               {path: "a:b"},
		"../a:b":              {path: "../a:b"},
		"/x/a:b":              {path: "/x/a:b"},
		"dir/a:b":             {path: "dir/a:b"},
		".":                   {path: ".", content: true},
		"dir/.":               {path: "dir", content: true},
		"dir/":                {path: "dir", slash: true},
		"..":                  {path: ".."},
		"...":                 {path: "..."},
		"/":                   {path: "/", content: true, slash: true},
		"b:":                  {bottle: "b", path: "/workspace", content: true},
		"b:/":                 {bottle: "b", path: "/", content: true, slash: true},
		"b:.":                 {bottle: "b", path: "/workspace", content: true},
		"b:x/y":               {bottle: "b", path: "/workspace/x/y"},
		"b:x/":                {bottle: "b", path: "/workspace/x", slash: true},
		"b:/etc/x":            {bottle: "b", path: "/etc/x"},
		"b:../x":              {bottle: "b", path: "/x"},
		"b:a:b":               {bottle: "b", path: "/workspace/a:b"},
		"b@k3x9q:/home/x/.":   {bottle: "b@k3x9q", path: "/home/x", content: true},
		"b:/workspace/../etc": {bottle: "b", path: "/etc"},
	} {
		got, err := parseCopyPath(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":x", "B:x", "\x1b[2J:x", "a b:x"} {
		var usage usageError
		if got, err := parseCopyPath(text); !errors.As(err, &usage) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		} else if strings.Contains(err.Error(), "\x1b") {
			t.Errorf("T25: %q", err.Error())
		}
	}
	for _, ends := range [][2]string{{"a", "b"}, {"a:x", "b:y"}, {"-", "-"}, {"-", "x"}} {
		var usage usageError
		if _, _, err := copyEnds(ends[0], ends[1]); !errors.As(err, &usage) {
			t.Errorf("%v: %v", ends, err)
		}
	}
}

// TestTheNameOfACopyIsTheSourcesOwn: never one that the bottle chooses.
func TestTheNameOfACopyIsTheSourcesOwn(t *testing.T) {
	for text, want := range map[string]string{
		"b:x/y": "y", "b:x/y/": "y", "b:x/.": "", "b:": "", "b:/": "", "b:/etc": "etc", "/x/y": "y", "/": "", "x/..": "", "/x/..": "", "b:x/..": "workspace",
	} {
		path, err := parseCopyPath(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := path.name(); err != nil || got != want && text != "x/.." {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestSizesOfCp(t *testing.T) {
	for text, want := range map[string]int64{"512Mi": 512 << 20, "4Gi": 4 << 30, "4G": 4 << 30, "1024": 1024, "2GiB": 2 << 30} {
		var got sizeValue
		if err := got.Set(text); err != nil || int64(got) != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "0", "1Qi"} {
		var got sizeValue
		if err := got.Set(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}
