// Command pairs adds to the table of image/proven what a doctor has seen:
//
//	claude-bottle doctor -o json | go run ./hack/pairs
//
// It prints the rows that are new.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/claude-bottle/claude-bottle/image/proven"
)

const table = "image/proven/table.json"

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pairs:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var report struct {
		Time  time.Time     `json:"time"`
		Pairs []proven.Pair `json:"pairs"`
	}
	if err := json.NewDecoder(in).Decode(&report); err != nil {
		return fmt.Errorf("read the doctor's report: %w", err)
	}
	data, err := os.ReadFile(table)
	if err != nil {
		return fmt.Errorf("read the table: call it in the repository's own directory: %w", err)
	}
	known, err := proven.Parse(data)
	if err != nil {
		return err
	}
	for i := range report.Pairs {
		report.Pairs[i].Seen = report.Time.Format(time.DateOnly)
		if !proven.Has(known, report.Pairs[i]) {
			if _, err := fmt.Fprintf(out, "%+v\n", report.Pairs[i]); err != nil {
				return err
			}
		}
	}
	if data, err = json.MarshalIndent(proven.Merge(known, report.Pairs), "", "  "); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	if err := os.WriteFile(table, append(data, '\n'), 0o600); err != nil { //nolint:gosec // a name of our own
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}
