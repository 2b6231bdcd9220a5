package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/doctor"
)

func TestT22_ChecksAreShownOnLinesThatPaintNothingOfTheirOwn(t *testing.T) {
	checks := []doctor.Check{
		{Name: "a", Title: "a thing", Status: doctor.OK, Found: "fine"},
		{Name: "b", Title: "another", Status: doctor.Missing, Found: "none \x1b[2J", Remedy: "make \u202e one"},
	}
	for colours, want := range map[bool]string{
		false: "STATUS    THING                    FOUND\n" +
			"ok        a thing                  fine\n" +
			"missing   another                  none \\x1b[2J\n" +
			"                                   -> make \\u202e one\n",
		true: "STATUS    THING                    FOUND\n" +
			"\x1b[32mok     \x1b[m   a thing                  fine\n" +
			"\x1b[31mmissing\x1b[m   another                  none \\x1b[2J\n" +
			"                                   -> make \\u202e one\n",
	} {
		var out strings.Builder
		paper := checkPaper{out: &out, colours: colours}
		for _, check := range checks {
			if err := paper.print([]doctor.Check{check}); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != want {
			t.Errorf("with colours %v it is\n%s\nwant\n%s", colours, out.String(), want)
		}
	}
}

func TestDoctorsCodeIsThatOfWhatIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "errors")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	a := &application{streams: streams{err: file}}
	fine := doctor.Report{Checks: []doctor.Check{{Status: doctor.OK}, {Status: doctor.Warning}, {Status: doctor.Unknown}}}
	if err := a.verdict(fine); err != nil {
		t.Errorf("nothing is missing: %v", err)
	}
	wrong := doctor.Report{Checks: append(fine.Checks, doctor.Check{Status: doctor.Missing})}
	var exit *exitError
	if err := a.verdict(wrong); !errors.As(err, &exit) || exit.code != 1 || exit.err != nil {
		t.Errorf("something is missing: %v", err)
	}
	said, err := os.ReadFile(path)
	if want := "claude-bottle: 1 ok, 1 warning, 0 missing, 1 unknown\nclaude-bottle: 1 ok, 1 warning, 1 missing, 1 unknown\n"; err != nil || string(said) != want {
		t.Errorf("%v: it says %q", err, said)
	}
}
