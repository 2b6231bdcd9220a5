package containerd

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/claude-bottle/claude-bottle/backend"
)

// user is who the agent is: the numbers inside, and the same on the host.
type user struct {
	inside uint32
	host   uint32
	first  uint32 // host id of the user namespace's 0; 0 without one
}

func newUser(id backend.ID, namespace bool) (user, error) {
	first, err := hostID(id)
	if err != nil {
		return user{}, err
	}
	if namespace {
		return user{inside: bottleUID, host: first + bottleUID, first: first}, nil
	}
	return user{inside: first + bottleUID, host: first + bottleUID}, nil
}

// stage makes the directories and files that are bound into the bottle.
func stage(where places, who user) error {
	if err := os.WriteFile(where.unready(), nil, 0o600); err != nil {
		return fmt.Errorf("mark bottle as unready: %w", err)
	}
	for _, place := range []backend.Place{backend.PlaceWorkspace, backend.PlaceHome, backend.PlaceClaude} {
		if err := makeOwned(where.place(place), who); err != nil {
			return err
		}
	}
	for _, name := range mountPoints() {
		if err := makeOwned(filepath.Join(where.place(backend.PlaceHome), name), who); err != nil {
			return err
		}
	}
	return stageRun(where, who)
}

// mountPoints are those inside the home directory: the runtime must not have to
// make them as root.
func mountPoints() []string { return []string{".claude", ".ssh"} }

// makeOwned makes a directory of the agent's.
func makeOwned(dir string, who user) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make place: %w", err)
	}
	if err := os.Chown(dir, int(who.host), int(who.host)); err != nil {
		return fmt.Errorf("make place: %w", err)
	}
	return nil
}

// stageRun is the part that no reboot survives, with the file that the shim writes
// what PID 1 says to: a shim would make it readable by everybody who can guess its
// path.
func stageRun(where places, who user) error {
	if err := makeInitLog(where); err != nil {
		return err
	}
	if err := makeOwned(where.place(backend.PlaceSSH), who); err != nil {
		return err
	}
	return stageEtc(where, etcFiles(where.id, who))
}

func makeInitLog(where places) error {
	said, err := os.OpenFile(where.initLog(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make log of PID 1: %w", err)
	}
	if err := said.Close(); err != nil {
		return fmt.Errorf("make log of PID 1: %w", err)
	}
	return nil
}

// stageEtc makes the directories that are bound, and the files of /etc.
func stageEtc(where places, files map[string]string) error {
	for _, dir := range []string{where.neck(), where.etc()} {
		if err := makeDirectory(dir, 0o755); err != nil {
			return fmt.Errorf("make bound directory: %w", err)
		}
	}
	for name, text := range files {
		path := filepath.Join(where.etc(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return fmt.Errorf("write bound file: %w", err)
		}
		if err := os.Chmod(path, 0o644); err != nil { //nolint:gosec // the agent reads it
			return fmt.Errorf("write bound file: %w", err)
		}
	}
	return nil
}

// etcFiles are the files of /etc that the bottle has instead of the image's.
func etcFiles(id backend.ID, who user) map[string]string {
	return map[string]string{
		"passwd": fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\nclaude:x:%d:%d:claude:%s:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
			who.inside, who.inside, backend.HomePath),
		"group":       fmt.Sprintf("root:x:0:\ntty:x:5:\nclaude:x:%d:\nnogroup:x:65534:\n", who.inside),
		"hosts":       "127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.0.1 " + id.Name + "\n",
		"resolv.conf": "nameserver 127.0.0.1\noptions ndots:0 timeout:5\n",
		"hostname":    id.Name + "\n",
	}
}
