package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/runtime"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// verdict is what a check is to say: its status, and parts of what was found and of what
// to do.
type verdict struct {
	check  Check
	status Status
	found  string
	remedy string
}

func judge(t *testing.T, cases map[string]verdict) {
	t.Helper()
	for name, want := range cases {
		got := want.check
		if got.Status != want.status || !strings.Contains(got.Found, want.found) || !strings.Contains(got.Remedy, want.remedy) {
			t.Errorf("%s: got %+v, want %s with %q and %q", name, got, want.status, want.found, want.remedy)
		}
		if got.Name == "" || got.Title == "" || got.Found == "" {
			t.Errorf("%s: something is not said: %+v", name, got)
		}
		if got.Status != OK && got.Status != Unknown && got.Remedy == "" {
			t.Errorf("%s: what to do is not said: %+v", name, got)
		}
		if strings.ContainsAny(got.Found+got.Remedy, "\n\x1b") {
			t.Errorf("%s: %q and %q are not one line each", name, got.Found, got.Remedy)
		}
	}
}

func TestTheHostIsJudged(t *testing.T) {
	all := ^uint64(0)
	three := []string{"cpu", "memory", "pids"}
	judge(t, map[string]verdict{
		"new kernel":            {judgeKernel(kernelFacts{release: "6.18.1", machine: "x86_64", major: 6, minor: 18, page: 4096}), OK, "6.18.1 (x86_64)", ""},
		"kernel of large pages": {judgeKernel(kernelFacts{release: "6.12.1", machine: "aarch64", major: 6, minor: 12, page: 16384}), Missing, "pages of 16 KiB", "4 KiB"},
		"kernel before idmaps":  {judgeKernel(kernelFacts{release: "5.10.0", major: 5, minor: 10, page: 4096}), Warning, "5.10.0", "5.19"},
		"kernel of 2016":        {judgeKernel(kernelFacts{release: "4.9.0", major: 4, minor: 9}), Missing, "4.9.0", "4.14"},
		"kernel without number": {judgeKernel(kernelFacts{release: "odd", err: errors.New("no number")}), Unknown, "no number", ""},

		"overlay":           {judgeOverlay([]string{"nodev", "overlay"}, nil), OK, "known", ""},
		"no overlay":        {judgeOverlay([]string{"nodev", "tmpfs"}, nil), Warning, "not known", "modprobe overlay"},
		"no /proc":          {judgeOverlay(nil, fs.ErrNotExist), Unknown, "/proc/filesystems", ""},
		"cgroups 1":         {judgeCgroups(cgroupFacts{version: 1, controllers: three}), OK, "version 1: cpu, memory, pids; swap can't", ""},
		"cgroups 2":         {judgeCgroups(cgroupFacts{version: 2, controllers: append(three, "io"), swap: true}), OK, "version 2: cpu, memory, pids", ""},
		"no memory group":   {judgeCgroups(cgroupFacts{version: 2, controllers: []string{"cpu", "pids"}}), Missing, "without memory", "delegate"},
		"no pids group":     {judgeCgroups(cgroupFacts{version: 1, controllers: []string{"cpu", "memory"}}), Warning, "without pids", "runc"},
		"read-only cgroups": {judgeCgroups(cgroupFacts{version: 2, controllers: three, readOnly: true}), Warning, "reading only", "mount /sys/fs/cgroup"},
		"crowded cgroup":    {judgeCgroups(cgroupFacts{version: 2, controllers: three, shared: true}), Warning, "not delegated", "systemd"},
		"no cgroups":        {judgeCgroups(cgroupFacts{err: fs.ErrNotExist}), Unknown, "can't be looked at", "mount"},

		"user namespaces":     {judgeUsers(userFacts{most: 1000, root: true}), OK, "1000 are allowed", ""},
		"switched off":        {judgeUsers(userFacts{most: 0, root: true, err: unix.ENOSPC}), Missing, "max_user_namespaces is 0", "sysctl user.max_user_namespaces"},
		"all in use":          {judgeUsers(userFacts{most: 5, root: true, err: unix.ENOSPC}), Missing, "in use (at most 5)", "raise"},
		"not allowed":         {judgeUsers(userFacts{most: 5, root: true, err: unix.EPERM}), Missing, "not permitted", "AppArmor"},
		"not allowed to user": {judgeUsers(userFacts{most: 5, err: unix.EPERM}), Unknown, "without root", "as root"},

		"root":               {judgePowers(powerFacts{effective: all}), OK, "every capability", ""},
		"no SYS_RESOURCE":    {judgePowers(powerFacts{effective: all &^ (1 << unix.CAP_SYS_RESOURCE)}), Warning, "without CAP_SYS_RESOURCE", "gVisor's own shim"},
		"no SYS_ADMIN":       {judgePowers(powerFacts{effective: all &^ (1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_PTRACE)}), Missing, "without CAP_SYS_ADMIN, CAP_SYS_PTRACE", "grant CAP_SYS_ADMIN to"},
		"not root":           {judgePowers(powerFacts{uid: 1000, effective: 0}), Missing, "uid 1000", "sudo"},
		"unlimited":          {judgeLimits(limitFacts{files: unix.RLIM_INFINITY, processes: unix.RLIM_INFINITY}, 16384, 1024), OK, "open files unlimited", ""},
		"few files":          {judgeLimits(limitFacts{files: 1024, processes: 4096}, 16384, 1024), Warning, "open files 1024", "16384 open files"},
		"a clock that is on": {judgeClock(time.Unix(2000, 0), time.Unix(1000, 0)), OK, "1970-01-01T00:33:20Z", ""},
		"a clock of 1970":    {judgeClock(time.Unix(1000, 0), time.Unix(2000, 0)), Missing, "before this program was made", "set the clock"},
	})
}

