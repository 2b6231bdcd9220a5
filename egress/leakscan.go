package egress

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/leaks"
	"github.com/containerd/errdefs"
)

// LeakScan looks for secrets in the requests of routes, and blocks them or tells.
type LeakScan struct {
	Detector *leaks.Detector
	// Block refuses the request; else it is only told of.
	Block bool
	// Limit is how much of a body is looked into, in bytes.
	Limit int64
	// Found hears of every find: the route's name and what was found.
	Found func(route, what string, blocked bool)
}

// check reads the request, and leaves it as it was.
func (l *LeakScan) check(r *Route, request *http.Request) error {
	body, err := l.read(request)
	if err != nil {
		return err
	}
	found := l.Detector.Find(append(head(request), body...))
	for _, what := range found {
		l.Found(r.options.Name, what, l.Block)
	}
	if len(found) == 0 {
		return nil
	}
	names := strings.Join(found, ", ")
	if l.Block {
		return fmt.Errorf("the request holds what must not leave (%s), by dlp: block of the bottle file: %w", names, errdefs.ErrPermissionDenied)
	}
	r.log(request, true, "dlp: the request holds "+names, 0)
	return nil
}

// head is the text of the request before its body, without the headers that
// don't go on.
func head(request *http.Request) []byte {
	var text bytes.Buffer
	text.WriteString(request.URL.Path + "\n" + request.URL.RawQuery + "\n")
	if query, err := url.QueryUnescape(request.URL.RawQuery); err == nil {
		text.WriteString(query + "\n")
	}
	header := request.Header.Clone()
	dropHeaders(header)
	for name, values := range header {
		text.WriteString(name + ": " + strings.Join(values, "\n") + "\n")
	}
	return text.Bytes()
}

// body is what was read of a body, and the rest of it.
type body struct {
	io.Reader
	io.Closer
}

// read returns the body, unpacked, as far as it may be held in memory. What can't
// be looked into is refused when secrets are blocked.
func (l *LeakScan) read(request *http.Request) ([]byte, error) {
	if request.Body == nil || request.Body == http.NoBody {
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(request.Body, l.Limit+1))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	request.Body = body{io.MultiReader(bytes.NewReader(data), request.Body), request.Body}
	switch encoding := request.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		unpacked, err := gzip.NewReader(bytes.NewReader(data))
		if err == nil {
			data, err = io.ReadAll(io.LimitReader(unpacked, l.Limit+1))
		}
		if err != nil && l.Block {
			return nil, fmt.Errorf("unpack body: %w: %w", err, errdefs.ErrInvalidArgument)
		}
	default:
		if l.Block {
			return nil, fmt.Errorf("body encoded as %s: dlp: block of the bottle file can't look into it: %w", backend.Printable(encoding), errdefs.ErrPermissionDenied)
		}
	}
	if int64(len(data)) > l.Limit && l.Block {
		return nil, fmt.Errorf("body larger than %s: dlp: block of the bottle file can't look into it: %w", backend.Bytes(l.Limit), errdefs.ErrResourceExhausted)
	}
	return data, nil
}

// clean hides a path that holds a secret: the audit log must not.
func (l *LeakScan) clean(path string) string {
	if l == nil || len(l.Detector.Find([]byte(path))) == 0 {
		return path
	}
	return "[redacted]"
}
