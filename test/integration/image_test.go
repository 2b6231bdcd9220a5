package integration

import (
	"archive/tar"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// image makes an image of these files and imports it as it is. A value that
// begins with "-> " is a link; the program that tries to get out is at "attack".
func image(t *testing.T, u *bottletest.User, name string, files map[string]string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	layer, err := os.Create(filepath.Join(dir, "layer.tar"))
	if err != nil {
		t.Fatal(err)
	}
	writer := tar.NewWriter(layer)
	for _, directory := range []string{"usr/", "usr/local/", "usr/local/bin/", "workspace/", "tmp/"} {
		if err := writer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: directory, Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(files)) { // a directory comes before what it holds
		content := files[path]
		header := &tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o755}
		if path == "usr/local/bin/claude" && content == "" {
			header.Mode = 0o644
		}
		data := []byte(content)
		if strings.HasSuffix(path, "/") { // a directory for everybody
			header.Typeflag, header.Mode, data = tar.TypeDir, 0o777, nil
		}
		if content == "attack" {
			if data, err = os.ReadFile(attack); err != nil {
				t.Fatal(err)
			}
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			header.Typeflag, header.Linkname, data = tar.TypeSymlink, target, nil
		}
		header.Size = int64(len(data))
		if err := writer.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := layer.Close(); err != nil {
		t.Fatal(err)
	}
	reference := "docker.io/claude-bottle/" + name + ":latest"
	archive := filepath.Join(dir, "image.tar")
	args := append([]string{"run", "../../hack/ociarchive", "--output", archive, "--name", reference, "--layer", layer.Name() + ":test"}, flags...)
	if output, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	ctr := exec.Command(filepath.Join(u.Daemon.Libexec, "ctr"), "--address", u.Daemon.Address, "--namespace", bottletest.Namespace,
		"images", "import", "--local", "--no-unpack", "--all-platforms", archive)
	if output, err := ctr.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return reference
}

func TestImagesThatHaveNoClaudeForThisHost(t *testing.T) {
	u := newUser(t, "2.4")
	does(u, "true")
	empty := image(t, u, "empty", map[string]string{"etc/hostname": "x"})
	closed := image(t, u, "closed", map[string]string{"usr/local/bin/claude": ""})
	other, old := "arm64", "386" // what a processor of this host runs as well is foreign to a bottle, too
	if goruntime.GOARCH == "arm64" {
		other, old = "amd64", "arm"
	}
	foreign := image(t, u, "foreign", map[string]string{"usr/local/bin/claude": "attack"}, "--architecture", other)
	ancient := image(t, u, "ancient", map[string]string{"usr/local/bin/claude": "attack"}, "--architecture", old)
	for _, runtime := range bottletest.Runtimes() {
		for _, test := range []struct {
			image string
			code  int
			want  []string
		}{
			{empty, 127, []string{"image " + empty + " has no claude on its PATH"}},
			{closed, 126, []string{"claude of image " + closed + " can't be executed"}},
			{foreign, 125, []string{foreign, "linux/" + other, "this host is linux/" + goruntime.GOARCH}},
			{ancient, 125, []string{ancient, "linux/" + old, "this host is linux/" + goruntime.GOARCH}},
		} {
			r := u.Start(runtime, "--quiet", "--image", test.image)
			if r.Code != test.code {
				t.Errorf("%s on %s: exit code %d, want %d", test.image, runtime, r.Code, test.code)
			}
			bottletest.Contains(t, r.Stderr, test.want...)
		}
	}
	bottletest.Eventually(t, "the bottles go", func() bool { return len(u.Supervisors()) == 0 })
}

func TestT7_T9_WhatAnImageSaysOfItselfIsNobodysWish(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "true")
		hostile := image(t, u, "hostile", map[string]string{"usr/local/bin/claude": "attack"},
			"--env", "LD_PRELOAD=/evil.so", "--env", "NODE_OPTIONS=--require=/evil.js", "--env", "GIT_SSH_COMMAND=evil", "--env", "ANTHROPIC_BASE_URL=http://evil.example",
			"--env", "PATH=/evil", "--env", "HTTPS_PROXY=http://evil.example", "--command", "/evil", "--directory", "/proc/self/fd/8",
			"--label", "containerd.io/restart.status=running", "--label", "containerd.io/restart.loguri=binary:///tmp/evil", "--label", "dev.gvisor.flag.net-raw=true",
			"--volume", "/etc/../../root", "--volume", "/evil-volume")
		bottletest.Contains(t, u.Run("image", "inspect", hostile).Want(t, 0).Stdout, "LD_PRELOAD=/evil.so", `"/evil-volume"`, `"ignored": [`, `"volumes"`)
		r := u.Start(runtime, "--quiet", "--image", hostile, "--", "environment").Want(t, 0)
		bottletest.Contains(t, r.Stdout, "ANTHROPIC_BASE_URL=http://anthropic.bottle", "arguments \n")
		if strings.Contains(r.Stdout, "evil") || strings.Contains(r.Stdout, "/proc/self/fd") {
			t.Errorf("the image has its say:\n%s", r.Stdout)
		}
		list, err := u.Daemon.Client().Containers(namespaces.WithNamespace(t.Context(), bottletest.Namespace))
		if err != nil {
			t.Fatal(err)
		}
		for _, container := range list { // the one that is going
			labels, err := container.Labels(namespaces.WithNamespace(t.Context(), bottletest.Namespace))
			if err != nil {
				continue
			}
			for key := range labels {
				if !strings.HasPrefix(key, "claude-bottle.dev/") {
					t.Errorf("T7: label %s", key)
				}
			}
		}
		bottletest.Eventually(t, "the bottle goes", func() bool { return len(u.Supervisors()) == 0 })
	})
}

func TestT5_LinksInPlaceOfSystemDirectoriesLeadNowhere(t *testing.T) {
	everywhere(t, func(t *testing.T, u *bottletest.User, runtime string) {
		does(u, "true")
		for name, links := range map[string]map[string]string{
			"dev":  {"dev": "-> /", "usr/local/bin/claude": "attack"},
			"proc": {"proc": "-> /tmp", "usr/local/bin/claude": "attack"},
			"etc":  {"etc": "-> /proc/sys/kernel", "usr/local/bin/claude": "attack"},
			"run":  {"run": "-> ../../../../../../tmp", "usr/local/bin/claude": "attack"},
			"home": {"home": "-> /proc/1/root/tmp", "usr/local/bin/claude": "attack"},
		} {
			reference := image(t, u, "links-"+name, links)
			r := u.Start(runtime, "--quiet", "--image", reference, "--", "files")
			if r.Code != 0 && r.Code != 125 && r.Code != 127 {
				t.Errorf("%s: exit code %d: %s", name, r.Code, r.Stderr)
			}
			for line := range strings.Lines(r.Stdout) {
				if strings.HasSuffix(line, ": done\n") && strings.HasPrefix(line, "write /") && !strings.Contains(line, "/dev/fuse") {
					t.Errorf("%s: %s", name, line)
				}
			}
		}
		for _, path := range []string{"/tmp/claude", "/tmp/bottle"} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("the host has got %s", path)
			}
		}
		bottletest.Eventually(t, "the bottles go", func() bool { return len(u.Supervisors()) == 0 })
	})
}