func TestDisksAreJudged(t *testing.T) {
	plenty := diskFacts{path: "/var/lib/claude-bottle", free: 100 << 30, total: 200 << 30, freeInodes: 1e6, totalInodes: 2e6}
	with := func(change func(*diskFacts)) diskFacts { changed := plenty; change(&changed); return changed }
	state := func(facts diskFacts) Check { return judgeDisk(aboutState, facts, needOfState()) }
	judge(t, map[string]verdict{
		"plenty":         {state(plenty), OK, "100.0 GiB free of 200.0 GiB", ""},
		"little":         {state(with(func(f *diskFacts) { f.free = 1 << 30 })), Warning, "1.0 GiB free", "--root"},
		"full":           {state(with(func(f *diskFacts) { f.free = 4096 })), Missing, "4.0 KiB free", "make room"},
		"few inodes":     {state(with(func(f *diskFacts) { f.freeInodes = 10_000 })), Warning, "10000 inodes free of 2000000", "make room"},
		"no inodes":      {state(with(func(f *diskFacts) { f.freeInodes = 3 })), Missing, "3 inodes free", "make room"},
		"inodes at will": {state(with(func(f *diskFacts) { f.freeInodes, f.totalInodes = 0, 0 })), OK, "free", ""},
		"read-only":      {state(with(func(f *diskFacts) { f.readOnly = true })), Missing, "reading only", "mount"},
		"gone":           {state(diskFacts{path: "/x\x1b", err: errors.New("input/output error")}), Unknown, `"/x\x1b" can't be looked at`, ""},
		"small run":      {judgeDisk(aboutRun, diskFacts{path: "/run", free: 1 << 20, total: 1 << 30}, needOfRun()), Missing, "1.0 MiB", "--run-root"},
		"run in memory":  {judgeMemory(diskFacts{path: "/run/x", memory: true}), OK, "in memory", ""},
		"run on a disk":  {judgeMemory(diskFacts{path: "/run/x"}), Warning, "on a disk", "tmpfs"},
		"run of no disk": {judgeMemory(diskFacts{path: "/run/x", err: fs.ErrPermission}), Unknown, "/run/x", ""},
	})
}

