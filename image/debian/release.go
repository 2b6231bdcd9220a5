package debian

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// keyFiles are the keys that Debian signs its archive with.
//
//go:embed keys/*.asc
var keyFiles embed.FS

// sum is what a file has to be.
type sum struct {
	sha256 string
	size   int64
}

// keys reads them.
func (a Archive) keys() (openpgp.EntityList, error) {
	if a.Keys != nil {
		keys, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(a.Keys))
		if err != nil {
			return nil, fmt.Errorf("read keys: %w", err)
		}
		return keys, nil
	}
	files, err := keyFiles.ReadDir("keys")
	if err != nil {
		return nil, fmt.Errorf("read Debian's keys: %w", err)
	}
	var keys openpgp.EntityList
	for _, file := range files {
		data, err := keyFiles.ReadFile("keys/" + file.Name())
		if err != nil {
			return nil, fmt.Errorf("read Debian's keys: %w", err)
		}
		more, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("read key %s: %w", file.Name(), err)
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

// read adds the packages of one suite.
func (a Archive) read(ctx context.Context, base, suite, architecture string, keys openpgp.EntityList, to index) error {
	directory := "dists/" + suite + "/"
	body, err := get(ctx, base, directory+"InRelease", maxRelease)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(body)
	_ = body.Close()
	if err != nil {
		return fmt.Errorf("get InRelease: %w", errors.Join(err, errdefs.ErrUnavailable))
	}
	text, err := signed(data, keys)
	if err != nil {
		return err
	}
	const name = "main/binary-%s/Packages.xz"
	file := fmt.Sprintf(name, architecture)
	want, err := promised(text, suite, file, time.Now())
	if err != nil {
		return err
	}
	a.Progress.Bytes("fetching the list of "+suite, 0, want.size)
	packed, err := fetch(ctx, base, directory+file, want, maxIndex)
	if err != nil {
		return err
	}
	plain, err := unpack(bytes.NewReader(packed), path.Ext(name))
	if err != nil {
		return fmt.Errorf("unpack %s: %w", file, err)
	}
	return to.add(plain, base)
}

// signed is the text that one of the keys has signed.
func signed(data []byte, keys openpgp.EntityList) ([]byte, error) {
	block, _ := clearsign.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("its InRelease is not signed: %w", errdefs.ErrFailedPrecondition)
	}
	if _, err := block.VerifySignature(keys, nil); err != nil {
		return nil, fmt.Errorf("its InRelease is not signed by a key of Debian's that ships with this program: %w", errors.Join(err, errdefs.ErrFailedPrecondition))
	}
	return block.Plaintext, nil
}

// promised is what a release says of the file at that path. One of another suite, or one
// that is out of date, was put there by somebody else.
func promised(text []byte, suite, file string, now time.Time) (sum, error) {
	release, err := oneStanza(bytes.NewReader(text))
	if err != nil {
		return sum{}, fmt.Errorf("read InRelease: %w", err)
	}
	if release["Codename"] != suite && release["Suite"] != suite {
		return sum{}, fmt.Errorf("its InRelease is that of %s: %w", backend.Printable(release["Codename"]), errdefs.ErrFailedPrecondition)
	}
	if until := release["Valid-Until"]; until != "" {
		end, err := time.Parse(time.RFC1123, until)
		if err != nil {
			return sum{}, fmt.Errorf("read InRelease: Valid-Until: %w", err)
		}
		if now.After(end) {
			return sum{}, fmt.Errorf("its InRelease was valid until %s: set the clock, or take another mirror: %w", until, errdefs.ErrFailedPrecondition)
		}
	}
	for line := range strings.Lines(release["SHA256"]) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != file {
			continue
		}
		size, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return sum{}, fmt.Errorf("read InRelease: size of %s: %w", file, err)
		}
		return sum{fields[0], size}, nil
	}
	return sum{}, fmt.Errorf("its InRelease has no %s: %w", file, errdefs.ErrNotFound)
}
