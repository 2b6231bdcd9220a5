package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"github.com/claude-bottle/claude-bottle/test/registrytest"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/platforms"
)

// puller is a user of a daemon that has no image at all, and a registry with the
// test image as tools/claude:1.
func puller(t *testing.T, version string) (u *bottletest.User, registry *registrytest.Registry, reference, digest string) {
	t.Helper()
	source := newUser(t, "2.4").Daemon
	registry = registrytest.Start(t)
	digest = registry.Push(t, source, bottletest.Namespace, containerdtest.TestImage, "tools/claude:1")
	daemon := containerdtest.Start(t, containerdtest.Options{Version: version})
	u = bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
	return u, registry, registry.Address + "/tools/claude:1", digest
}

// stored are the names of the images that the user's daemon has.
func stored(t *testing.T, u *bottletest.User) []string {
	t.Helper()
	list, err := u.Daemon.Client().ImageService().List(namespaces.WithNamespace(t.Context(), bottletest.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(list))
	for i, image := range list {
		names[i] = image.Name
	}
	return names
}

// nothingCreated fails when a start that was refused has left an image or
// anything of a bottle. Records, snapshots, ingests and leases are in the ledger.
func nothingCreated(t *testing.T, u *bottletest.User) {
	t.Helper()
	if names := stored(t, u); len(names) > 0 {
		t.Errorf("there are images: %v", names)
	}
	if found, _ := filepath.Glob(filepath.Join(u.Root, "*", "bottles", "*")); len(found) > 0 {
		t.Errorf("there is state: %v", found)
	}
	u.NothingLeft(t, "a start that was refused")
}

func TestStartPullsFromARegistryWithPlainLines(t *testing.T) {
	for _, version := range everyVersion() {
		for _, runtime := range bottletest.Runtimes() {
			t.Run("containerd-"+version+"/"+runtime, func(t *testing.T) {
				u, registry, reference, digest := puller(t, version)
				does(u, "echo hello from the pulled image")
				var plan struct {
					Image struct {
						Reference, Digest string
						Present           bool
					} `json:"image"`
				}
				r := u.Start(runtime, "--image", reference, "--dry-run", "-o", "json").Want(t, 0)
				if err := json.Unmarshal([]byte(r.Stdout), &plan); err != nil || plan.Image.Reference != reference || plan.Image.Digest != digest || plan.Image.Present {
					t.Errorf("the plan has %+v, %v; the image is %s", plan.Image, err, digest)
				}
				nothingCreated(t, u)
				r = u.Start(runtime, "--image", reference).Want(t, 0)
				bottletest.Contains(t, r.Stdout, "hello from the pulled image")
				bottletest.Contains(t, r.Stderr, reference+"@"+digest, "will be pulled")
				for _, line := range []string{"pulling " + reference + "\n", "unpacking " + reference + "\n"} {
					if strings.Count(r.Stderr, line) != 1 {
						t.Errorf("%q stands not once in:\n%s", line, r.Stderr)
					}
				}
				if strings.ContainsAny(r.Stderr, "\r\x1b") {
					t.Errorf("this is no plain text: %q", r.Stderr)
				}
				if names := stored(t, u); len(names) != 1 || names[0] != reference {
					t.Errorf("images are %v, want %s alone", names, reference)
				}
				// What is here needs no registry.
				registry.Stop()
				r = u.Start(runtime, "--image", reference, "--quiet").Want(t, 0)
				bottletest.Contains(t, r.Stdout, "hello from the pulled image")
			})
		}
	}
}

func TestImagesThatTheRegistryDoesNotHave(t *testing.T) {
	u, registry, reference, digest := puller(t, "2.4")
	does(u, "true")
	other := "sha256:" + strings.Repeat("5", 64)
	for _, test := range []struct {
		image string
		want  string
	}{
		{registry.Address + "/tools/claude:2", "is neither in the local store nor at registry " + registry.Address},
		{registry.Address + "/tools/nothing:1", "is neither in the local store nor at registry " + registry.Address},
		{reference + "@" + other, "@" + other + " is neither in the local store nor at registry " + registry.Address},
	} {
		r := u.Start("runc", "--image", test.image).Want(t, 125)
		bottletest.Contains(t, r.Stderr, test.want, "import it, or name another with --image")
		nothingCreated(t, u)
	}
	registry.Stop()
	for _, image := range []string{reference, reference + "@" + digest} {
		r := u.Start("runc", "--image", image).Want(t, 125)
		bottletest.Contains(t, r.Stderr, "is not in the local store, and registry "+registry.Address+" can't be asked", "connection refused", "import it, or name another with --image")
		nothingCreated(t, u)
	}
}

func TestAPinnedImageIsPulledAndFoundAgain(t *testing.T) {
	u, registry, reference, digest := puller(t, "2.4")
	does(u, "echo ready; cat")
	pinned := strings.TrimSuffix(reference, ":1") + "@" + digest
	s := u.OnTerminal("start", "tester", "--yes", "--runtime", "runc", "--image", reference+"@"+digest)
	s.Shows("ready")
	var listed []struct{ Image string }
	r := u.Run("list", "-o", "json").Want(t, 0)
	if err := json.Unmarshal([]byte(r.Stdout), &listed); err != nil || len(listed) != 1 || listed[0].Image != pinned {
		t.Errorf("the record has %+v, %v; want %s", listed, err, pinned)
	}
	s.Types("\x04")
	if code := s.Ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	registry.Stop()
	does(u, "true")
	for _, image := range []string{pinned, reference + "@" + digest} {
		u.Start("runc", "--image", image).Want(t, 0)
	}
}

func TestAPinFindsTheImageThatIsHereByItsTag(t *testing.T) {
	u := newUser(t, "1.6")
	does(u, "true")
	image, err := u.Daemon.Client().GetImage(namespaces.WithNamespace(t.Context(), bottletest.Namespace), containerdtest.TestImage)
	if err != nil {
		t.Fatal(err)
	}
	digest := image.Target().Digest.String()
	for _, reference := range []string{containerdtest.TestImage + "@" + digest, strings.TrimSuffix(containerdtest.TestImage, ":latest") + "@" + digest} {
		r := u.Start("runc", "--image", reference).Want(t, 0)
		bottletest.Contains(t, r.Stderr, containerdtest.TestImage+"@"+digest, "present")
	}
}

func TestT9_BytesThatDoNotFitTheirDigestAreRefused(t *testing.T) {
	for _, version := range versions() {
		t.Run("containerd-"+version, func(t *testing.T) {
			u, registry, reference, digest := puller(t, version)
			does(u, "echo hello from the pulled image")
			for _, blob := range []string{digest, layer(t, digest)} {
				good, err := os.ReadFile(registry.Blob(blob))
				if err != nil {
					t.Fatal(err)
				}
				bad := append([]byte(nil), good...)
				bad[len(bad)/2] ^= 1
				if err := os.WriteFile(registry.Blob(blob), bad, 0o600); err != nil {
					t.Fatal(err)
				}
				r := u.Start("runc", "--image", reference).Want(t, 125)
				bottletest.Contains(t, r.Stderr, "pull image "+reference, "unexpected commit digest", "expected "+blob)
				nothingCreated(t, u)
				if err := os.WriteFile(registry.Blob(blob), good, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			// And nothing of the bad bytes stays to spoil the good ones.
			r := u.Start("runc", "--image", reference).Want(t, 0)
			bottletest.Contains(t, r.Stdout, "hello from the pulled image")
		})
	}
}

// layer is the first layer of the test image, by what the shared daemon has.
func layer(t *testing.T, digest string) string {
	t.Helper()
	ctx := namespaces.WithNamespace(t.Context(), bottletest.Namespace)
	client := daemons["2.4"].Client()
	image, err := client.GetImage(ctx, containerdtest.TestImage)
	if err != nil || image.Target().Digest.String() != digest {
		t.Fatalf("image %s: %v", digest, err)
	}
	manifest, err := images.Manifest(ctx, client.ContentStore(), image.Target(), platforms.Default())
	if err != nil {
		t.Fatal(err)
	}
	return manifest.Layers[0].Digest.String()
}
