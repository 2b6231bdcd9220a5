package doctor

import (
	"fmt"
	"slices"
	"time"

	"github.com/claude-bottle/claude-bottle/image/proven"
)

// Status says how it is with a thing.
type Status string

// The statuses. What is missing keeps bottles from working; what is unknown could not be
// looked at.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Missing Status = "missing"
	Unknown Status = "unknown"
)

// Check is what was found out about one thing. No part of it is a secret.
type Check struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	// Remedy is what to do about it, on one line; "" when there is nothing to do.
	Remedy string `json:"remedy,omitempty"`
}

// Report is the outcome of an examination.
type Report struct {
	Version string    `json:"version"` // of this program
	Time    time.Time `json:"time"`
	Quick   bool      `json:"quick"`
	// Mended is what was done before anything was looked at.
	Mended []string `json:"mended,omitempty"`
	Checks []Check  `json:"checks"`
	// Pairs are which claude has answered on which runtime.
	Pairs []proven.Pair `json:"pairs,omitempty"`
}

// Count says how many checks came out so.
func (r Report) Count(status Status) int {
	n := 0
	for _, check := range r.Checks {
		if check.Status == status {
			n++
		}
	}
	return n
}

// status is that of one check; Unknown when there is no such check.
func (r Report) status(name string) Status {
	at := slices.IndexFunc(r.Checks, func(check Check) bool { return check.Name == name })
	if at < 0 {
		return Unknown
	}
	return r.Checks[at].Status
}

// subject is a thing that can be looked at.
type subject struct{ name, title string }

func (s subject) check(status Status, remedy, format string, args ...any) Check {
	return Check{Name: s.name, Title: s.title, Status: status, Found: fmt.Sprintf(format, args...), Remedy: remedy}
}

func (s subject) ok(format string, args ...any) Check { return s.check(OK, "", format, args...) }

func (s subject) warning(remedy, format string, args ...any) Check {
	return s.check(Warning, remedy, format, args...)
}

func (s subject) missing(remedy, format string, args ...any) Check {
	return s.check(Missing, remedy, format, args...)
}

func (s subject) unknown(remedy, format string, args ...any) Check {
	return s.check(Unknown, remedy, format, args...)
}

// counted is a number and what it counts.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
