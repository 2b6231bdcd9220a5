package egress

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/crypto/cryptobyte"
)

// maxHello bounds a ClientHello, in bytes: as many as one record holds, so that
// it goes on in one, however many it came in.
const maxHello = 16 << 10

// Numbers of TLS, by RFC 8446 and its kin.
const (
	recordChangeCipher  = 20
	recordHandshake     = 22
	recordHeader        = 5 // bytes
	messageClientHello  = 1
	messageServerHello  = 2
	extensionServerName = 0
	extensionVersions   = 43
	extensionECH        = 0xfe0d
	extensionESNI       = 0xffce // what ECH was at first
	echDrafts           = 0xfe02 // the drafts of ECH begin here
)

// errNotTLS says that a stream does not begin as TLS does.
var errNotTLS = fmt.Errorf("what is sent is not TLS: %w", errdefs.ErrPermissionDenied)

// readHello reads the handshake message that a TLS client begins with, however
// many records it is spread over. What is not just that is refused.
func readHello(r io.Reader) ([]byte, error) {
	var message []byte
	for {
		var header [recordHeader]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return nil, fmt.Errorf("read TLS hello: %w", err)
		}
		length := int(header[3])<<8 | int(header[4])
		if header[0] != recordHandshake || header[1] != 3 || length == 0 || length > maxHello {
			return nil, errNotTLS
		}
		start := len(message)
		message = append(message, make([]byte, length)...)
		if _, err := io.ReadFull(r, message[start:]); err != nil {
			return nil, fmt.Errorf("read TLS hello: %w", err)
		}
		if message[0] != messageClientHello {
			return nil, errNotTLS
		}
		if len(message) < 4 {
			continue
		}
		whole := 4 + (int(message[1])<<16 | int(message[2])<<8 | int(message[3]))
		switch {
		case whole > maxHello:
			return nil, fmt.Errorf("the TLS hello is longer than %d bytes: %w", maxHello, errdefs.ErrPermissionDenied)
		case len(message) > whole:
			return nil, fmt.Errorf("something follows the TLS hello in its record: %w", errdefs.ErrPermissionDenied)
		case len(message) == whole:
			return message, nil
		}
	}
}

// record wraps a handshake message of at most maxHello bytes into one record.
func record(message []byte) []byte {
	framed := []byte{recordHandshake, 3, 1, byte(len(message) >> 8), byte(len(message))}
	return append(framed, message...)
}

// checkHello says why a ClientHello must not go to that host: the server that it
// asks for must be the one that was dialled, in the open, by TLS 1.2 or newer.
func checkHello(message []byte, name string) error {
	hello, err := parseHello(message)
	if err != nil {
		return fmt.Errorf("the TLS hello %w: %w", err, errdefs.ErrPermissionDenied)
	}
	switch {
	case hello.hidden:
		// The fake that browsers send is made to look just like the true
		// one, so both are refused. curl, Node.js, Go and Python send none.
		return fmt.Errorf("the TLS hello has encrypted parts (ECH), so that nobody can see which host it is for: switch ECH off: %w", errdefs.ErrPermissionDenied)
	case hello.name == "":
		return fmt.Errorf("the TLS hello names no server (SNI): it must name %s: %w", name, errdefs.ErrPermissionDenied)
	case !strings.EqualFold(hello.name, name):
		return fmt.Errorf("the TLS hello names the server %s, but %s was dialled: %w", strconv.QuoteToASCII(hello.name), name, errdefs.ErrPermissionDenied)
	case !hello.modern:
		return fmt.Errorf("the TLS hello offers nothing newer than TLS 1.1: %w", errdefs.ErrPermissionDenied)
	}
	return nil
}

// clientHello is what a policy wants to know of one.
type clientHello struct {
	name   string // the server's, as it was sent
	hidden bool   // ECH, or what only looks like it
	modern bool   // TLS 1.2 or newer is offered
}

var (
	errMalformed = errors.New("is malformed")
	errTwice     = errors.New("has an extension twice")
)

