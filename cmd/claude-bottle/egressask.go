package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/egress"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/supervise"
	"github.com/spf13/cobra"
)

func (a *application) egressPendingCommand() *cobra.Command {
	command := &cobra.Command{
		Use:               "pending NAME",
		Short:             "List hosts that wait for your answer (egress.mode ask)",
		Long:              "List the hosts that a running bottle asks for and no rule names. `egress approve` and\n`egress deny` answer; without an answer they are denied in the end.",
		Example:           "  claude-bottle egress pending claude",
		Args:              arguments("pending", "NAME"),
		ValidArgsFunction: a.completeNames(1, runningBottle),
	}
	output := addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		return a.controlled(command, args[0], func(ctx context.Context, client *supervise.Client, _ backend.Location) error {
			pending, err := client.Pending(ctx)
			if err != nil {
				return err
			}
			if pending == nil {
				pending = []egress.Held{}
			}
			if done, err := output.structured(a.out, pending); done || err != nil {
				return err
			}
			rows := make([][]string, 0, len(pending))
			for _, held := range pending {
				rows = append(rows, []string{address(held.Host, held.Port), age(time.Since(held.Since)), strconv.Itoa(held.Waiting)})
			}
			return table(a.out, []string{"HOST", "FOR", "CONNECTIONS"}, rows)
		})
	}
	return command
}

func (a *application) egressApproveCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "approve NAME HOST[:PORT]",
		Short:             "Let go on what waits for your answer (egress.mode ask)",
		Long:              "Answer yes to a host that a running bottle asks for, on one port or on all that it\nasks for. The answer holds for this run.",
		Example:           "  claude-bottle egress approve claude example.com\n  claude-bottle egress approve claude example.com:443",
		Args:              arguments("approve", "NAME", "HOST[:PORT]"),
		ValidArgsFunction: a.completeNames(1, runningBottle),
		RunE: func(command *cobra.Command, args []string) error {
			return a.controlled(command, args[0], func(ctx context.Context, client *supervise.Client, where backend.Location) error {
				changed, err := client.Approve(ctx, args[1])
				if err != nil {
					return fmt.Errorf("approve: %w", err)
				}
				for _, held := range changed.Approved {
					a.say("bottle %s may reach %s in this run", where.Name, address(held.Host, held.Port))
				}
				return nil
			})
		},
	}
}

func (a *application) egressTestCommand() *cobra.Command {
	var bottle bool
	command := &cobra.Command{
		Use:   "test NAME HOST[:PORT]",
		Short: "Say what would become of a connection, and which rule decides",
		Long: `Say what a running bottle's policy would do with a connection, and which rule decides.
Nothing is resolved or dialled: whether the name leads to a private address is seen
then. Without a port it is about 443. The exit code is 0 when it would be allowed.`,
		Example:           "  claude-bottle egress test claude example.com:8443\n  claude-bottle egress test --bottle default registry.npmjs.org",
		Args:              arguments("test", "NAME", "HOST[:PORT]"),
		ValidArgsFunction: a.completeNames(1, runningBottle),
	}
	command.Flags().BoolVar(&bottle, "bottle", false, "NAME is a bottle file: test what it says")
	output := addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		host, port, err := target(args[1])
		if err != nil {
			return err
		}
		var test egress.Test
		if bottle {
			test, err = a.testFile(args[0], host, port)
		} else {
			err = a.controlled(command, args[0], func(ctx context.Context, client *supervise.Client, _ backend.Location) (err error) {
				test, err = client.Test(ctx, host, port)
				return err
			})
		}
		if err != nil {
			return err
		}
		return a.printTest(test, output)
	}
	return command
}

// target reads HOST[:PORT]: what the policy says of a bad host is its own affair.
func target(text string) (host string, port uint16, err error) {
	host, port = text, 443
	if name, number, err := net.SplitHostPort(text); err == nil {
		parsed, err := strconv.ParseUint(number, 10, 16)
		if err != nil || parsed == 0 {
			return "", 0, usageError{fmt.Errorf("%s: %s is no port", backend.Printable(text), backend.Printable(number))}
		}
		host, port = name, uint16(parsed)
	}
	return host, port, nil
}

// testFile tests what a bottle file says.
func (a *application) testFile(name, host string, port uint16) (egress.Test, error) {
	options, err := a.manifestOptions()
	if err != nil {
		return egress.Test{}, err
	}
	loaded, err := manifest.LoadBottle(options, name)
	if err != nil {
		return egress.Test{}, err
	}
	return supervise.TryFile(loaded, host, port)
}

func (a *application) printTest(test egress.Test, output *format) error {
	done, err := output.structured(a.out, test)
	if err == nil && !done {
		_, err = fmt.Fprintf(a.out, "%s: %s by %s\n", test.Decision, address(test.Host, test.Port), backend.Printable(test.Rule))
		if err == nil && test.Reason != "" {
			_, err = fmt.Fprintf(a.out, "  %s\n", test.Reason)
		}
		for _, block := range test.Private {
			if err == nil {
				_, err = fmt.Fprintf(a.out, "  may lead to %s\n", block)
			}
		}
	}
	if err == nil && test.Decision != egress.Allowed {
		return &exitError{code: exitError1}
	}
	return err
}

func address(host string, port uint16) string {
	return net.JoinHostPort(backend.Printable(host), strconv.Itoa(int(port)))
}
