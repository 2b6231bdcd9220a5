package supervise

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
)

// readBack is what a log holds, the pieces of each stream together.
func readBack(t *testing.T, state string) (streams map[string]string, pieces []Said) {
	t.Helper()
	streams = map[string]string{}
	err := ReadSessionLog(state, func(piece Said) error {
		streams[piece.Stream] += string(piece.Data)
		pieces = append(pieces, piece)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return streams, pieces
}

func TestASessionLogGivesBackWhatWasSaid(t *testing.T) {
	state := t.TempDir()
	if err := ReadSessionLog(state, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a log: %v", err)
	}
	said, err := openSessionLog(t.Context(), state, false)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(said.outlet("stdout"), "one\n\x00\xff")
	_, _ = io.WriteString(said.outlet("stderr"), "aside")
	said.goesOn(neck.Position{Offset: 100, Lost: 89})
	_, _ = io.WriteString(said.outlet("stdout"), "two")
	said.close()
	if next, err := openSessionLog(t.Context(), state, true); err != nil || next.offset != 103 {
		t.Errorf("the next supervisor goes on from %+v: %v", next, err)
	} else {
		next.close()
	}
	streams, pieces := readBack(t, state)
	if streams["stdout"] != "one\n\x00\xfftwo" || streams["stderr"] != "aside" {
		t.Errorf("it holds %q", streams)
	}
	if last := pieces[len(pieces)-1]; last.Offset != 103 || pieces[2].Lost != 89 || pieces[1].Offset != 11 {
		t.Errorf("its pieces are %+v", pieces)
	}
}

func TestF24_ASpoiltSessionLogIsReadAsFarAsItGoes(t *testing.T) {
	state := t.TempDir()
	path := filepath.Join(state, backend.StateLog)
	whole := `{"time":"2026-01-01T00:00:00Z","offset":3,"stream":"stdout","data":"b25l"}`
	if err := os.WriteFile(path, []byte("\x00garbage\n"+whole+"\n"+whole[:20]), 0o600); err != nil {
		t.Fatal(err)
	}
	if streams, _ := readBack(t, state); streams["stdout"] != "one" {
		t.Errorf("it holds %q", streams)
	}
}

func TestASessionLogIsBounded(t *testing.T) {
	state := t.TempDir()
	said, err := openSessionLog(t.Context(), state, false)
	if err != nil {
		t.Fatal(err)
	}
	defer said.close()
	piece := bytes.Repeat([]byte("x"), 1<<20)
	for range 60 {
		_, _ = said.outlet("stdout").Write(piece)
	}
	size := int64(0)
	for _, name := range []string{backend.StateLog, backend.StateLog + ".1"} {
		info, err := os.Stat(filepath.Join(state, name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 2*(maxSessionLog+2<<20) {
		t.Errorf("%d bytes are kept", size)
	}
	streams, pieces := readBack(t, state)
	if last := pieces[len(pieces)-1]; last.Offset != 60<<20 || len(streams["stdout"]) < 10<<20 || strings.Trim(streams["stdout"], "x") != "" {
		t.Errorf("%d bytes are there, up to %d", len(streams["stdout"]), last.Offset)
	}
}
