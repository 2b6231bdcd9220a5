package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestTheJournalIsKnownByItsStream(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{fmt.Sprintf("%d:%d", stat.Dev, stat.Ino): true, "1:2": false, "": false} {
		if got := toJournal(file, func(string) (string, bool) { return value, true }); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	if toJournal(file, func(string) (string, bool) { return "", false }) {
		t.Error("without the variable it is taken for the journal")
	}
}

func TestTheJournalHearsPriorities(t *testing.T) {
	for level, want := range map[logrus.Level]string{
		logrus.ErrorLevel: "<3>level=error msg=said\n", logrus.WarnLevel: "<4>level=warning msg=said\n",
		logrus.InfoLevel: "<6>level=info msg=said\n", logrus.DebugLevel: "<7>level=debug msg=said\n",
	} {
		entry := logrus.NewEntry(logrus.New())
		entry.Level, entry.Message = level, "said"
		line, err := newJournalFormatter().Format(entry)
		if err != nil || string(line) != want {
			t.Errorf("%v: %q, %v", level, line, err)
		}
	}
}
