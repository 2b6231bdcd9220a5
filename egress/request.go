package egress

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/net/http/httpguts"
)

// maxHead bounds the head of a request, in bytes.
const maxHead = 64 << 10

var (
	errBareLine = errors.New("a line does not end in CR LF")
	errFolded   = errors.New("a header line is folded, or has no name")
	errFraming  = errors.New("how long the body is can be read in more than one way")
)

// requests is a connection of the bottle whose bytes are those of HTTP requests
// that can be read in one way only. The first that can't, or that is for another
// host, ends it. net/http parses what comes through again, and goes by its own
// reading.
type requests struct {
	net.Conn
	name string
	from *bufio.Reader

	ready []byte // checked, not yet read
	body  int64  // bytes of a body, or of a chunk, that may pass as they are
	next  func() error
	// reason says why no more comes, to whoever closes the connection.
	reason atomic.Pointer[error]
}

func newRequests(conn net.Conn, name string) *requests {
	r := &requests{Conn: conn, name: name, from: bufio.NewReaderSize(conn, maxHead)}
	r.next = r.head
	return r
}

// Read implements io.Reader.
func (r *requests) Read(p []byte) (int, error) {
	for {
		switch {
		case len(r.ready) > 0:
			n := copy(p, r.ready)
			r.ready = r.ready[n:]
			return n, nil
		case r.body > 0:
			n, err := r.from.Read(p[:min(int64(len(p)), r.body)])
			r.body -= int64(n)
			return n, err
		case r.reason.Load() != nil:
			return 0, io.EOF
		}
		if err := r.next(); errdefs.IsPermissionDenied(err) {
			r.reason.Store(&err)
			return 0, io.EOF // so that the server says nothing: we do
		} else if err != nil {
			return 0, err
		}
	}
}

