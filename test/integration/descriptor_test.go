package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// innerDescriptor is what a process inside may have open: nothing of the host's,
// and no directory. The script is the stand-in for claude that the shell reads.
var innerDescriptor = regexp.MustCompile(`^(/dev/null|/dev/ptmx|/dev/pts/(ptmx|\d+)|/usr/local/bin/claude|(pipe|socket):\[\d+\]|anon_inode:\[?(eventpoll|eventfd|pidfd)\]?|host:\[\d+\])$`)

func TestT8_TheAgentIsGivenItsThreeStreamsAndNothingElse(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		_, all := attacks(t, u, runtime, "descriptors")
		checkDescriptors(t, all, `^pipe:\[\d+\]$`)

		does(u, "exec ./attack descriptors go")
		s := u.OnTerminal("start", "tester", "--yes", "--quiet", "--discard", "--cwd", "--name", "drawing", "--runtime", runtime)
		s.Shows("waiting")
		checkDescriptors(t, s.Text(), `^/dev/pts/\d+$`)
		if runtime == "runc" {
			checkFromOutside(t, u, "drawing")
		}
		directories, err := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "drawing-*", "workspace"))
		if err != nil || len(directories) != 1 {
			t.Fatalf("the bottle's workspace is at %v, %v", directories, err)
		}
		if err := os.WriteFile(filepath.Join(directories[0], "go"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if code := s.Ends(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// checkDescriptors reads what was seen inside: the own descriptors are the three,
// each of them as the stream says, and nobody else has one of the host's.
func checkDescriptors(t *testing.T, all, stream string) {
	t.Helper()
	var own []string
	others := 0
	for line := range strings.Lines(all) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 3 && fields[0] == "own":
			own = append(own, fields[1])
			if !regexp.MustCompile(stream).MatchString(fields[2]) {
				t.Errorf("descriptor %s is %s", fields[1], fields[2])
			}
		case len(fields) == 4 && fields[0] == "process" && strings.HasPrefix(fields[2], "fd/"):
			others++
			if !innerDescriptor.MatchString(fields[3]) {
				t.Errorf("process %s has %s open, as %s", fields[1], fields[3], fields[2])
			}
		case len(fields) == 4 && fields[0] == "process" && fields[2] == "root" && fields[3] != "/",
			len(fields) == 4 && fields[0] == "process" && fields[2] == "cwd" && fields[3] != "/" && fields[3] != "/workspace":
			t.Errorf("the %s of process %s is %s", fields[2], fields[1], fields[3])
		}
	}
	if !slices.Equal(own, []string{"0", "1", "2"}) {
		t.Errorf("own descriptors are %v", own)
	}
	if others == 0 {
		t.Error("no descriptor of another process was seen")
	}
	if !regexp.MustCompile(`(?m)^directory /workspace\s*$`).MatchString(all) {
		t.Error("the working directory is not /workspace")
	}
	if t.Failed() {
		t.Log(all)
	}
}

// checkFromOutside looks at the same from the host, which sees PID 1 as well:
// that one lets nobody look inside. Under gVisor its descriptors are no
// descriptors of the host's kernel.
func checkFromOutside(t *testing.T, u *bottletest.User, name string) {
	t.Helper()
	ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
	container, err := u.Daemon.Client().LoadContainer(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	task, err := container.Task(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	processes, err := task.Pids(ctx)
	if err != nil || len(processes) < 3 {
		t.Fatalf("processes are %v, %v", processes, err)
	}
	seen := 0
	for _, process := range processes {
		descriptors, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", process.Pid))
		for _, descriptor := range descriptors {
			target, err := os.Readlink(descriptor)
			if os.IsNotExist(err) {
				continue // closed meanwhile
			}
			if err != nil || !innerDescriptor.MatchString(target) {
				t.Errorf("%s is %q, %v", descriptor, target, err)
			}
			if process.Pid == task.Pid() {
				seen++
			}
		}
	}
	if seen < 4 { // three, and the neck
		t.Errorf("PID 1 was seen with %d descriptors", seen)
	}
}

func TestT8_AnImageDoesNotChooseTheWorkingDirectory(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "true")
		for i, directory := range []string{"/proc/self/fd/8", "../../.."} {
			reference := image(t, u, fmt.Sprintf("directory-%d", i), map[string]string{"usr/local/bin/claude": "attack"}, "--directory", directory)
			r := u.Start(runtime, "--quiet", "--image", reference, "--", "descriptors").Want(t, 0)
			if !strings.Contains(r.Stdout, "directory /workspace\n") || strings.Contains(r.Stdout, "own 3") {
				t.Errorf("%s leads to:\n%s", directory, r.Stdout)
			}
		}
	})
}
