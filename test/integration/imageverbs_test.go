package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/containerdtest"
	"golang.org/x/sys/unix"
)

// listedImage is a line of image ls.
type listedImage struct {
	Name, Digest, Platform string
	Unpacked               bool
	UsedBy                 []struct{ Use, Name string }
}

// imagesOf are the images that image ls shows, by name.
func imagesOf(t *testing.T, u *bottletest.User) map[string]listedImage {
	t.Helper()
	var list []listedImage
	r := u.Run("image", "ls", "-o", "json").Want(t, 0)
	if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil {
		t.Fatal(err)
	}
	found := map[string]listedImage{}
	for _, image := range list {
		found[image.Name] = image
	}
	return found
}

// ownDaemon is a user of a daemon that nobody else has, without images.
func ownDaemon(t *testing.T) *bottletest.User {
	t.Helper()
	daemon := containerdtest.Start(t, containerdtest.Options{})
	return bottletest.New(t, bottletest.Options{Daemon: daemon, Image: containerdtest.TestImage})
}

// piped runs a command that reads data.
func piped(u *bottletest.User, data []byte, args ...string) bottletest.Result {
	command := u.Command(args...)
	command.Stdin = bytes.NewReader(data)
	return u.RunCommand(command)
}

// rewritten is a tar with entries changed: nil leaves one out.
func rewritten(t *testing.T, data []byte, change func(name string, content []byte) []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	reader, writer := tar.NewReader(bytes.NewReader(data)), tar.NewWriter(&b)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		content, readErr := io.ReadAll(reader)
		if err != nil || readErr != nil {
			t.Fatal(err, readErr)
		}
		if header.Typeflag == tar.TypeReg {
			if content = change(header.Name, content); content == nil {
				continue
			}
		}
		header.Size = int64(len(content))
		if err := writer.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		_, _ = writer.Write(content)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImagesComeFromArchivesAndGoToThem(t *testing.T) {
	u := ownDaemon(t)
	source := filepath.Join(u.Daemon.Libexec, "images", "test.tar")
	archive, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	pinned := strings.TrimSpace(u.Run("image", "import", source).Want(t, 0).Stdout)
	image := imagesOf(t, u)[containerdtest.TestImage]
	if pinned != containerdtest.TestImage+"@"+image.Digest || !image.Unpacked || image.Platform != "linux/amd64" && image.Platform != "linux/arm64" {
		t.Errorf("imported is %s, listed %+v", pinned, image)
	}
	does(u, "echo hello from the imported image")
	bottletest.Contains(t, u.Start("runc", "--discard").Want(t, 0).Stdout, "hello from the imported image")
	idle(t, u)

	// Out and in again, as a file, packed, as a layout directory, and as docker has it.
	exported := filepath.Join(t.TempDir(), "exported.tar")
	u.Run("image", "export", containerdtest.TestImage, "-o", exported).Want(t, 0)
	data := []byte(contentOf(t, exported))
	if out := u.Run("image", "export", containerdtest.TestImage).Want(t, 0).Stdout; out != string(data) {
		t.Error("the pipe is given something else than the file")
	}
	u.Run("image", "rm", containerdtest.TestImage).Want(t, 0)
	if left := imagesOf(t, u); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
	layout := t.TempDir()
	unpackLayout(t, layout, data)
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write(data)
	_ = writer.Close()
	docker := rewritten(t, data, func(name string, content []byte) []byte {
		if name == "oci-layout" || name == "index.json" {
			return nil
		}
		return content
	})
	for _, r := range []bottletest.Result{
		u.Run("image", "import", layout), piped(u, packed.Bytes(), "image", "import", "-"), piped(u, data, "image", "import", "-", "--name", "other:1"),
	} {
		if got := strings.TrimSpace(r.Want(t, 0).Stdout); !strings.HasSuffix(got, "@"+image.Digest) {
			t.Errorf("imported again it is %s", got)
		}
	}
	bottletest.Contains(t, piped(u, docker, "image", "import", "-", "--name", "docker:1").Want(t, 0).Stdout, "docker.io/library/docker:1@sha256:")
	does(u, "true")
	u.Start("runc", "--quiet", "--image", "docker:1").Want(t, 0)
	idle(t, u)
	// The archive's own word takes nobody's name away.
	bottletest.Contains(t, u.Run("image", "tag", "docker:1", containerdtest.TestImage).Want(t, 0).Stdout, containerdtest.TestImage+"@sha256:")
	bottletest.Contains(t, piped(u, archive, "image", "import", "-").Want(t, 3).Stderr, "--replace", containerdtest.TestImage)
	piped(u, archive, "image", "import", "-", "--replace").Want(t, 0)
	if got := imagesOf(t, u)[containerdtest.TestImage].Digest; got != image.Digest {
		t.Errorf("after --replace it is %s", got)
	}
	r := u.Run("image", "prune", "--all", "--yes").Want(t, 0)
	bottletest.Contains(t, r.Stdout, "remove docker.io/library/other:1@", "freed")
	if left := imagesOf(t, u); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

// unpackLayout writes the files of an archive into a directory.
func unpackLayout(t *testing.T, dir string, data []byte) {
	t.Helper()
	rewritten(t, data, func(name string, content []byte) []byte {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return content
	})
}

func TestT9_T16_HostileArchivesLeaveNothing(t *testing.T) {
	u := ownDaemon(t)
	archive := []byte(contentOf(t, filepath.Join(u.Daemon.Libexec, "images", "test.tar")))
	largest := func(lacks bool) []byte {
		return rewritten(t, archive, func(name string, content []byte) []byte {
			if len(content) < 100_000 {
				return content
			}
			if lacks {
				return nil
			}
			content[len(content)/2] ^= 1
			return content
		})
	}
	files := rootTar(t)
	for name, test := range map[string]struct {
		data []byte
		args []string
		code int
		want string
	}{
		"cut off":       {data: archive[:len(archive)/2], want: "unexpected EOF"},
		"a changed bit": {data: largest(false), want: "not found"},
		"a blob lacks":  {data: largest(true), want: "the archive lacks sha256:"},
		"no archive":    {data: []byte("#!/bin/sh\necho hello\n"), want: "it is no tar"},
		"nothing":       {data: nil, want: "there is nothing in it"},
		"too large":     {data: archive, args: []string{"--max-size", "512Ki"}, want: "--max-size"},
		"bomb":          {data: archive, args: []string{"--max-size", "1536Ki"}, want: "--max-size"}, // within that packed, not unpacked
		"no name":       {data: files, want: "add --name"},
		"bad name":      {data: files, args: []string{"--name", "UPPER"}, want: "image reference"},
		"other pin":     {data: archive, args: []string{"--name", "claude@sha256:" + strings.Repeat("7", 64)}, want: "its name says another digest"},
		"no index":      {data: rewritten(t, archive, func(name string, content []byte) []byte { return map[bool][]byte{true: content}[name == "oci-layout"] }), want: "index.json"},
		"index of text": {data: rewritten(t, archive, func(name string, content []byte) []byte {
			return map[bool][]byte{true: []byte("nonsense"), false: content}[name == "index.json"]
		}), want: "index"},
		"another platform": {data: rewritten(t, archive, func(name string, content []byte) []byte {
			if name == "index.json" {
				return bytes.ReplaceAll(bytes.ReplaceAll(content, []byte(`"amd64"`), []byte(`"s390x"`)), []byte(`"arm64"`), []byte(`"s390x"`))
			}
			return content
		}), want: "linux/s390x"},
	} {
		r := piped(u, test.data, append([]string{"image", "import", "-"}, test.args...)...)
		if r.Code != 1 || r.Stdout != "" || !strings.Contains(r.Stderr, test.want) {
			t.Errorf("%s: exit code %d\n%s%s", name, r.Code, r.Stdout, r.Stderr)
		}
		nothingCreated(t, u)
	}
	bottletest.Contains(t, u.Run("image", "import", u.Home).Want(t, 1).Stderr, "no image layout", "--files")

	// And a root file system becomes an image; the same one each time.
	first := piped(u, files, "image", "import", "-", "--name", "files").Want(t, 0).Stdout
	if again := piped(u, files, "image", "import", "-", "--rootfs", "--name", "files").Want(t, 0).Stdout; again != first {
		t.Errorf("once it is %s, then %s", first, again)
	}
	bottletest.Contains(t, u.Run("image", "inspect", "files", "-o", "yaml").Want(t, 0).Stdout, "unpacked: true", "ignored: []", "layers: 1")

	// A disk that is full leaves nothing, either, and says so.
	u.Run("image", "rm", "files").Want(t, 0)
	store := filepath.Join(u.Daemon.Root, "io.containerd.content.v1.content")
	onSmallDisk(t, store, "size=512k", func() {
		if err := os.MkdirAll(filepath.Join(store, "ingest"), 0o700); err != nil {
			t.Fatal(err)
		}
		bottletest.Contains(t, piped(u, archive, "image", "import", "-").Want(t, 1).Stderr, "no space left on device")
		if left := u.Left(); len(stored(t, u)) > 0 || strings.Contains(left, "lease") || strings.Contains(left, "ingest") {
			t.Errorf("there are images %v, and\n%s", stored(t, u), left)
		}
		if err := unix.Mount("none", store, "tmpfs", unix.MS_REMOUNT, "size=16m"); err != nil {
			t.Fatal(err)
		}
		piped(u, archive, "image", "import", "-").Want(t, 0)
		u.Run("image", "rm", containerdtest.TestImage).Want(t, 0)
	})
}

// rootTar is a root file system with nothing in it.
func rootTar(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	writer := tar.NewWriter(&b)
	for _, name := range []string{"./", "./etc/", "./tmp/"} {
		if err := writer.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAnImageThatIsNeededStays(t *testing.T) {
	u := ownDaemon(t)
	archive := filepath.Join(u.Daemon.Libexec, "images", "test.tar")
	u.Run("image", "import", archive, "--name", "mine:1").Want(t, 0)
	u.Run("image", "import", archive, "--name", "spare:1").Want(t, 0)
	does(u, "echo made > made; echo ready; cat")
	s := u.OnTerminal("start", "tester", "--yes", "--runtime", "runc", "--image", "mine:1")
	s.Shows("ready")
	mine := imagesOf(t, u)["docker.io/library/mine:1"]
	if len(mine.UsedBy) != 1 || mine.UsedBy[0].Use != "bottle" || mine.UsedBy[0].Name != "tester" {
		t.Errorf("it is used by %+v", mine.UsedBy)
	}
	bottletest.Contains(t, u.Run("image", "rm", "mine:1").Want(t, 3).Stderr, "bottle tester", "--force")
	s.Types("\x04")
	s.Ends()
	idle(t, u)

	// Kept work needs it, too: a name that moves on leaves it under its digest.
	bottletest.Contains(t, u.Run("image", "rm", "mine:1").Want(t, 3).Stderr, "kept tester@")
	kept := "docker.io/library/mine@" + mine.Digest
	piped(u, rootTar(t), "image", "import", "-", "--name", "other:1").Want(t, 0)
	u.Run("image", "tag", "other:1", "mine:1").Want(t, 0)
	if all := imagesOf(t, u); all[kept].Digest != mine.Digest || all["docker.io/library/mine:1"].Digest == mine.Digest {
		t.Errorf("the image of kept work is gone: %+v", all)
	}
	bottletest.Contains(t, u.Run("diff", "tester").Want(t, 0).Stdout, "made")
	does(u, "cat made")
	r := u.Run("image", "prune", "--dry-run").Want(t, 0)
	bottletest.Contains(t, r.Stdout, "remove docker.io/library/spare:1@", "kept tester@")
	if r := u.Run("image", "prune"); r.Code != 1 || !strings.Contains(r.Stderr, "nothing removed") {
		t.Errorf("without a yes: %d %s", r.Code, r.Stderr)
	}
	u.Run("image", "prune", "--yes").Want(t, 0)
	if _, there := imagesOf(t, u)["docker.io/library/spare:1"]; there {
		t.Error("it was not removed")
	}
	bottletest.Contains(t, u.Run("resume", "tester", "--yes", "--quiet", "--image", kept).Want(t, 0).Stdout, "made")
	idle(t, u)
	u.Run("rm", "tester", "--discard").Want(t, 0)
	u.Run("image", "prune", "--all", "--yes").Want(t, 0)
	if left := imagesOf(t, u); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}
