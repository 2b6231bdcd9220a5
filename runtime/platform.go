package runtime

import (
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hostPlatform matches the platforms of images that bottles run. The library's own
// default takes images for the 32-bit machine of old, too: linux/386 on amd64, linux/arm on
// arm64. No such program starts in a bottle: its seccomp profile knows the calls of one
// machine, and gVisor has none of the other.
type hostPlatform struct {
	platforms.MatchComparer
	architecture string
}

func newHostPlatform(spec ocispec.Platform) hostPlatform {
	return hostPlatform{platforms.Only(spec), spec.Architecture}
}

// hosts is the platform of this host.
func hosts() hostPlatform { return newHostPlatform(platforms.DefaultSpec()) }

// Match implements platforms.Matcher.
func (h hostPlatform) Match(platform ocispec.Platform) bool {
	return platforms.Normalize(platform).Architecture == h.architecture && h.MatchComparer.Match(platform)
}

// shownPlatform spells one platform in one way: linux/arm64 is what linux/arm64/v8 is, and
// the plan of an image that is still to be pulled has to be that of the pulled one.
func shownPlatform(platform ocispec.Platform) string {
	return platforms.Format(platforms.Normalize(platform))
}

// HostPlatform is the platform of the images that bottles run here, as linux/amd64.
func HostPlatform() string { return shownPlatform(platforms.DefaultSpec()) }

// RunsHere says whether bottles run images for that platform.
func RunsHere(platform ocispec.Platform) bool { return hosts().Match(platform) }
