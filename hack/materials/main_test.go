package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestABillNamesEachModuleOnceAndIsTheSameEachTime(t *testing.T) {
	yaml := module{"go.yaml.in/yaml/v3", "v3.0.4", "h1:x"}
	capital := module{"github.com/Upper/x", "v1.0.0+incompatible", ""}
	programs := []program{
		{name: "one", sha256: "00", goVersion: "go1", modules: []module{yaml, capital}},
		{name: "two", sha256: "11", goVersion: "go1", modules: []module{yaml}},
	}
	o := options{version: "v1", made: time.Unix(0, 0).UTC(), others: []other{{"libc", "/none"}}}
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := writeBill(b, o, programs); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() {
		t.Error("it is another one the second time")
	}
	var bill struct {
		Components   []struct{ Name, Purl string }
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(first.Bytes(), &bill); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, component := range bill.Components {
		names = append(names, component.Name+component.Purl)
	}
	want := "one two github.com/Upper/xpkg:golang/github.com/Upper/x@v1.0.0%2Bincompatible go.yaml.in/yaml/v3pkg:golang/go.yaml.in/yaml/v3@v3.0.4 libc"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("components %s, want %s", got, want)
	}
	if len(bill.Dependencies) != 3 || strings.Join(bill.Dependencies[0].DependsOn, " ") != "program/one program/two other/libc" {
		t.Errorf("dependencies %+v", bill.Dependencies)
	}
}

func TestNoticesHaveEachTextOnceUnderAllItsOwners(t *testing.T) {
	var text bytes.Buffer
	if err := writeNotices(&text, map[string][]string{"be nice": {"b@v1", "a@v1"}, "be kind": {"c@v1"}}); err != nil {
		t.Fatal(err)
	}
	if got := text.String(); strings.Count(got, "be nice") != 1 || !strings.Contains(got, "\na@v1\nb@v1\n\nbe nice\n") || strings.Index(got, "be nice") > strings.Index(got, "be kind") {
		t.Errorf("got %s", got)
	}
	directory := t.TempDir()
	for name, counts := range map[string]bool{"LICENSE": true, "LICENCE.txt": true, "COPYING": true, "NOTICE": true, "license-MIT": true, "licensed.go": false, "README": false} {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := licencesIn(directory)
		if err != nil || (len(files) == 1) != counts {
			t.Errorf("%s: %v, %v", name, files, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := read([]string{"main_test.go"}); err == nil || !strings.Contains(err.Error(), "main_test.go") {
		t.Errorf("a file that is no program: %v", err)
	}
}
