package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// setUpLogging points logrus, which log.G hands out, where the flags say.
func (a *application) setUpLogging(context.Context) error {
	level, err := logrus.ParseLevel(a.logLevel)
	if err != nil {
		return usageError{fmt.Errorf("--log-level %q: trace, debug, info, warning or error", a.logLevel)}
	}
	logger := log.L.Logger
	logger.SetLevel(level)
	switch a.logFormat {
	case "text":
		logger.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: log.RFC3339NanoFixed})
		if a.logFile == "" && toJournal(a.err, a.lookup) {
			logger.SetFormatter(newJournalFormatter())
		}
	case "json":
		logger.SetFormatter(&logrus.JSONFormatter{TimestampFormat: log.RFC3339NanoFixed})
	default:
		return usageError{fmt.Errorf("--log-format %q: text or json", a.logFormat)}
	}
	logger.SetOutput(a.err)
	if a.logFile != "" {
		file, err := os.OpenFile(a.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return usageError{fmt.Errorf("--log-file: %w", err)}
		}
		logger.SetOutput(file) // open until the program ends
	}
	return nil
}

// muteLog keeps the log off the terminal while it is raw. The returned function
// undoes that.
func (a *application) muteLog() func() {
	if a.logFile != "" {
		return func() {}
	}
	logger := log.L.Logger
	logger.SetOutput(io.Discard)
	return func() { logger.SetOutput(a.err) }
}
