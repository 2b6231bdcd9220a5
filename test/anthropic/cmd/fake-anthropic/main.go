// Command fake-anthropic serves the fake Anthropic API for the offline tour: it
// answers every prompt by saying what it was told.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/claude-bottle/claude-bottle/fake/anthropic"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "fake-anthropic: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "`address` to listen on")
	addressFile := flag.String("address-file", "", "`file` that the address is written to once it listens")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	server, err := anthropic.Start(anthropic.Options{Listen: *listen, ReplyTo: reply})
	if err != nil {
		return err
	}
	defer server.Close()
	if *addressFile != "" {
		if err := os.WriteFile(*addressFile+".new", []byte(server.Address()), 0o600); err != nil {
			return fmt.Errorf("write address: %w", err)
		}
		if err := os.Rename(*addressFile+".new", *addressFile); err != nil {
			return fmt.Errorf("write address: %w", err)
		}
	}
	fmt.Printf("listening on %s\n", server.URL())
	<-ctx.Done()
	return nil
}

func reply(said string) anthropic.Turn {
	return anthropic.Turn{Text: "Hello from the fake API, where no genie lives. You said: " + strings.TrimSpace(said)}
}
