package fake_test

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/test/conformance"
	"github.com/claude-bottle/claude-bottle/test/conformance/fake"
)

func TestTheFakeConforms(t *testing.T) {
	claude, err := filepath.Abs("../../../hack/image/fake-claude.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	machine := fake.New(dir, claude)
	conformance.Run(t, conformance.Harness{
		Open:    func(testing.TB) backend.Backend { return machine },
		Image:   "fake",
		Runtime: backend.RuntimeAuto,
		Dead:    func(t testing.TB, spec backend.Spec) { die(t, machine, spec) },
		Left:    func(t testing.TB) string { return left(t, dir, machine) },
	})
}

// die launches a bottle, and has its holder die once its claude is ready.
func die(t testing.TB, machine *fake.Backend, spec backend.Spec) {
	t.Helper()
	plan, err := machine.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := backend.ResolveSecrets(plan, spec.Lookup, nil)
	if err != nil {
		t.Fatal(err)
	}
	bottle, err := machine.Launch(t.Context(), plan, secrets)
	if err != nil {
		t.Fatal(err)
	}
	input, keys := io.Pipe()
	output, said := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = bottle.ExecClaude(t.Context(), plan.Command, backend.Terminal{In: input, Out: said, Err: io.Discard})
	}()
	if line, err := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
		t.Fatalf("it says %q, %v", line, err)
	}
	if err := machine.Die(spec.Name); err != nil {
		t.Fatal(err)
	}
	<-ended
	_ = keys.Close()
}

// left are the directories below dir that are no kept bottle's.
func left(t testing.TB, dir string, machine *fake.Backend) string {
	t.Helper()
	list, err := machine.ListActive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]bool{}
	for _, status := range list {
		kept[status.ID] = status.Phase == backend.PhaseKept
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if !kept[entry.Name()] {
			names = append(names, entry.Name())
		}
	}
	return strings.Join(names, "\n")
}
