package doctor

import (
	"context"
	goruntime "runtime"
	"slices"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/image/proven"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/runtime"
)

// Options say what is looked at.
type Options struct {
	// Containerd is how bottles are started here; its Address is not read when
	// AddressProblem says that there is none.
	Containerd     containerd.Options
	AddressProblem error
	Manifests      manifest.Options
	// ManifestsProblem says why the user's files can't be looked for; nil when they can.
	ManifestsProblem error
	// Lookup reads the environment of the user.
	Lookup   func(string) (string, bool)
	Terminal Terminal
	// Version is this program's, and Built when it was made; zero when unknown.
	Version string
	Built   time.Time
	// Image is what claude is tried in; "" is the default one.
	Image string
	// Quick leaves out sandboxes and claude.
	Quick bool
	// Told hears of checks as they come, Looking of what is looked at now; nil hears nothing.
	Told    func([]Check)
	Looking func(what string)
}

// examination is one that is under way.
type examination struct {
	options Options
	report  Report
	host    backend.HostFile
	hostErr error
	require backend.RuntimePolicy
	opened  *containerd.Backend // nil when the daemon can't be used
	tried   []runtimeFacts
	image   runtime.Image
	seen    pairs
}

// Examine looks at everything. What it starts is gone when it returns, also once ctx has
// ended.
func Examine(ctx context.Context, options Options) Report {
	if options.Image == "" {
		options.Image = containerd.DefaultImage
	}
	if options.Told == nil {
		options.Told = func([]Check) {}
	}
	if options.Looking == nil {
		options.Looking = func(string) {}
	}
	e := &examination{options: options, report: Report{Version: options.Version, Time: time.Now().UTC().Truncate(time.Second), Quick: options.Quick, Checks: []Check{}}}
	e.host, e.hostErr = manifest.LoadHost(options.Manifests)
	e.require = e.host.RequireRuntime
	options.Looking("looking at this host")
	e.add(together(ctx, slices.Concat(e.hostLooks(), e.userLooks())))
	options.Looking("asking containerd")
	e.connect(ctx)
	if e.opened == nil {
		e.add(withoutDaemon())
		return e.report
	}
	defer func() { _ = e.opened.Close() }()
	if !options.Quick {
		options.Looking("starting a sandbox on each runtime")
	}
	e.add(together(ctx, slices.Concat(e.daemonLooks(), e.bottleLooks())))
	if !options.Quick {
		options.Looking("asking a claude in a bottle on each runtime, for some seconds")
		e.add(together(ctx, e.claudeLooks()))
		table, err := proven.Table(goruntime.GOARCH)
		e.report.Pairs = e.seen.sorted()
		e.add([]Check{judgePairs(e.report.Pairs, table, err)})
	}
	return e.report
}

// withoutDaemon names what can't be looked at then.
func withoutDaemon() []Check {
	list := []subject{aboutPlugins, aboutSnapshotter, aboutImage}
	for _, policy := range runtime.Policies() {
		list = append(list, aboutRuntime(policy), aboutClaude(policy))
	}
	var checks []Check
	for _, about := range append(list, aboutLeftovers, aboutController, aboutVersions) {
		checks = append(checks, about.unknown("", "can't be looked at without containerd"))
	}
	return checks
}

func (e *examination) add(checks []Check) {
	e.report.Checks = append(e.report.Checks, checks...)
	e.options.Told(checks)
}

// simple is a look at facts that are read and judged at once.
func simple(about subject, see func() Check) look {
	return look{subject: about, bound: shortBound, see: func(context.Context) []Check { return []Check{see()} }}
}

// hostLooks are about the machine.
func (e *examination) hostLooks() []look {
	where := e.options.Containerd
	return []look{
		simple(aboutKernel, func() Check { return judgeKernel(gatherKernel()) }),
		simple(aboutOverlay, func() Check { return judgeOverlay(gatherFileSystems()) }),
		simple(aboutCgroups, func() Check { return judgeCgroups(gatherCgroups(cgroupRoot)) }),
		{subject: aboutUsers, bound: shortBound, see: func(ctx context.Context) []Check {
			return []Check{judgeUsers(gatherUsers(ctx, where.Executable))}
		}},
		simple(aboutPowers, func() Check { return judgePowers(gatherPowers()) }),
		simple(aboutLimits, e.seeLimits),
		simple(aboutClock, func() Check { return judgeClock(time.Now(), e.options.Built) }),
		simple(aboutState, func() Check { return judgeDisk(aboutState, gatherDisk(where.Root), needOfState()) }),
		simple(aboutRun, func() Check { return judgeDisk(aboutRun, gatherDisk(where.RunRoot), needOfRun()) }),
		simple(aboutMemory, func() Check { return judgeMemory(gatherDisk(where.RunRoot)) }),
	}
}

