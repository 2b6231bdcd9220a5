package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type line struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
}

func read(t *testing.T, path string) []int {
	t.Helper()
	var numbers []int
	if err := Read(path, func(l line) error {
		numbers = append(numbers, l.Number)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return numbers
}

func TestT53_ALogTakesNoMoreThanTwiceItsBound(t *testing.T) {
	const most = 4 << 10
	path := filepath.Join(t.TempDir(), "log")
	opened, err := Open(path, most)
	if err != nil {
		t.Fatal(err)
	}
	const count = 1000
	for number := range count {
		if err := opened.Append(line{number, strings.Repeat("x", 50)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + olderSuffix} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > most || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has %d bytes, mode %v", filepath.Base(name), info.Size(), info.Mode())
		}
	}
	numbers := read(t, path)
	if len(numbers) == 0 || numbers[len(numbers)-1] != count-1 {
		t.Fatalf("the last line is lost: %v", numbers)
	}
	for i, number := range numbers {
		if number != numbers[0]+i {
			t.Fatalf("lines are lost or out of order: %v", numbers)
		}
	}
}

func TestF24_WhatIsNotWholeIsLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	text := `{"number":1}` + "\n" + `{"numb` + "\n" + `{"number":2}` + "\n" + `{"number":3`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("got lines %v", got)
	}
}

func TestALogThatHasJustBecomeTheOlderOneIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := Read(path, func(line) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
	if err := os.WriteFile(path+olderSuffix, []byte(`{"number":1}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); !slices.Equal(got, []int{1}) {
		t.Errorf("got lines %v", got)
	}
}

func TestF18_ALogThatCouldNotBeRotatedGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	opened, err := Open(path, 40)
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Append(line{1, "fills the file with its text"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := opened.Append(line{2, "finds no place to go"}); err == nil {
		t.Error("a line is added where there is no directory")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := opened.Append(line{3, "goes on"}); err != nil {
		t.Error(err)
	}
	if err := opened.Close(); err != nil {
		t.Error(err)
	}
	if got := read(t, path); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("got lines %v", got)
	}
	if err := opened.Append(line{4, ""}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}
