package change

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/claude-bottle/claude-bottle/hostgit"
)

// blobTimeout bounds the reading of what went in.
const blobTimeout = 10 * time.Minute

// fetchBlobs asks the host's repository. One that has gone, or that has lost the
// objects, leaves them absent.
func (b *base) fetchBlobs(ctx context.Context, changes []*Change, numbers []int, to *side, absent func(int, string)) error {
	tree := b.work.Plan
	if tree == nil || tree.Workspace == nil {
		return nil
	}
	missed := func(from int) {
		for _, number := range numbers[from:] {
			absent(number, noteBefore)
		}
	}
	owner, err := hostgit.OwnerOf(tree.Workspace.Path)
	if err != nil {
		missed(0)
		return nil //nolint:nilerr // said in the notes of the changes
	}
	var names strings.Builder
	for _, number := range numbers {
		names.WriteString(b.index[changes[number].Path].reference + "\n")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader, writer := io.Pipe()
	go func() {
		git := hostgit.Git{Dir: tree.Workspace.Path, Owner: owner, Timeout: blobTimeout}
		_ = writer.CloseWithError(git.Stream(ctx, strings.NewReader(names.String()), writer, "cat-file", "--batch", "--buffer"))
	}()
	defer func() { _ = reader.Close() }()
	buffered := bufio.NewReaderSize(reader, 64<<10)
	for i, number := range numbers {
		there, err := readBlob(buffered, to.path(number), fileMode(b.index[changes[number].Path].mode))
		var failed *hostgit.Error
		switch {
		case errors.As(err, &failed) && ctx.Err() == nil:
			missed(i)
			return nil
		case err != nil:
			return fmt.Errorf("read what went in: %w", err)
		case !there:
			absent(number, noteBefore)
		}
	}
	return nil
}

// readBlob reads one answer of cat-file --batch into a new file.
func readBlob(r *bufio.Reader, to string, mode os.FileMode) (there bool, err error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return false, err
	}
	fields := strings.Fields(line)
	if len(fields) != 3 || fields[1] != "blob" {
		return false, nil
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return false, err
	}
	file, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return false, err
	}
	_, err = io.CopyN(file, r, size)
	_, discardErr := r.Discard(1) // the newline behind it
	return true, errors.Join(err, discardErr, file.Close())
}