func (e *examination) seeLimits() Check {
	limits, err := manifest.Limits(backend.Resources{})
	if err != nil {
		return aboutLimits.unknown("", "%s", firstLine(err))
	}
	return judgeLimits(gatherLimits(), limits.OpenFiles, limits.Processes)
}

// userLooks are about who uses the program, and what their files say.
func (e *examination) userLooks() []look {
	return []look{
		simple(aboutTerminal, func() Check { return judgeTerminal(e.options.Terminal) }),
		simple(aboutCredentials, func() Check { return judgeCredentials(gatherCredentials(e.options.Lookup)) }),
		simple(aboutFiles, e.seeFiles),
		simple(aboutHostFile, func() Check { return judgeHostFile(e.host, e.hostErr) }),
		simple(aboutDirectories, func() Check { return judgeDirectories(containerd.Directories(e.options.Containerd)) }),
		simple(aboutSocket, e.seeSocket),
	}
}

func (e *examination) seeFiles() Check {
	if problem := e.options.ManifestsProblem; problem != nil {
		return aboutFiles.unknown("set HOME, and call it in a directory that is there", "%s", firstLine(problem))
	}
	own := e.options.Manifests
	own.Cwd = own.Home // what a repository brings is no matter of this host
	return judgeFiles(manifest.List(own))
}

func (e *examination) seeSocket() Check {
	if e.options.AddressProblem != nil {
		return noSocket(e.options.AddressProblem)
	}
	return judgeSocket(runtime.LookAtSocket(e.options.Containerd.Address))
}

// connect opens the backend, as every verb does. Where the socket is of no use it says no
// more.
func (e *examination) connect(ctx context.Context) {
	if e.report.status(aboutSocket.name) != OK {
		e.add([]Check{aboutContainerd.unknown("", "can't be asked without its socket")})
		return
	}
	e.add(together(ctx, []look{{subject: aboutContainerd, bound: 3 * shortBound, undoes: true, see: func(ctx context.Context) []Check {
		opened, err := containerd.New(ctx, e.options.Containerd)
		if err != nil {
			return []Check{judgeConnection(err)}
		}
		e.opened = opened
		return []Check{judgeDaemon(opened.Daemon())}
	}}}))
}

// daemonLooks are about containerd and the runtimes.
func (e *examination) daemonLooks() []look {
	looks := []look{
		{subject: aboutPlugins, bound: 2 * shortBound, see: e.seePlugins},
		{subject: aboutImage, bound: 2 * shortBound, undoes: true, see: func(ctx context.Context) []Check {
			image, err := e.opened.FindImage(ctx, e.options.Image)
			e.image = image
			return []Check{judgeImage(image, e.options.Image, err)}
		}},
	}
	e.tried = make([]runtimeFacts, len(runtime.Policies()))
	for i, policy := range runtime.Policies() {
		looks = append(looks, look{subject: aboutRuntime(policy), bound: probeBound, undoes: true, see: func(ctx context.Context) []Check {
			e.tried[i] = e.tryRuntime(ctx, policy)
			return []Check{judgeRuntime(e.tried[i])}
		}})
	}
	return looks
}

// bottleLooks are about the bottles that there are.
func (e *examination) bottleLooks() []look {
	return []look{
		{subject: aboutLeftovers, bound: probeBound, see: e.seeLeftovers},
		{subject: aboutController, bound: 3 * shortBound, see: e.seeController},
		simple(aboutVersions, func() Check { return judgeServants(e.opened.Servants()) }),
	}
}

// claudeLooks are about claude itself, on each runtime that works.
func (e *examination) claudeLooks() []look {
	var looks []look
	bound := tryBound
	if !e.image.Unpacked {
		bound += unpackBound
	}
	for _, facts := range e.tried {
		if facts.require != "" && !facts.wanted() {
			continue
		}
		looks = append(looks, look{subject: aboutClaude(facts.policy), bound: bound, undoes: true, see: func(ctx context.Context) []Check {
			return []Check{e.seeClaude(ctx, facts)}
		}})
	}
	return looks
}
