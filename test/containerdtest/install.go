package containerdtest

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/engine"
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
	config, err := d.config()
	if err != nil {
		return err
	}
	return os.WriteFile(d.configPath(), []byte(config), 0o600)
}

func (d *Daemon) configPath() string { return filepath.Join(d.Dir, "config.toml") }

// config is that of every private containerd, quiet but for warnings.
func (d *Daemon) config() (string, error) {
	text, err := engine.Config(d.Root, d.State, d.Address)
	return text + fmt.Sprintf("\n[debug]\n  level = \"warn\"\n  address = %q\n", d.debugAddress()), err
}
