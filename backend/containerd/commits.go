package containerd

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/claude-bottle/claude-bottle/provision"
	"github.com/claude-bottle/claude-bottle/work"
	"github.com/containerd/log"
)

// Bounds of the question how many commits there are: the agent's git answers it.
const (
	countTimeout = 3 * time.Second
	maxCount     = 1 << 30
)

// countCommits has git inside count the commits that the host doesn't have, and
// notes the answer. A bottle that does not answer leaves them uncounted.
func (b *bottle) countCommits(ctx context.Context) {
	if b.supervisor == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	if err := b.askForCommits(ctx); err != nil {
		log.G(ctx).WithError(err).Debug("count commits")
	}
}

func (b *bottle) askForCommits(ctx context.Context) error {
	of := b.places.work()
	moved, err := work.Moved(ctx, of)
	if err != nil || len(moved) == 0 {
		return err
	}
	argv, stdin, err := work.CountCommits(of, moved)
	if err != nil {
		return err
	}
	var answer shortText
	status, err := b.supervisor.Session(ctx, &neck.SessionRequest{
		Argv: argv, Dir: backend.WorkspacePath,
		Env: append(provision.Basics(), "GIT_NO_LAZY_FETCH=1"),
	}, neck.SessionIO{In: stdin, Out: &answer, Err: &shortText{}})
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(strings.TrimSpace(answer.text.String()))
	if err != nil || status.Code != 0 || count < 0 || count > maxCount {
		return fmt.Errorf("git inside ended with code %d and said %+q", status.Code, answer.text.String())
	}
	return work.NoteCommits(of, moved, count)
}

// shortText keeps the beginning of what is written.
type shortText struct{ text bytes.Buffer }

// Write implements io.Writer.
func (s *shortText) Write(p []byte) (int, error) {
	const most = 256
	s.text.Write(p[:min(len(p), most-min(most, s.text.Len()))])
	return len(p), nil
}
