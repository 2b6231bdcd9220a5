package integration

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
)

// veiledWord is a word that nobody knows, and how the attack is told of it: that is not
// what it finds.
func veiledWord(prefix string) (word, hidden string) {
	word = prefix + rand.Text()
	veiled := []byte(word)
	for i := range veiled {
		veiled[i] ^= 0x5a
	}
	return word, hex.EncodeToString(veiled)
}

// TestT12_ABottleSeesNothingOfItsNeighbour: one leaves a word in files, arguments, memory
// and queues of System V and behind an abstract socket. Whoever is inside finds it in each
// of these places, and the bottle beside it in none.
func TestT12_ABottleSeesNothingOfItsNeighbour(t *testing.T) {
	eachRuntime(t, func(t *testing.T, u *bottletest.User, runtime string) {
		_, hidden := veiledWord("word-")
		what := fmt.Sprintf("%s %d", hidden, 1+mathrand.IntN(math.MaxInt32-1))
		program(t, u)
		does(u, "./attack dwell "+what)
		s := start(t, u, runtime, "neighbour")
		bottletest.Eventually(t, "the neighbour dwells", func() bool { return len(workspaces(t, u, "neighbour", "dwelling")) == 1 })
		places := []string{"visit memory: done", "visit queue: done", "visit semaphore: done", "visit socket: done"}
		inside := u.Run("exec", "neighbour", "--", "sh", "-c", "./attack visit "+what).Want(t, 0).Stdout
		bottletest.Contains(t, inside, append(places, "visit: done", "/workspace/neighbour", "/home/claude/neighbour", "/tmp/neighbour", "/dev/shm/neighbour", "process")...)

		_, outside := attacks(t, u, runtime, "visit "+what)
		bottletest.Contains(t, outside, "visit: done", "looked at ")
		for _, place := range append(places, "found ") {
			if strings.Contains(outside, place) {
				t.Errorf("from the bottle beside it:\n%s", outside)
			}
		}
		if matches := regexp.MustCompile(`looked at (\d\d+) files, [1-9]`).FindString(outside); matches == "" {
			t.Errorf("it did not look:\n%s", outside)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(workspaces(t, u, "neighbour", "dwelling")[0]), "over"), nil, 0o644); err != nil { //nolint:gosec // the bottle reads it
			t.Fatal(err)
		}
		if err := <-s.done; err != nil {
			t.Errorf("start ends with %v: %s", err, s.said.String())
		}
		if lines := s.said.String(); strings.Count(lines, ": done\n") < 10 {
			t.Errorf("the neighbour has left less than it should:\n%s", lines)
		}
	})
}
