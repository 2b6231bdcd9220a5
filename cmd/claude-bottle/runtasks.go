package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

const (
	maxTasks = 1000    // of one run
	maxTask  = 1 << 17 // bytes: what one argument of a program may have
)

// tasks are what the bottles of a run are told to do: the same count times, or the
// lines of a file.
func (o *runOptions) tasks(stdin io.Reader) ([]string, error) {
	if o.each == "" {
		return slices.Repeat([]string{o.prompt}, o.count), nil
	}
	in := stdin
	if o.each != "-" {
		file, err := os.Open(o.each)
		if err != nil {
			return nil, fmt.Errorf("read tasks: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	list, err := readTasks(in)
	if err != nil {
		return nil, fmt.Errorf("read tasks of %s: %w", backend.Printable(o.each), err)
	}
	return list, nil
}

// readTasks takes each line for a task, but those without anything on them.
func readTasks(in io.Reader) ([]string, error) {
	var list []string
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxTask)
	for lines.Scan() {
		task := strings.TrimSpace(lines.Text())
		switch {
		case task == "":
		case strings.ContainsRune(task, 0):
			return nil, fmt.Errorf("task %d holds a zero byte: %w", len(list)+1, errdefs.ErrInvalidArgument)
		case len(list) == maxTasks:
			return nil, fmt.Errorf("there are more than %d tasks: %w", maxTasks, errdefs.ErrInvalidArgument)
		default:
			list = append(list, task)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("after task %d: %w", len(list), err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no line has a task: %w", errdefs.ErrInvalidArgument)
	}
	return list, nil
}

// claudeArguments are those of a task. What stands before -- can't swallow it, and it
// may begin with a dash.
func claudeArguments(task string, more []string) []string {
	return slices.Concat([]string{"-p"}, more, []string{"--", task})
}

// firstFree is the lowest number above all those that prefix has had: no bottle and no
// work of an earlier run is mixed up with one of this run.
func firstFree(prefix string, used []string) int {
	free := 1
	for _, name := range used {
		base, _, _ := strings.Cut(name, "@")
		digits, ok := strings.CutPrefix(base, prefix+"-")
		if number, err := strconv.Atoi(digits); ok && err == nil && number >= free {
			free = number + 1
		}
	}
	return free
}
