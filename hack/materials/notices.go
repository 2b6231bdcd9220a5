package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenceFile is how files are called that a licence asks to be passed on.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]es?|copying|notice|copyright|patents)([.-].*)?$`)

// collect maps each text to whose it is.
func collect(programs []program, others []other) (map[string][]string, error) {
	texts := map[string][]string{}
	add := func(owner, path string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read licence of %s: %w", owner, err)
		}
		text := strings.TrimSpace(strings.ReplaceAll(string(data), "\r\n", "\n"))
		if !slices.Contains(texts[text], owner) {
			texts[text] = append(texts[text], owner)
		}
		return nil
	}
	modules := modulesOf(programs)
	directories, err := download(modules)
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		files, err := licencesIn(directories[m.String()])
		if err != nil || len(files) == 0 {
			return nil, errors.Join(fmt.Errorf("%s has no licence that is found", m), err)
		}
		for _, file := range files {
			if err := add(m.String(), file); err != nil {
				return nil, err
			}
		}
	}
	for _, other := range others {
		if err := add(other.name, other.licence); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// download asks Go where its modules are, which gets what is missing.
func download(modules []module) (map[string]string, error) {
	arguments := []string{"mod", "download", "-json"}
	for _, m := range modules {
		arguments = append(arguments, m.String())
	}
	empty, err := os.MkdirTemp("", "materials")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(empty) }()
	command := exec.Command("go", arguments...)
	command.Dir, command.Stderr = empty, os.Stderr
	command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	directories := map[string]string{}
	decoder := json.NewDecoder(output)
	var decodeErr error
	for decodeErr == nil {
		var got struct{ Path, Version, Dir string }
		if decodeErr = decoder.Decode(&got); decodeErr == nil {
			directories[got.Path+"@"+got.Version] = got.Dir
		}
	}
	if errors.Is(decodeErr, io.EOF) {
		decodeErr = nil
	}
	if err := errors.Join(decodeErr, command.Wait()); err != nil {
		return nil, fmt.Errorf("find modules: %w", err)
	}
	return directories, nil
}

// licencesIn finds the files at the top of a module, or, where a module is a part of a
// repository without any of its own, nothing.
func licencesIn(directory string) ([]string, error) {
	if directory == "" {
		return nil, errors.New("its directory is unknown")
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if licenceFile.MatchString(entry.Name()) && entry.Type().IsRegular() {
			files = append(files, filepath.Join(directory, entry.Name()))
		}
	}
	return files, nil
}

// writeNotices writes each text once, under the names of those whose it is.
func writeNotices(w io.Writer, texts map[string][]string) error {
	byOwner := map[string]string{}
	for text, owners := range texts {
		slices.Sort(owners)
		byOwner[strings.Join(owners, "\n")+"\x00"+text] = text
	}
	var b strings.Builder
	b.WriteString("The programs of this release hold the work of others, under these licences.\n")
	for _, key := range slices.Sorted(maps.Keys(byOwner)) {
		owners, _, _ := strings.Cut(key, "\x00")
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), owners, byOwner[key])
	}
	_, err := io.WriteString(w, b.String())
	return err
}
