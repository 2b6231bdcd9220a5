package credentials

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/credentials/trace"
)

// helperTime is how long a credential helper may take: some ask a server.
const helperTime = 30 * time.Second

// File is the path of docker's configuration, by its variable or else below the
// home directory.
func File(lookup func(string) (string, bool), home string) string {
	if dir, ok := lookup("DOCKER_CONFIG"); ok && dir != "" {
		return filepath.Join(dir, "config.json")
	}
	return filepath.Join(home, ".docker", "config.json")
}

// Lookup returns the credentials for a registry's host, as one can give them to
// containerd: a secret without a name is an identity token, and both are "" when
// nothing is known. The file is read anew each time: it is small, and somebody may
// log in meanwhile.
func Lookup(ctx context.Context, file, host string) (name, secret string, err error) {
	store, err := credentials.NewStore(file, credentials.StoreOptions{})
	if err != nil {
		return "", "", fmt.Errorf("read the logins in %s: %w: mend the file, or move it away: %w", file, err, errdefs.ErrInvalidArgument)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, helperTime, fmt.Errorf("no answer within %s: %w", helperTime, context.DeadlineExceeded))
	defer cancel()
	found, err := get(ctx, store, credentials.ServerAddressFromRegistry(host))
	if err != nil {
		return "", "", fmt.Errorf("find the login for registry %s by %s: %w", host, file, err)
	}
	if found.RefreshToken != "" {
		return "", found.RefreshToken, nil
	}
	return found.Username, found.Password, nil
}

// get asks, and does not wait for helpers that outlive their time: one that has left
// a child behind is not over when it is killed.
func get(ctx context.Context, store *credentials.DynamicStore, server string) (auth.Credential, error) {
	type answer struct {
		found  auth.Credential
		err    error
		helper string
	}
	answered := make(chan answer, 1)
	go func() {
		var a answer
		watched := trace.WithExecutableTrace(ctx, &trace.ExecutableTrace{ExecuteStart: func(name, _ string) { a.helper = name }})
		a.found, a.err = store.Get(watched, server)
		answered <- a
	}()
	select {
	case a := <-answered:
		if ctx.Err() != nil && a.err != nil {
			return auth.EmptyCredential, context.Cause(ctx)
		}
		return a.found, withoutSecret(a.err, a.helper)
	case <-ctx.Done():
		return auth.EmptyCredential, context.Cause(ctx)
	}
}

// withoutSecret says what went wrong without the entry itself: the library quotes one
// that is not of the form.
func withoutSecret(err error, helper string) error {
	switch {
	case err == nil:
		return nil
	case helper == "":
		return fmt.Errorf("its entry is not as `docker login` writes it: log in again: %w", errdefs.ErrInvalidArgument)
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("there is no %s on the PATH: install this credential helper, or log in without it: %w", helper, errdefs.ErrNotFound)
	}
	return fmt.Errorf("%s: %w", helper, err)
}