func TestTheDaemonIsJudged(t *testing.T) {
	works := make([]runtime.Plugin, 0, len(services()))
	for _, name := range services() {
		kind, id, _ := strings.Cut(name, "/")
		works = append(works, runtime.Plugin{Type: kind, ID: id})
	}
	whole := append(works, runtime.Snapshotter())
	broken := runtime.Snapshotter()
	broken.Problem = "overlay is not\nsupported"
	judge(t, map[string]verdict{
		"no socket":           {noSocket(fmt.Errorf("no containerd answers: leave out --no-engine: %w", errdefs.ErrUnavailable)), Missing, "no containerd answers: leave", "start containerd"},
		"a relative socket":   {noSocket(fmt.Errorf("--address \"x\" is not an absolute path: %w", errdefs.ErrInvalidArgument)), Missing, `"x" is not an absolute`, "whole path"},
		"socket":              {judgeSocket(runtime.Socket{Path: "/run/x.sock", Mode: fs.ModeSocket | 0o660, GID: 5}), OK, "mode 0660, uid 0, gid 5", ""},
		"socket that is gone": {judgeSocket(runtime.Socket{Path: "/run/x.sock", Missing: true, Refused: errdefs.ErrUnavailable}), Missing, "does not exist", "--address"},
		"a file":              {judgeSocket(runtime.Socket{Path: "/run/x", Refused: errdefs.ErrInvalidArgument}), Missing, "no socket", "--address"},
		"everybody's":         {judgeSocket(runtime.Socket{Path: "/run/x", Mode: 0o666, Refused: errdefs.ErrFailedPrecondition}), Missing, "everybody", "chmod 660"},
		"in /tmp":             {judgeSocket(runtime.Socket{Path: "/tmp/x", Mode: 0o660, Refused: errors.New("/tmp/x lies in /tmp, which others can write to")}), Missing, "lies in /tmp", "move"},

		"new":          {judgeDaemon(runtime.Daemon{Version: "v2.4.2", UserNamespaces: true, SharesPIDs: true, PID: 7}), OK, "v2.4.2, process 7", ""},
		"1.6":          {judgeDaemon(runtime.Daemon{Version: "1.6.20", SharesPIDs: true}), OK, "from 2.0 on", ""},
		"elsewhere":    {judgeDaemon(runtime.Daemon{Version: "v2.4.2", UserNamespaces: true}), Warning, "other processes", "namespace"},
		"1.5":          {judgeConnection(fmt.Errorf("containerd is 1.5.0: 1.6 or newer is needed: %w", errdefs.ErrFailedPrecondition)), Missing, "1.5.0", "1.6 or newer"},
		"silent":       {judgeConnection(fmt.Errorf("no answer within 10s: %w", errdefs.ErrUnavailable)), Missing, "no answer", "log"},
		"for root":     {judgeConnection(fmt.Errorf("needs root: %w", errdefs.ErrPermissionDenied)), Unknown, "needs root", "as root"},
		"plugins":      {judgePlugins(whole)[0], OK, "14 of 14", ""},
		"snapshotter":  {judgePlugins(whole)[1], OK, "overlayfs", ""},
		"one missing":  {judgePlugins(works[1:])[0], Missing, "content.v1/content is not there", "disabled_plugins"},
		"one broken":   {judgePlugins(append(works, broken))[1], Missing, `does not work: "overlay is not\nsupported"`, "ext4"},
		"no overlayfs": {judgePlugins(works)[1], Missing, "overlayfs is not there", "disabled_plugins"},
	})
}

