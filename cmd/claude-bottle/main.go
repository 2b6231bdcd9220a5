// Command claude-bottle runs claude in bottles: isolated, disposable
// environments on a containerd socket, under gVisor whenever it is there.
//
// This package turns flags into options, options into calls, and errors into
// exit codes. How bottles work is in the packages that it calls.
package main

import (
	"context"
	"os"
)

func main() {
	app := &application{
		streams: streams{in: os.Stdin, out: os.Stdout, err: os.Stderr},
		lookup:  os.LookupEnv,
	}
	os.Exit(app.run(context.Background(), os.Args[1:]))
}
