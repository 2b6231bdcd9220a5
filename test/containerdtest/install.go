package containerdtest

import (
	"fmt"
	"os"
	"path/filepath"
)

// install writes the configuration and a bin directory with nothing but the
// shim of the daemon's own version.
func (d *Daemon) install() error {
	tools := d.Libexec
	switch d.options.Version {
	case "2.4":
	case "1.7":
		tools = filepath.Join(d.Libexec, "containerd-1.7")
	case "1.6":
		tools = filepath.Join(d.Libexec, "containerd-1.6", "usr", "bin")
	default:
		return fmt.Errorf("no containerd %q here: take 2.4, 1.7 or 1.6", d.options.Version)
	}
	d.binary = filepath.Join(tools, "containerd")
	if _, err := os.Stat(d.binary); err != nil {
		return fmt.Errorf("containerd %s is missing: run hack/setup.sh tools: %w", d.options.Version, err)
	}
	bin := filepath.Join(d.Dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	const shim = "containerd-shim-runc-v2"
	if err := os.Symlink(filepath.Join(tools, shim), filepath.Join(bin, shim)); err != nil {
		return err
	}
	var err error
	if d.log, err = os.OpenFile(filepath.Join(d.Dir, "containerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	return os.WriteFile(d.configPath(), []byte(d.config()), 0o600)
}

func (d *Daemon) configPath() string { return filepath.Join(d.Dir, "config.toml") }

// config switches off what bottles never use. Version 2 is the format that
// every daemon from 1.6 on reads.
func (d *Daemon) config() string {
	return fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.image-verifier.v1.bindir",
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.restart",
  "io.containerd.internal.v1.tracing",
  "io.containerd.monitor.container.v1.restart",
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = %q
[ttrpc]
  address = %q
[debug]
  level = "warn"
  address = %q
`, d.Root, d.State, d.Address, d.Address+".ttrpc", d.debugAddress())
}