func TestT1_RuntimesAreJudged(t *testing.T) {
	runsc := runtime.Choice{Plan: backend.PlanRuntime{Name: "gvisor", Binary: "/x/runsc", Version: "release-1", Platform: "systrap"}}
	runc := runtime.Choice{Plan: backend.PlanRuntime{Name: "runc", Binary: "/x/runc", Version: "1.4.3"}}
	old := runc
	old.Weakness = errdefs.ErrFailedPrecondition
	none := fmt.Errorf("it is not installed: %w", errdefs.ErrNotFound)
	of := func(policy, require backend.RuntimePolicy, choice runtime.Choice, err error) Check {
		return judgeRuntime(runtimeFacts{policy: policy, require: require, choice: choice, err: err})
	}
	image := runtime.Image{Reference: "docker.io/a/b:1", Digest: "sha256:" + strings.Repeat("0", 64), Size: 1 << 20, Unpacked: true}
	packed := image
	packed.Unpacked = false
	judge(t, map[string]verdict{
		"gVisor":                       {of(backend.RuntimeGVisor, "", runsc, nil), OK, "systrap, release-1 at /x/runsc: a sandbox ran", ""},
		"gVisor, looked at":            {judgeRuntime(runtimeFacts{policy: backend.RuntimeGVisor, choice: runsc, quick: true}), OK, "no sandbox", ""},
		"no gVisor":                    {of(backend.RuntimeGVisor, "", runtime.Choice{}, none), Missing, "not installed", "install runsc"},
		"gVisor that fails":            {of(backend.RuntimeGVisor, "", runtime.Choice{}, errors.New("probe sandbox: boom\nbang")), Missing, "boom", "log"},
		"runc":                         {of(backend.RuntimeRunc, "", runc, nil), OK, "1.4.3 at /x/runc: a sandbox ran", ""},
		"no runc":                      {of(backend.RuntimeRunc, "", runtime.Choice{}, none), Warning, "not installed", "--runtime runc"},
		"old runc":                     {of(backend.RuntimeRunc, "", old, nil), Warning, "known ways out", "1.4.3"},
		"no runc where it is required": {of(backend.RuntimeRunc, backend.RuntimeRunc, runtime.Choice{}, none), Missing, "not installed", "install"},
		"old runc that is required":    {of(backend.RuntimeRunc, backend.RuntimeRunc, old, nil), Missing, "known ways out", "1.4.3"},
		"no gVisor where runc is":      {of(backend.RuntimeGVisor, backend.RuntimeRunc, runtime.Choice{}, none), OK, "requires runc", ""},
		"no runc where gVisor is":      {of(backend.RuntimeRunc, backend.RuntimeGVisor, old, nil), OK, "requires gvisor", ""},

		"image":        {judgeImage(image, "b:1", nil), OK, "docker.io/a/b:1, sha256:000000000000, 1.0 MiB", ""},
		"packed image": {judgeImage(packed, "b:1", nil), OK, "to be unpacked", ""},
		"no image":     {judgeImage(runtime.Image{}, "b:1", none), Missing, "b:1 is not in", "import"},
		"bad image":    {judgeImage(runtime.Image{}, "b:1", errors.New("for arm64")), Missing, "for arm64", "another"},

		"claude":                 {judgeClaude(claudeFacts{policy: backend.RuntimeGVisor, version: "2.1 (Claude Code)", answered: true, took: time.Second}, true), OK, "2.1 (Claude Code) answered in 1s", ""},
		"claude that is silent":  {judgeClaude(claudeFacts{policy: backend.RuntimeGVisor, version: "2.1", said: "claude -p ended with code 1"}, true), Missing, "2.1 did not answer: claude -p ended with code 1", "default image"},
		"silent on runc":         {judgeClaude(claudeFacts{policy: backend.RuntimeRunc, version: "2.1", said: "nothing"}, false), Warning, "did not answer", "default image"},
		"no claude":              {judgeClaude(claudeFacts{policy: backend.RuntimeGVisor, err: none}, true), Missing, "not installed", "PATH"},
		"no bottle":              {judgeClaude(claudeFacts{policy: backend.RuntimeGVisor, err: errors.New("boom")}, true), Missing, "boom", "--log-level debug"},
		"claude that won't go":   {judgeClaude(claudeFacts{policy: backend.RuntimeGVisor, version: "2.1", answered: true, ending: errors.New("stuck")}, true), Warning, "not gone: stuck", "cleanup"},
		"claude that can't draw": {judgeClaude(claudeFacts{policy: backend.RuntimeGVisor, version: "\x1b[2J"}, true), Missing, `"\x1b[2J" did not answer`, "default image"},
	})
}

