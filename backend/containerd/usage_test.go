package containerd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
)

func TestUsageIsReadFromEitherKindOfCgroup(t *testing.T) {
	id := backend.ID{Name: "demo", Suffix: "00001"}
	for _, test := range []struct {
		version int
		files   map[string]string
	}{
		{2, map[string]string{
			"/cpu.stat": "user_usec 1\nusage_usec 2500000\n", "/memory.current": "5000\n", "/memory.max": "9000\n",
			"/memory.stat": "anon 1\ninactive_file 1000\n", "/pids.current": "7\n",
		}},
		{1, map[string]string{
			"cpu,cpuacct/cpuacct.usage": "2500000000\n", "memory/memory.usage_in_bytes": "5000\n", "memory/memory.limit_in_bytes": "9000\n",
			"memory/memory.stat": "cache 1\ninactive_file 1\ntotal_inactive_file 1000\n", "pids/pids.current": "7\n",
		}},
	} {
		root := t.TempDir()
		for name, text := range test.files {
			path := filepath.Join(root, filepath.Dir(name), cgroupPath(id), filepath.Base(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		usage, err := readUsage(root, test.version, id)
		if err != nil || usage.CPUTime != 2500*time.Millisecond || usage.MemoryBytes != 4000 || usage.MemoryLimitBytes != 9000 || usage.Tasks != 7 {
			t.Errorf("version %d: %+v, %v", test.version, usage, err)
		}
		if _, err := readUsage(root, test.version, backend.ID{Name: "other", Suffix: "00001"}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("version %d: of one that is not there: %v", test.version, err)
		}
		limit := map[int]string{1: filepath.Join("memory", cgroupPath(id), "memory.limit_in_bytes"), 2: filepath.Join(cgroupPath(id), "memory.max")}[test.version]
		for text, want := range map[string]int64{"max\n": 0, "9223372036854771712\n": 0} {
			if err := os.WriteFile(filepath.Join(root, limit), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if usage, err := readUsage(root, test.version, id); err != nil || usage.MemoryLimitBytes != want {
				t.Errorf("version %d: a limit of %q is %d, %v", test.version, text, usage.MemoryLimitBytes, err)
			}
		}
		if err := os.WriteFile(filepath.Join(root, limit), []byte("much\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readUsage(root, test.version, id); err == nil {
			t.Error("garbage was read")
		}
	}
}