// parseHello reads a whole ClientHello message, strictly: nothing is skipped
// that somebody else could read in another way.
func parseHello(message []byte) (clientHello, error) {
	var (
		hello                                     clientHello
		kind                                      uint8
		body, session, ciphers, compression, rest cryptobyte.String
		legacy                                    uint16
	)
	whole := cryptobyte.String(message)
	if !whole.ReadUint8(&kind) || kind != messageClientHello || !whole.ReadUint24LengthPrefixed(&body) || !whole.Empty() {
		return hello, errMalformed
	}
	if !body.ReadUint16(&legacy) || !body.Skip(32) || !body.ReadUint8LengthPrefixed(&session) || len(session) > 32 ||
		!body.ReadUint16LengthPrefixed(&ciphers) || len(ciphers) == 0 || len(ciphers)%2 != 0 ||
		!body.ReadUint8LengthPrefixed(&compression) || !bytes.Equal(compression, []byte{0}) {
		return hello, errMalformed
	}
	hello.modern = legacy == tls.VersionTLS12
	if body.Empty() {
		return hello, nil // no extension at all
	}
	if !body.ReadUint16LengthPrefixed(&rest) || !body.Empty() {
		return hello, errMalformed
	}
	var seen []uint16
	for !rest.Empty() {
		var number uint16
		var data cryptobyte.String
		if !rest.ReadUint16(&number) || !rest.ReadUint16LengthPrefixed(&data) {
			return hello, errMalformed
		}
		if slices.Contains(seen, number) {
			return hello, errTwice
		}
		seen = append(seen, number)
		if err := hello.extension(number, data, legacy); err != nil {
			return hello, err
		}
	}
	return hello, nil
}

func (h *clientHello) extension(number uint16, data cryptobyte.String, legacy uint16) (err error) {
	switch {
	case number == extensionServerName:
		h.name, err = serverName(data)
	case number == extensionVersions:
		h.modern, err = modernOf(data)
		// Newer clients say 1.2 here, and no more (RFC 8446, 4.1.2).
		h.modern = h.modern && legacy == tls.VersionTLS12
	case echDrafts <= number && number <= extensionECH, number == extensionESNI:
		h.hidden = true
	}
	return err
}

// serverName reads the one name of the extension.
func serverName(data cryptobyte.String) (string, error) {
	var list, name cryptobyte.String
	var kind uint8
	if !data.ReadUint16LengthPrefixed(&list) || !data.Empty() ||
		!list.ReadUint8(&kind) || kind != 0 || !list.ReadUint16LengthPrefixed(&name) || len(name) == 0 || !list.Empty() {
		return "", errMalformed
	}
	return string(name), nil
}

// modernOf says that the list of versions has TLS 1.2 or 1.3.
func modernOf(data cryptobyte.String) (bool, error) {
	var list cryptobyte.String
	if !data.ReadUint8LengthPrefixed(&list) || !data.Empty() || list.Empty() {
		return false, errMalformed
	}
	modern := false
	for !list.Empty() {
		var version uint16
		if !list.ReadUint16(&version) {
			return false, errMalformed
		}
		modern = modern || version == tls.VersionTLS12 || version == tls.VersionTLS13
	}
	return modern, nil
}

// retryRandom is the random of a ServerHello that asks for another ClientHello
// (RFC 8446, 4.1.3).
func retryRandom() []byte {
	return []byte{
		0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
		0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
	}
}

// asksAgain says whether a server's first bytes ask for another ClientHello;
// known is false while they are too few to tell.
func asksAgain(answer []byte) (again, known bool) {
	const enough = 4 + 2 + 32 // head of the message, version, random
	var message []byte
	for len(answer) > 0 && len(message) < enough {
		if answer[0] != recordHandshake {
			return false, true
		}
		if len(answer) < recordHeader {
			return false, false
		}
		length := int(answer[3])<<8 | int(answer[4])
		fragment := answer[recordHeader:min(recordHeader+length, len(answer))]
		message = append(message, fragment...)
		answer = answer[recordHeader+len(fragment):]
	}
	if len(message) > 0 && message[0] != messageServerHello {
		return false, true
	}
	if len(message) < enough {
		return false, false
	}
	return bytes.Equal(message[6:enough], retryRandom()), true
}
