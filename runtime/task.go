package runtime

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"
)

const (
	taskBound   = 60 * time.Second // create and start: a sandbox on a slow host
	killWait    = 5 * time.Second  // for a killed task to stop
	removeBound = 30 * time.Second
)

// TaskState is what the daemon says of a task.
type TaskState struct {
	Exists   bool
	Status   string // created, running, stopped, paused, pausing or unknown
	PID      uint32
	ExitCode uint32
}

// Exit is how a task ended.
type Exit struct {
	Code uint32
	Err  error // when that can't be known
}

// CreateTask makes the sandbox of the record, with PID 1 not yet started. Its
// output goes to the file logPath, or nowhere for "".
func (c *Client) CreateTask(ctx context.Context, name, logPath string) (uint32, error) {
	ctx, cancel := c.boundedBy(ctx, taskBound)
	defer cancel()
	container, err := c.client.LoadContainer(ctx, name)
	if err != nil {
		return 0, c.failed(ctx, "load record "+name, err)
	}
	info, err := container.Info(ctx, containerd.WithoutRefreshedMetadata)
	if err != nil {
		return 0, c.failed(ctx, "read record "+name, err)
	}
	output := cio.NullIO
	switch {
	case logPath == "":
	case info.Runtime.Name == ShimRunsc:
		output = plainFile(logPath)
	default:
		output = cio.LogFile(logPath)
	}
	created, err := container.NewTask(ctx, output)
	if err != nil {
		return 0, c.failed(ctx, "create task "+name, err)
	}
	return created.Pid(), nil
}

// plainFile is cio.LogFile for gVisor's own shim, which knows no URIs and opens
// what is there.
func plainFile(path string) cio.Creator {
	return func(string) (cio.IO, error) {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
		return plainIO{path}, file.Close()
	}
}

// plainIO is a cio.IO without copying on our side.
type plainIO struct{ path string }

func (p plainIO) Config() cio.Config { return cio.Config{Stdout: p.path, Stderr: p.path} }
func (plainIO) Cancel()              {}
func (plainIO) Wait()                {}
func (plainIO) Close() error         { return nil }

// StartTask starts PID 1.
func (c *Client) StartTask(ctx context.Context, name string) error {
	ctx, cancel := c.boundedBy(ctx, taskBound)
	defer cancel()
	_, err := c.client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: name})
	if err != nil {
		return c.failed(ctx, "start task "+name, errgrpc.ToNative(err))
	}
	return nil
}

// Task asks for the state. An absent task is no error.
func (c *Client) Task(ctx context.Context, name string) (TaskState, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	return c.task(ctx, name)
}

// Tasks asks for the states of all that there are, by name, in one call. One whose shim
// gives no answer is not among them.
func (c *Client) Tasks(ctx context.Context) (map[string]TaskState, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	response, err := c.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		return nil, c.failed(ctx, "list tasks", errgrpc.ToNative(err))
	}
	states := make(map[string]TaskState, len(response.GetTasks()))
	for _, process := range response.GetTasks() {
		states[process.GetID()] = stateOf(process)
	}
	return states, nil
}

func (c *Client) task(ctx context.Context, name string) (TaskState, error) {
	response, err := c.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: name})
	err = errgrpc.ToNative(err)
	if errdefs.IsNotFound(err) {
		return TaskState{}, nil
	}
	if err != nil {
		return TaskState{}, c.failed(ctx, "look at task "+name, err)
	}
	return stateOf(response.GetProcess()), nil
}

func stateOf(process *task.Process) TaskState {
	return TaskState{Exists: true, Status: statusName(process.GetStatus()), PID: process.GetPid(), ExitCode: process.GetExitStatus()}
}

func statusName(status task.Status) string {
	switch status {
	case task.Status_CREATED:
		return "created"
	case task.Status_RUNNING:
		return "running"
	case task.Status_STOPPED:
		return "stopped"
	case task.Status_PAUSED:
		return "paused"
	case task.Status_PAUSING:
		return "pausing"
	default:
		return "unknown"
	}
}

// WaitTask returns a channel that gets one Exit, or is closed when ctx ends. A
// daemon that restarts meanwhile is waited for.
func (c *Client) WaitTask(ctx context.Context, name string) (<-chan Exit, error) {
	exits := make(chan Exit, 1)
	go func() {
		defer close(exits)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			spaced, cancel := c.unbounded(ctx)
			response, err := c.client.TaskService().Wait(spaced, &tasks.WaitRequest{ContainerID: name})
			cancel()
			err = errgrpc.ToNative(err)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				exits <- Exit{Code: response.GetExitStatus()}
				return
			case !errdefs.IsUnavailable(err):
				exits <- Exit{Err: fmt.Errorf("wait for task %s: %w", name, err)}
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return exits, nil
}

// RemoveTask kills the task and removes it, in the order that works for a
// sandbox that is created, running, hanging or dead: it is asked nicely once,
// then its process is killed from outside. One that is gone is fine.
func (c *Client) RemoveTask(ctx context.Context, name string) error {
	ctx, cancel := c.boundedBy(ctx, removeBound)
	defer cancel()
	state, err := c.task(ctx, name)
	if err != nil || !state.Exists {
		return err
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	exits, err := c.WaitTask(waiting, name)
	if err != nil {
		return err
	}
	if state.Status != "stopped" {
		c.kill(ctx, name, state.PID, exits)
	}
	_, err = c.client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: name})
	if err = errgrpc.ToNative(err); err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	return c.removeByForce(ctx, name, err)
}

// removeByForce is for a task that its shim can't remove, as without the runtime's binary:
// the daemon forgets a task whose shim has died. What is left then are leftovers.
func (c *Client) removeByForce(ctx context.Context, name string, cause error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := c.task(ctx, name)
		if err == nil && !state.Exists {
			return nil
		}
		if err != nil || !c.daemon.SharesPIDs {
			return c.failed(ctx, "delete task "+name, cause)
		}
		processes, err := c.Processes(name)
		if err != nil {
			return err
		}
		for _, pid := range processes {
			_ = kill(pid)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return c.failed(ctx, "delete task "+name, cause)
		}
	}
}

// kill ends the sandbox. A failed gVisor start answers a kill with an error that
// is not NotFound, and a hanging start holds the shim's lock: then only the
// process itself can be killed, which the shim notices.
func (c *Client) kill(ctx context.Context, name string, pid uint32, exits <-chan Exit) {
	var process *os.Process
	if pid > 1 && c.daemon.SharesPIDs {
		// Held from here on: its number may be another's when it is killed.
		process, _ = os.FindProcess(int(pid))
		defer func() { _ = process.Release() }()
	}
	asking, cancel := context.WithTimeout(ctx, killWait)
	_, err := c.client.TaskService().Kill(asking, &tasks.KillRequest{ContainerID: name, Signal: uint32(syscall.SIGKILL), All: true})
	cancel()
	if err == nil && ended(exits, killWait) {
		return
	}
	if process != nil {
		_ = process.Kill()
		ended(exits, killWait)
	}
}

func ended(exits <-chan Exit, within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-exits:
		return true
	case <-timer.C:
		return false
	}
}
