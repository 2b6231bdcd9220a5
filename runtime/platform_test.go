package runtime

import (
	"testing"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestPlatformsOf32BitDoNotRunOnTheirHeirs(t *testing.T) {
	for host, want := range map[string]map[string]bool{
		"linux/amd64": {"linux/amd64": true, "linux/386": false, "linux/arm64": false, "windows/amd64": false, "linux/x86_64": true},
		"linux/arm64": {
			"linux/arm64": true, "linux/arm64/v8": true, "linux/aarch64": true, "linux/arm": false, "linux/arm/v7": false, "linux/arm/v8": false, "linux/amd64": false,
		},
		// What the kernel says is the version of the processor.
		"linux/arm64/v8": {"linux/arm64": true, "linux/arm64/v8": true, "linux/arm64/v9": false, "linux/arm/v7": false},
	} {
		h := newHostPlatform(platforms.MustParse(host))
		for image, runs := range want {
			if got := h.Match(platforms.MustParse(image)); got != runs {
				t.Errorf("on %s an image for %s: %v", host, image, got)
			}
		}
	}
}

func TestTheMachinesOwnPlatformComesFirst(t *testing.T) {
	h := newHostPlatform(ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8.2"})
	if !h.Less(platforms.MustParse("linux/arm64/v8.2"), platforms.MustParse("linux/arm64")) {
		t.Error("the older variant comes first")
	}
}

func TestAPlatformIsSpeltInOneWay(t *testing.T) {
	for _, platform := range []ocispec.Platform{
		{OS: "linux", Architecture: "arm64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}, {OS: "linux", Architecture: "aarch64", Variant: "8"},
	} {
		if got := shownPlatform(platform); got != "linux/arm64" {
			t.Errorf("%v is shown as %s", platform, got)
		}
	}
}
