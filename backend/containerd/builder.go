package containerd

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxBuilderFile bounds one file that a step writes, in bytes.
const maxBuilderFile = 8 << 30

// role is what a bottle is for when no agent works in it.
type role struct {
	// helps is set when it is a helper bottle.
	helps *helping
	// builds is set when a step of an image is made in it.
	builds bool
	// provisioner fills the places of one in which an agent does.
	provisioner backend.Provisioner
}

// whose makes the user of a bottle in that role.
func (r role) whose() func(backend.ID, bool) (user, error) {
	if r.builds {
		return newBuilder
	}
	return newUser
}

// spec writes the OCI spec of the bottle, and has it checked.
func (l *launch) spec() (*specs.Spec, error) {
	input, err := l.backend.specInput(l.plan, l.places, l.user, l.netns.path)
	if err != nil {
		return nil, err
	}
	if l.builds {
		l.backend.toBuild(&input, l.places)
	} else {
		l.backend.toWork(&input, l.places, l.workspace())
	}
	spec, err := oci.Build(input)
	if err != nil {
		return nil, fmt.Errorf("build OCI spec: %w", err)
	}
	return spec, nil
}

// newBuilder is the root of a bottle in which an image is built. Without a user namespace
// it is gVisor's alone: the linter sees to that.
func newBuilder(id backend.ID, namespace bool) (user, error) {
	if !namespace {
		return user{}, nil
	}
	first, err := hostID(id)
	return user{host: first, first: first}, err
}

// stageBuild makes what is bound into such a bottle. The users of the image are its own:
// packages add to them.
func stageBuild(where places, who user) error {
	if err := os.WriteFile(where.unready(), nil, 0o600); err != nil {
		return fmt.Errorf("mark bottle as unready: %w", err)
	}
	if err := makeInitLog(where); err != nil {
		return err
	}
	return stageEtc(where, builderEtc(where.id, who))
}

// builderEtc are the files of /etc that a step has instead of the image's.
func builderEtc(id backend.ID, who user) map[string]string {
	files := etcFiles(id, who)
	delete(files, "passwd")
	delete(files, "group")
	return files
}

// toBuild makes the spec that of a bottle in which an image is built: root in it, with what
// package managers need, and nothing of the host in it but the neck.
func (b *Backend) toBuild(input *oci.Input, where places) {
	input.Builds, input.FileBytes = true, maxBuilderFile
	input.Cwd = "/"
	input.Mounts = b.ownBinds(where, slices.Sorted(maps.Keys(builderEtc(where.id, user{}))))
	input.Sources = []string{where.run, b.options.Init}
}
