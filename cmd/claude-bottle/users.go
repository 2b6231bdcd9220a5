package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	accounts "os/user"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/backend/containerd"
	"github.com/claude-bottle/claude-bottle/controller"
	"github.com/claude-bottle/claude-bottle/manifest"
	"github.com/claude-bottle/claude-bottle/remote"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/spf13/pflag"
)

// usersOptions are the flags of controller about users who are not root.
type usersOptions struct {
	socket, group, hostFile string
}

func (o *usersOptions) add(flags *pflag.FlagSet) {
	flags.StringVar(&o.socket, "users-socket", remote.DefaultSocket, "`path` of the socket for users who are not root; none serves no users")
	flags.StringVar(&o.group, "users-group", remote.DefaultGroup, "`group` whose members may connect to it")
	flags.StringVar(&o.hostFile, "host-file", manifest.DefaultHostFile, "`file` that the limits of users are in")
}

// served says that there is a group whose members may come.
func (o *usersOptions) served() bool {
	if o.socket == "none" {
		return false
	}
	_, err := accounts.LookupGroup(o.group)
	return err == nil
}

// userNamespace is the containerd namespace of one user's bottles: each user has records,
// directories and images of their own.
func (a *application) userNamespace(uid uint32) string { return fmt.Sprintf("%s-%d", a.namespace, uid) }

// userBackends are the backends of the users whose bottles this controller watches over.
type userBackends struct {
	app     *application
	options controllerOptions
	group   sync.WaitGroup

	mu   sync.Mutex
	list map[uint32]*containerd.Backend
}

// startServingUsers serves users beside all else, whoever watches over the bottles of root.
// A controller that a command has started serves nobody. The returned function ends it.
func (a *application) startServingUsers(ctx context.Context, own backend.Backend, o controllerOptions) (stop func()) {
	if o.untilIdle || o.users.socket == "none" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := a.serveUsers(ctx, own, o); err != nil {
			log.G(ctx).WithError(err).Error("serve no users")
		}
	}()
	return func() { cancel(); <-ended }
}

// listenForUsers waits for its turn. No listener and no error say that ctx has ended, or that
// there is no group.
func listenForUsers(ctx context.Context, o usersOptions) (*net.UnixListener, error) {
	const pause = time.Second
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		listener, err := remote.Listen(o.socket, o.group)
		switch {
		case errdefs.IsNotFound(err):
			log.G(ctx).WithError(err).Info("serve no users")
			return nil, nil //nolint:nilnil // as said
		case !errdefs.IsUnavailable(err):
			return listener, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // as said
		}
	}
}

// serveUsers serves users until ctx ends, and watches over their bottles: those of users who
// come, and those of all whose namespaces are there.
func (a *application) serveUsers(ctx context.Context, own any, o controllerOptions) error {
	listener, err := listenForUsers(ctx, o.users)
	if err != nil || listener == nil {
		return err
	}
	watching, cancel := context.WithCancel(ctx)
	each := &userBackends{app: a, options: o, list: map[uint32]*containerd.Backend{}}
	defer each.close()
	defer cancel()
	open := func(uid uint32) (*containerd.Backend, error) { return each.open(watching, uid) }
	if err := a.watchKnownUsers(ctx, own, open); err != nil {
		log.G(ctx).WithError(err).Warn("look for bottles of users")
	}
	server := remote.NewServer(remote.Options{
		Open:  func(_ context.Context, uid uint32) (remote.Backend, error) { return open(uid) },
		Quota: o.users.quota,
	})
	log.G(ctx).WithField("socket", o.users.socket).WithField("group", o.users.group).Info("serve users")
	return server.Serve(ctx, listener)
}

// watchKnownUsers opens the backends of users who have bottles already.
func (a *application) watchKnownUsers(ctx context.Context, own any, open func(uint32) (*containerd.Backend, error)) error {
	lister, ok := own.(interface {
		Namespaces(ctx context.Context) ([]string, error)
	})
	if !ok {
		return fmt.Errorf("bottles of this backend are root's alone: %w", errdefs.ErrNotImplemented)
	}
	list, err := lister.Namespaces(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, namespace := range list {
		number, ok := strings.CutPrefix(namespace, a.namespace+"-")
		uid, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil || a.userNamespace(uint32(uid)) != namespace {
			continue
		}
		_, err = open(uint32(uid))
		failed = errors.Join(failed, err)
	}
	return failed
}

// open opens the backend of a user, once, and watches over its bottles until ctx ends.
func (u *userBackends) open(ctx context.Context, uid uint32) (*containerd.Backend, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if known := u.list[uid]; known != nil {
		return known, nil
	}
	options, err := u.app.containerdOptions(ctx)
	if err != nil {
		return nil, err
	}
	options.Namespace, options.Lender = u.app.userNamespace(uid), u.app.namespace
	options.Registries.Logins = "" // they are root's
	opened, err := containerd.New(ctx, options)
	if err != nil {
		return nil, err
	}
	u.list[uid] = opened
	u.group.Go(func() {
		if err := u.watchOver(ctx, opened); err != nil {
			log.G(ctx).WithError(err).WithField("uid", uid).Error("watch over the bottles of a user")
		}
	})
	return opened, nil
}

func (u *userBackends) watchOver(ctx context.Context, opened *containerd.Backend) error {
	release, err := lead(ctx, opened, false)
	if err != nil || release == nil {
		return err
	}
	defer release()
	controller.New(controller.Options{Backend: opened, Workers: u.options.workers, Resync: u.options.resync}).Run(ctx)
	return nil
}

// close lets go of them all.
func (u *userBackends) close() {
	u.group.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, opened := range u.list {
		_ = opened.Close()
	}
}

// quota reads what the host demands and gives to a user.
func (o *usersOptions) quota(uid uint32) (backend.HostFile, backend.Quota, error) {
	host, err := manifest.LoadHost(manifest.Options{HostFile: o.hostFile})
	if err != nil {
		return host, backend.Quota{}, fmt.Errorf("no user is served before the administrator has mended it: %w", err)
	}
	name := strconv.FormatUint(uint64(uid), 10)
	if found, err := accounts.LookupId(name); err == nil {
		name = found.Username
	}
	quota, err := manifest.Quota(host, name)
	return host, quota, err
}
