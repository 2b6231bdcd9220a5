package main

import (
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/spf13/cobra"
)

func TestTheLifeOfABottleIsDeclaredByFlags(t *testing.T) {
	for _, test := range []struct {
		args, want, wrong string
	}{
		{args: "--detach"},
		{args: "--detach --restart no", want: "life Never"},
		{args: "--detach --restart on-failure --deadline 2h", want: "life OnFailure ends after 2h0m0s"},
		{args: "--detach --ttl 0", want: "life  removed 0s"},
		{args: "--detach --label a=b,c=d --label e=f", want: "life "},
		{args: "--deadline 2h", wrong: "add --detach"},
		{args: "--detach --deadline 1500ms", wrong: "whole seconds"},
		{args: "--detach --idle-timeout 0s", wrong: "whole seconds"},
		{args: "--detach --ttl -1s", wrong: "whole seconds"},
		{args: "--detach --restart sometimes", wrong: "OnFailure"},
		{args: "--detach --label a", wrong: "must be formatted as key=value"},
	} {
		t.Run(test.args, func(t *testing.T) {
			var life lifeFlags
			var declared *backend.Declaration
			command := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
			detach := command.Flags().Bool("detach", false, "")
			life.add(command)
			command.RunE = func(*cobra.Command, []string) (err error) {
				declared, err = life.declaration(*detach)
				return err
			}
			command.SetArgs(strings.Fields(test.args))
			err := command.Execute()
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("it is taken, or said is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (declared != nil) != (test.want != "") {
				t.Fatalf("declared is %+v", declared)
			}
			if declared == nil {
				return
			}
			said := "life " + string(declared.Life.Restart) + " " + declared.Life.Words()
			for _, word := range strings.Fields(test.want) {
				if !strings.Contains(said, word) {
					t.Errorf("it declares %q, want %q", said, test.want)
				}
			}
			if strings.Contains(test.args, "--label") && len(declared.Labels) != 3 {
				t.Errorf("its labels are %v", declared.Labels)
			}
		})
	}
}
