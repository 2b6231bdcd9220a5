// Command materials says what programs are made of: it writes the notices that their
// licences ask for, and a bill of materials (SBOM, CycloneDX), from what Go has noted in
// the programs themselves.
//
//	materials -version V -time SECONDS -notices FILE -sbom FILE [-with NAME=LICENCE FILE]... PROGRAM...
//
// The module cache must have the modules, or a module proxy be reachable.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "materials:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	version       string
	made          time.Time
	notices, sbom string
	others        []other
	programs      []string
}

// other is what a program holds that is no Go module.
type other struct{ name, licence string }

func parse(args []string) (options, error) {
	var o options
	var seconds int64
	flags := flag.NewFlagSet("materials", flag.ContinueOnError)
	flags.StringVar(&o.version, "version", "", "version of the release")
	flags.Int64Var(&seconds, "time", 0, "when it was made, in seconds since 1970")
	flags.StringVar(&o.notices, "notices", "", "file for the licences")
	flags.StringVar(&o.sbom, "sbom", "", "file for the bill of materials")
	flags.Func("with", "what else is in a program, as NAME=LICENCE FILE", func(text string) error {
		name, licence, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("give NAME=FILE")
		}
		o.others = append(o.others, other{name, licence})
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.made, o.programs = time.Unix(seconds, 0).UTC(), flags.Args()
	if o.version == "" || o.notices == "" || o.sbom == "" || len(o.programs) == 0 {
		return o, errors.New("give -version, -notices, -sbom and programs")
	}
	return o, nil
}

func run(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	programs, err := read(o.programs)
	if err != nil {
		return err
	}
	if err := writeFile(o.sbom, func(file *os.File) error { return writeBill(file, o, programs) }); err != nil {
		return fmt.Errorf("write bill of materials: %w", err)
	}
	notices, err := collect(programs, o.others)
	if err != nil {
		return err
	}
	return writeFile(o.notices, func(file *os.File) error { return writeNotices(file, notices) })
}

func writeFile(path string, write func(*os.File) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
