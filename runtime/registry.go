package runtime

import (
	"context"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/image/credentials"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
)

// Registries say how registries are reached.
type Registries struct {
	// Logins is docker's configuration file; "" is none.
	Logins string
	// HostDirs are directories with a directory per registry, as containerd has
	// them: mirrors, plain HTTP, authorities. The first that knows a registry
	// counts.
	HostDirs []string
}

// resolver speaks to registries as the host directories say, with the logins that
// the user has. A registry on this host without a word of them may speak plain HTTP.
func (c *Client) resolver(ctx context.Context) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{Hosts: config.ConfigureHosts(ctx, config.HostOptions{
		HostDir: c.options.Registries.hostDir,
		Credentials: func(host string) (string, string, error) {
			if c.options.Registries.Logins == "" {
				return "", "", nil
			}
			return credentials.Lookup(ctx, c.options.Registries.Logins, host)
		},
	})})
}

// hostDir finds the directory of a registry.
func (r Registries) hostDir(host string) (string, error) {
	for _, root := range r.HostDirs {
		if _, err := os.Stat(root); err != nil {
			continue
		}
		dir, err := config.HostDirFromRoot(root)(host)
		if errdefs.IsNotFound(err) {
			continue
		}
		return filepath.Clean(dir), err
	}
	return "", errdefs.ErrNotFound
}