// refused says why the connection was ended, and answers so. It is called when
// nobody reads or writes any more.
func (r *requests) refused() error {
	reason := r.reason.Load()
	if reason == nil {
		return nil
	}
	text := "claude-bottle: " + (*reason).Error() + "\n"
	_ = r.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = fmt.Fprintf(r.Conn, "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
	return *reason
}

// until reads up to the mark and returns all before and with it. What fails, but
// for a refusal, can be tried again: nothing is taken before it is whole.
func (r *requests) until(mark string, most int) ([]byte, error) {
	for wanted := 1; ; {
		seen, err := r.from.Peek(wanted)
		if err == nil {
			seen, _ = r.from.Peek(r.from.Buffered())
		}
		if at := bytes.Index(seen, []byte(mark)); at >= 0 && at+len(mark) <= most {
			text := bytes.Clone(seen[:at+len(mark)])
			_, _ = r.from.Discard(len(text))
			return text, nil
		}
		if at := bytes.IndexByte(seen, '\n'); at == 0 || at > 0 && seen[at-1] != '\r' {
			return nil, denied(errBareLine)
		}
		if err != nil {
			return nil, err
		}
		if len(seen) >= most {
			return nil, denied(fmt.Errorf("a request's head has more than %d bytes", most))
		}
		wanted = len(seen) + 1
	}
}

func denied(err error) error { return fmt.Errorf("%w: %w", err, errdefs.ErrPermissionDenied) }

// head checks the head of the next request.
func (r *requests) head() error {
	text, err := r.until("\r\n\r\n", maxHead)
	if err != nil {
		return err
	}
	length, chunked, err := checkHead(text, r.name)
	if err != nil {
		return denied(err)
	}
	r.ready, r.body = text, length
	if chunked {
		r.next = r.chunk
	}
	return nil
}

// chunk checks the size of the next chunk.
func (r *requests) chunk() error {
	line, err := r.until("\r\n", 64)
	if err != nil {
		return err
	}
	size, err := strconv.ParseUint(string(line[:len(line)-2]), 16, 31)
	if err != nil {
		return denied(errFraming)
	}
	r.ready, r.body, r.next = line, int64(size), r.afterChunk
	if size == 0 {
		r.next = r.afterBody
	}
	return nil
}

// afterChunk checks what ends a chunk.
func (r *requests) afterChunk() error { return r.emptyLine(r.chunk) }

// afterBody checks what ends the last chunk: trailers would be headers that
// nobody has checked.
func (r *requests) afterBody() error { return r.emptyLine(r.head) }

func (r *requests) emptyLine(next func() error) error {
	line, err := r.until("\r\n", 64)
	if err != nil {
		return err
	}
	if len(line) > 2 {
		return denied(errFraming)
	}
	r.ready, r.next = line, next
	return nil
}

// checkHead reads the head of a request strictly, and says how its body is
// framed.
func checkHead(head []byte, name string) (length int64, chunked bool, err error) {
	lines := strings.Split(strings.TrimSuffix(string(head), "\r\n\r\n"), "\r\n")
	if err := checkRequestLine(lines[0], name); err != nil {
		return 0, false, err
	}
	counts := map[string]int{}
	for _, line := range lines[1:] {
		key, value, ok := strings.Cut(line, ":")
		if !ok || !httpguts.ValidHeaderFieldName(key) {
			return 0, false, errFolded
		}
		value = strings.Trim(value, " \t")
		if !httpguts.ValidHeaderFieldValue(value) || strings.ContainsAny(value, "\r\n\x00") {
			return 0, false, fmt.Errorf("header %s holds control characters", key)
		}
		key = http.CanonicalHeaderKey(key)
		counts[key]++
		switch key {
		case "Host":
			if !isHost(value, name) {
				return 0, false, fmt.Errorf("the request is for host %s, but %s was dialled", strconv.QuoteToASCII(value), name)
			}
		case "Content-Length":
			parsed, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return 0, false, errFraming
			}
			length = int64(parsed)
		case "Transfer-Encoding":
			if !strings.EqualFold(value, "chunked") {
				return 0, false, errFraming
			}
			chunked = true
		case "Upgrade", "Http2-Settings", "Sec-Websocket-Key":
			return 0, false, fmt.Errorf("header %s: protocols are not switched", key)
		case "Trailer":
			return 0, false, errors.New("trailers are not passed on")
		}
	}
	switch {
	case counts["Host"] != 1:
		return 0, false, fmt.Errorf("the request names %d hosts: it must name %s", counts["Host"], name)
	case counts["Content-Length"] > 1, counts["Transfer-Encoding"] > 1, chunked && counts["Content-Length"] > 0,
		chunked && !strings.HasSuffix(lines[0], " HTTP/1.1"):
		return 0, false, errFraming
	}
	return length, chunked, nil
}

func checkRequestLine(line, name string) error {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0" {
		return errors.New("what is sent is not HTTP/1.1")
	}
	method, target := parts[0], parts[1]
	switch {
	case !httpguts.ValidHeaderFieldName(method):
		return errors.New("the method is no word")
	case method == http.MethodConnect, method == http.MethodTrace:
		return fmt.Errorf("%s is not passed on", method)
	case strings.ContainsFunc(target, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return errors.New("the path holds what must be escaped")
	case strings.HasPrefix(target, "/"), target == "*" && method == http.MethodOptions:
		return nil
	}
	const scheme = "http://"
	if len(target) < len(scheme) || !strings.EqualFold(target[:len(scheme)], scheme) {
		return errors.New("the path does not begin with /")
	}
	authority := target[len(scheme):]
	if at := strings.IndexAny(authority, `/?#\`); at >= 0 {
		authority = authority[:at]
	}
	if !isHost(authority, name) {
		return fmt.Errorf("the request is for host %s, but %s was dialled", strconv.QuoteToASCII(authority), name)
	}
	return nil
}

// isHost compares what a request says of its host with what was dialled, on
// port 80.
func isHost(text, name string) bool {
	canonical, err := Canonical(strings.TrimSuffix(text, ":80"))
	return err == nil && canonical == name
}