func TestWhatAUserHasIsJudged(t *testing.T) {
	agent := manifest.Entry{Kind: manifest.KindAgent, Name: "genie", Path: "/h/agents/genie.md"}
	wrong := agent
	wrong.Problem = `/h/agents/genie.md:7: "hunter2" is no name: invalid argument`
	bottle := manifest.Entry{Kind: manifest.KindBottle, Name: "lamp", Path: "/h/bottles/lamp.md", Problem: "/h/bottles/lamp.md: more than one document"}
	judge(t, map[string]verdict{
		"terminal":       {judgeTerminal(Terminal{true, "xterm-256color", "de_DE.UTF-8"}), OK, "xterm-256color, de_DE.UTF-8", ""},
		"no terminal":    {judgeTerminal(Terminal{false, "xterm", "C.UTF-8"}), Warning, "there is none", "-- -p"},
		"dumb terminal":  {judgeTerminal(Terminal{true, "dumb", "C.UTF-8"}), Warning, "dumb", "export TERM"},
		"Latin terminal": {judgeTerminal(Terminal{true, "xterm", "de_DE.ISO-8859-1"}), Warning, "without UTF-8", "export LANG"},
		"odd terminal":   {judgeTerminal(Terminal{true, "x\x1b[2J", "C.utf8"}), OK, "not a name, C.utf8", ""},
		"key":            {judgeCredentials(credentialFacts{key: true}), OK, "ANTHROPIC_API_KEY is set", ""},
		"token":          {judgeCredentials(credentialFacts{token: true, upstream: true}), OK, "CLAUDE_CODE_OAUTH_TOKEN is set; ANTHROPIC_BASE_URL", ""},
		"both":           {judgeCredentials(credentialFacts{key: true, token: true}), OK, "the first is used", ""},
		"neither":        {judgeCredentials(credentialFacts{}), Warning, "neither", "export ANTHROPIC_API_KEY"},
		"files":          {judgeFiles([]manifest.Entry{agent, {Kind: manifest.KindBottle}}, nil), OK, "1 agent and 1 bottle file, all", ""},
		"no files":       {judgeFiles(nil, nil), Warning, "none yet", "init"},
		"bad files":      {judgeFiles([]manifest.Entry{wrong, bottle}, nil), Missing, "can't be used: /h/agents/genie.md:7, /h/bottles/lamp.md", "info genie"},
		"bad bottle":     {judgeFiles([]manifest.Entry{agent, bottle}, nil), Missing, "/h/bottles/lamp.md", "list available"},
		"unread files":   {judgeFiles(nil, fs.ErrPermission), Unknown, "can't be listed", ""},
		"host file":      {judgeHostFile(backend.HostFile{RequireRuntime: "gvisor"}, nil), OK, "requires gvisor", ""},
		"no host file":   {judgeHostFile(backend.HostFile{}, nil), OK, "nothing", ""},
		"bad host file":  {judgeHostFile(backend.HostFile{}, errors.New("unknown key")), Missing, "unknown key", "mend"},
	})
	if check := judgeFiles([]manifest.Entry{wrong}, nil); strings.Contains(check.Found+check.Remedy, "hunter2") {
		t.Errorf("a value of a file is in %+v", check)
	}
}

func TestBottlesAreJudged(t *testing.T) {
	detached := []backend.Status{{Name: "a", Detached: true, Phase: backend.PhaseRunning}, {Name: "b@x", Detached: true, Phase: backend.PhaseKept}, {Name: "c", Foreign: true}}
	plan := &backend.CleanupPlan{Items: []backend.CleanupItem{{Bottle: "a-1", Kind: "task"}, {Bottle: "a-1", Kind: "record"}}}
	ours := containerd.Servant{Serves: "a", PID: 1, Executable: "/bin/claude-bottle", Same: true}
	theirs := containerd.Servant{Serves: "b", PID: 2, Executable: "/bin/claude-bottle (deleted)"}
	leader := containerd.Servant{Serves: "controller", PID: 3, Executable: "/old"}
	judge(t, map[string]verdict{
		"directories":        {judgeDirectories([]containerd.Directory{{Path: "/a"}}), OK, "root's alone", ""},
		"no directories":     {judgeDirectories([]containerd.Directory{{Path: "/a", Missing: true}}), OK, "1 of 1 are not there", ""},
		"open directories":   {judgeDirectories([]containerd.Directory{{Path: "/a", Refused: errors.New("/a is writable by others")}}), Missing, "writable", "--fix"},
		"nothing left":       {judgeLeftovers(&backend.CleanupPlan{}, nil), OK, "no dead bottle", ""},
		"leftovers":          {judgeLeftovers(plan, nil), Warning, "2 things of dead bottles (1)", "cleanup"},
		"leftovers unseen":   {judgeLeftovers(nil, errors.New("boom")), Unknown, "boom", ""},
		"controller":         {judgeController(true, detached, nil), OK, "for 1 detached", ""},
		"no controller":      {judgeController(false, detached, nil), Warning, "none watches over 1 detached bottle; of other directories, or of a newer program: 1 bottle", "--fix"},
		"none is needed":     {judgeController(false, nil, nil), OK, "no detached bottle needs one", ""},
		"controller unseen":  {judgeController(false, nil, errors.New("boom")), Unknown, "boom", ""},
		"same version":       {judgeServants([]containerd.Servant{ours}, nil), OK, "bottles: 1, all", ""},
		"no version":         {judgeServants(nil, nil), OK, "no process", ""},
		"another version":    {judgeServants([]containerd.Servant{ours, theirs}, nil), Warning, "b (process 2, /bin/claude-bottle (deleted))", "restart b"},
		"another controller": {judgeServants([]containerd.Servant{leader}, nil), Warning, "controller (process 3, /old)", "end the controller"},
		"versions unseen":    {judgeServants(nil, errors.New("boom")), Unknown, "boom", ""},
	})
}
