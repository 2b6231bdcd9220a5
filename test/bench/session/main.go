// Command session runs a command in a bottle through its control socket, as a
// client that attaches does: session SOCKET COMMAND [ARGUMENT...]. It is what
// `ctr task exec` is compared with.
package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/claude-bottle/claude-bottle/neck"
)

func main() {
	code, err := run(context.Background(), os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "session:", err)
		code = 125
	}
	os.Exit(code)
}

func run(ctx context.Context, socket string, argv []string) (int, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return 0, err
	}
	link, err := neck.Client(conn)
	if err != nil {
		return 0, err
	}
	defer func() { _ = link.Close() }()
	stream, err := link.Open(ctx, neck.Request{Kind: neck.KindSession, Session: &neck.SessionRequest{
		Argv: argv, Dir: "/workspace", Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
	}})
	if err != nil {
		return 0, err
	}
	status, err := neck.Attach(ctx, stream, neck.SessionIO{Out: os.Stdout, Err: os.Stderr})
	return status.Code, err
}
