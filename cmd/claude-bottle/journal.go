package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/sirupsen/logrus"
)

// toJournal says that what is written to the file ends in systemd's journal: see
// systemd.exec(5), JOURNAL_STREAM.
func toJournal(file *os.File, lookup func(string) (string, bool)) bool {
	stream, ok := lookup("JOURNAL_STREAM")
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// journalFormatter leaves the time to the journal, and says the priority as it wants it.
type journalFormatter struct{ logrus.TextFormatter }

func newJournalFormatter() *journalFormatter {
	return &journalFormatter{logrus.TextFormatter{DisableTimestamp: true, DisableColors: true}}
}

// Format implements logrus.Formatter.
func (f *journalFormatter) Format(entry *logrus.Entry) ([]byte, error) {
	line, err := f.TextFormatter.Format(entry)
	if err != nil {
		return nil, err
	}
	priority := 7 // of syslog
	switch entry.Level {
	case logrus.PanicLevel, logrus.FatalLevel:
		priority = 2
	case logrus.ErrorLevel:
		priority = 3
	case logrus.WarnLevel:
		priority = 4
	case logrus.InfoLevel:
		priority = 6
	default:
	}
	return append([]byte(fmt.Sprintf("<%d>", priority)), line...), nil
}
