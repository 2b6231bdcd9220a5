package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
)

// Exit codes. start returns claude's own beside those from 125 on.
const (
	exitError1   = 1   // any error of the other verbs
	exitUsage    = 2   // wrong flags or arguments
	exitConflict = 3   // name in use
	exitUnsaved  = 4   // work would be lost
	exitNewer    = 5   // image update --check: there is a newer claude
	exitOurs     = 125 // start failed before claude did
)

// exitError ends the program with a code, and with a message when err is set.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is a command line that can't be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// signalError is the cause of a context that a signal has ended.
type signalError struct{ signal os.Signal }

func (e signalError) Error() string { return "ended by signal: " + e.signal.String() }

// Is makes it a cancellation.
func (signalError) Is(target error) bool { return target == context.Canceled }

// exitCode is the one place that turns an error into a code.
func exitCode(command *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	var ended signalError
	if errors.As(err, &ended) {
		if number, ok := ended.signal.(syscall.Signal); ok {
			return 128 + int(number)
		}
	}
	ownCode := command != nil && command.Annotations[annotationOwnCode] != ""
	var usage usageError
	switch {
	case errdefs.IsAlreadyExists(err) || errdefs.IsConflict(err):
		return exitConflict
	case ownCode:
		return exitOurs
	case errors.As(err, &usage):
		return exitUsage
	default:
		return exitError1
	}
}

// annotationOwnCode marks the verbs whose exit code is the one of the command
// that they run.
const annotationOwnCode = "own-exit-code"

// printableLines makes an error safe to print, line by line: whatever is not
// printable ASCII is escaped.
func printableLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		if b.Len() > 0 {
			b.WriteString("\n  ")
		}
		for _, r := range strings.TrimRight(line, "\n") {
			if r >= ' ' && r <= '~' {
				b.WriteRune(r)
				continue
			}
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}
