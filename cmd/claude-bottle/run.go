package main

import (
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/spf13/cobra"
)

// runOptions are the flags of run.
type runOptions struct {
	startOptions
	prompt    string
	each      string
	count     int
	parallel  int
	keep      bool
	removeAll bool
}

func (a *application) runCommand() *cobra.Command {
	var o runOptions
	command := &cobra.Command{
		Use:   "run AGENT {-p TASK [--count K] | --each FILE} [flags] [-- CLAUDE ARGS]",
		Short: "Have an agent do tasks in bottles of their own, and bring the work home",
		Long: `Start a bottle for each task, without a terminal and so many at a time; wait for all, and
bring the work of each one home: with --cwd in a git repository as refs/bottle/NAME/...,
as fetch does. The task is the same K times, or each line of FILE is one (- is standard
input). What follows -- goes to each claude.

The plan is shown once, for all, and secrets are read once. Each bottle gets the working
directory as it is when it starts. The bottles are called PREFIX-1 to PREFIX-K; the
numbers go on where bottles, or work in the repository, have them already; one that another
run is quicker to have is left to it.

What is done goes to standard error with what each claude has said, one line after its
name; a table, or with -o json all of it, to standard output. A bottle that ended with 0
and whose work is home is removed; one that failed, or that holds work that is nowhere
else, is kept, and it is said as what.

Ctrl-C halts all bottles, keeps their work and says where. A second one doesn't wait for
them: they end by themselves. Without this program (a hang-up, kill -9) they work on as
detached bottles do.

The exit code is 0 when each claude ended with 0 and its work is home or kept by wish, 1
when one didn't, and 125 when a bottle could not be started at all.`,
		Example: `  claude-bottle run claude --cwd -p "fix the flaky test" --count 3
  claude-bottle run claude --cwd --each tasks.txt --parallel 4 --yes
  claude-bottle run claude --cwd --yes --quiet -o json -p "add a changelog" | jq '.[].work.refs'
  claude-bottle run claude --cwd -p "make it faster" --count 5 --deadline 30m --label try=speed
  claude-bottle run claude -p "explain gVisor" -- --max-turns 3`,
		Annotations:       map[string]string{annotationOwnCode: "yes"},
		ValidArgsFunction: a.completeFiles(manifest.KindAgent),
		Args:              oneBeforeDash("run takes the name of one agent"),
	}
	flags := command.Flags()
	flags.StringVarP(&o.prompt, "prompt", "p", "", "`task` of all bottles")
	flags.IntVar(&o.count, "count", 1, "how many bottles have the task")
	flags.StringVar(&o.each, "each", "", "`file` with a task on each line")
	flags.IntVar(&o.parallel, "parallel", goruntime.NumCPU(), "how many bottles run at a time: as many as there are processors, unless it is given")
	flags.BoolVar(&o.keep, "keep", false, "remove no bottle")
	flags.BoolVar(&o.removeAll, "rm", false, "remove also those that failed, when their work is home")
	o.addSpec(command)
	flags.StringVar(&o.name, "name", "", "`prefix` of the bottles' names (default: the agent's)")
	flags.BoolVarP(&o.yes, "yes", "y", false, "launch without asking")
	flags.BoolVar(&o.dryRun, "dry-run", false, "print the plan of the first bottle and create nothing")
	flags.BoolVar(&o.allowVulnerableRunc, "allow-vulnerable-runc", false, "accept a runc with known ways out")
	o.addLife(command)
	o.output = addFormat(command, "text", "json", "yaml")
	command.RunE = func(command *cobra.Command, args []string) error {
		o.agent, o.claudeArgs, o.detach = args[0], args[1:], true
		if err := o.check(command.Flags().Changed("count")); err != nil {
			return err
		}
		return a.fanOut(command.Context(), o)
	}
	return command
}

// leastTTL leaves this program the time to see how a bottle has ended.
const leastTTL = time.Minute

// addLife adds the flags of a declaration: all bottles of a run are detached.
func (o *runOptions) addLife(command *cobra.Command) {
	o.life.add(command)
	for _, name := range lifeNames() {
		flag := command.Flags().Lookup(name)
		flag.Usage = strings.TrimPrefix(flag.Usage, "with --detach: ")
	}
}

// check refuses what can't be meant.
func (o *runOptions) check(counted bool) error {
	switch {
	case (o.prompt == "") == (o.each == ""):
		return usageError{errors.New("run takes a task: either -p TASK or --each FILE")}
	case o.each != "" && counted:
		return usageError{errors.New("--count and --each: each line of the file is one task, leave --count out")}
	case o.count < 1 || o.count > maxTasks:
		return usageError{fmt.Errorf("--count %d: give a number from 1 to %d", o.count, maxTasks)}
	case o.parallel < 1:
		return usageError{fmt.Errorf("--parallel %d: one bottle at a time is the least", o.parallel)}
	case o.life.flags != nil && o.life.flags.Changed("ttl") && o.life.ttl < leastTTL:
		return usageError{fmt.Errorf("--ttl %v: run looks at a bottle that has ended, and removes it itself: give %v at least", o.life.ttl, leastTTL)}
	case o.keep && o.removeAll:
		return usageError{errors.New("--keep and --rm: choose one")}
	}
	if o.name == "" {
		o.name = o.agent
	}
	return backend.ValidateName("bottle", fmt.Sprintf("%s-%d", o.name, maxTasks))
}
