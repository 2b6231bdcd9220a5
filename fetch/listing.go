package fetch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/ledger"
	"github.com/containerd/errdefs"
)

// Bounds of what a bottle may say of its repository.
const (
	maxFetchedRefs = 10_000
	maxListingLine = 4 << 10
)

// listing is what a bottle says that its repository holds.
type listing struct {
	format      string // sha1 or sha256
	head        string // object; "" before the first commit
	branch      string // ref that HEAD stands for; "" when it is detached
	uncommitted string // commit of what was not committed; "" when there is nothing
	shallow     bool
	refs        []listedRef
}

// listedRef is a ref and where it goes below refs/bottle/NAME/.
type listedRef struct{ to, object string }

// errListing says that a listing is none: the git inside is broken, or lies.
var errListing = fmt.Errorf("git in the bottle says what makes no sense: %w", errdefs.ErrDataLoss)

// readListing reads the bottle's word up to the pack. The names of refs are as
// they were said: checkNames judges them.
func readListing(r *bufio.Reader) (*listing, error) {
	l := &listing{}
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("%w: a line without an end", errListing)
		}
		if err != nil {
			return nil, err
		}
		text := strings.TrimSuffix(string(line), "\n")
		if first {
			if text != "claude-bottle 1" {
				return nil, fmt.Errorf("%w: it begins %s", errListing, backend.Printable(text))
			}
			continue
		}
		if text == "end" {
			return l, l.check()
		}
		if err := l.take(text); err != nil {
			return nil, err
		}
	}
}

func (l *listing) take(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	object, name, _ := strings.Cut(rest, " ")
	switch {
	case word == "format" && (rest == "sha1" || rest == "sha256"):
		l.format = rest
	case word == "shallow" && rest == "":
		l.shallow = true
	case word == "head" && ledger.IsObjectName(object):
		l.head = object
		if name == "-" {
			l.refs = append(l.refs, listedRef{"HEAD", object})
			break
		}
		l.branch = strings.TrimPrefix(name, "refs/")
	case word == "uncommitted" && ledger.IsObjectName(rest):
		l.uncommitted = rest
		l.refs = append(l.refs, listedRef{"uncommitted", rest})
	case word == "ref" && ledger.IsObjectName(object) && strings.HasPrefix(name, "refs/"):
		l.refs = append(l.refs, listedRef{strings.TrimPrefix(name, "refs/"), object})
	case word == "stash" && ledger.IsObjectName(name):
		number, err := strconv.ParseUint(object, 10, 16)
		if err != nil {
			return fmt.Errorf("%w: %s", errListing, backend.Printable(line))
		}
		to := "stash"
		if number > 0 {
			to = fmt.Sprintf("stash-%d", number)
		}
		l.refs = append(l.refs, listedRef{to, name})
	default:
		return fmt.Errorf("%w: %s", errListing, backend.Printable(line))
	}
	if len(l.refs) > maxFetchedRefs {
		return fmt.Errorf("the bottle's repository has more than %d refs: delete some inside: %w", maxFetchedRefs, errdefs.ErrResourceExhausted)
	}
	return nil
}

// check wants all names of objects to be of the one kind.
func (l *listing) check() error {
	length := map[string]int{"sha1": 40, "sha256": 64}[l.format]
	for _, ref := range append([]listedRef{{"HEAD", l.head}}, l.refs...) {
		if ref.object != "" && len(ref.object) != length {
			return fmt.Errorf("%w: an object of the wrong kind", errListing)
		}
	}
	return nil
}

// snapshot is the commit that holds the files as they were found.
func (l *listing) snapshot() string {
	if l.uncommitted != "" {
		return l.uncommitted
	}
	return l.head
}

// objects are the names of all that was listed.
func (l *listing) objects() []string {
	names := make([]string, 0, len(l.refs)+1)
	if l.head != "" {
		names = append(names, l.head)
	}
	for _, ref := range l.refs {
		names = append(names, ref.object)
	}
	return names
}
