package egress

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/containerd/errdefs"
)

// checkedBody is a request's body, read and found fit to go.
type checkedBody struct {
	io.Reader
	size int64
}

// Close implements io.Closer.
func (checkedBody) Close() error { return nil }

// serverSide is what Anthropic's servers may do for the agent, by the names of
// anthropic.serverTools.
type serverSide struct{ tools []string }

// checkBody reads the body, and looks in it for what would make Anthropic's
// servers fetch for the agent: that is a way out past the bottle's egress. It
// goes upstream decoded, so that both ends read the same.
func (s serverSide) checkBody(r *http.Request) (checkedBody, error) {
	var reader io.Reader = r.Body
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			return checkedBody{}, fmt.Errorf("read body: %w", err)
		}
		reader = unpacked
	default:
		return checkedBody{}, fmt.Errorf("body encoded as %s: %w", backend.Printable(encoding), errdefs.ErrInvalidArgument)
	}
	data, err := io.ReadAll(io.LimitReader(reader, maxBody+1))
	if err != nil {
		return checkedBody{}, fmt.Errorf("read body: %w", err)
	}
	if len(data) > maxBody {
		return checkedBody{}, fmt.Errorf("body larger than %s: %w", backend.Bytes(maxBody), errdefs.ErrResourceExhausted)
	}
	if err := s.checkRequest(data); err != nil {
		return checkedBody{}, err
	}
	r.Header.Del("Content-Encoding")
	r.Header.Set("Content-Length", strconv.Itoa(len(data)))
	return checkedBody{bytes.NewReader(data), int64(len(data))}, nil
}

// localTools are the types of tool that run inside the bottle, by how they
// begin; a tool without a type is the client's own. Every other type runs on
// Anthropic's side.
var localTools = []string{"custom", "bash_", "text_editor_", "computer_", "memory_", "tool_search_"}

// checkRequest walks the JSON token by token, so that a key that stands there
// twice is seen twice.
func (s serverSide) checkRequest(data []byte) error {
	w := jsonWalk{decoder: json.NewDecoder(bytes.NewReader(data)), visit: s.checkValue}
	if err := w.value(nil); err != nil {
		return err
	}
	if _, err := w.decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("body holds more than one JSON value: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}

// checkValue judges one value by where it stands.
func (s serverSide) checkValue(path []string, token json.Token) error {
	text, _ := token.(string)
	switch {
	case len(path) == 1 && path[0] == "mcp_servers":
		return s.needs("mcp", "mcp_servers")
	case matchPath(path, "tools", "*", "type"):
		for _, local := range localTools {
			if strings.HasPrefix(text, local) {
				return nil
			}
		}
		return s.needs(text, "a tool of type "+backend.Printable(text))
	case len(path) >= 4 && path[0] == "messages" && path[len(path)-2] == "source" && path[len(path)-1] == "type" && !throughInput(path):
		if text == "url" || text == "file" {
			return s.needs(text, "a source of type "+text)
		}
	}
	return nil
}

// throughInput says that a value is part of a tool's input: mere data.
func throughInput(path []string) bool {
	for i, part := range path {
		if part == "input" && i == 4 { // messages, N, content, N, input
			return true
		}
	}
	return false
}

// needs says no unless the bottle file lists the name, or the name's beginning
// as in web_search for web_search_20250305.
func (s serverSide) needs(name, what string) error {
	for _, listed := range s.tools {
		if name == listed || strings.HasPrefix(name, listed+"_") {
			return nil
		}
	}
	return fmt.Errorf("%s makes Anthropic's servers act for the agent: list it under anthropic.serverTools of the bottle file: %w", what, errdefs.ErrPermissionDenied)
}

func matchPath(path []string, pattern ...string) bool {
	if len(path) != len(pattern) {
		return false
	}
	for i, part := range pattern {
		if part != "*" && part != path[i] {
			return false
		}
	}
	return true
}

// maxJSONDepth bounds how deep a body may nest.
const maxJSONDepth = 200

// jsonWalk calls visit for every value with its path; array elements have "*".
type jsonWalk struct {
	decoder *json.Decoder
	visit   func(path []string, token json.Token) error
}

func (w *jsonWalk) value(path []string) error {
	if len(path) > maxJSONDepth {
		return fmt.Errorf("body nests too deep: %w", errdefs.ErrInvalidArgument)
	}
	token, err := w.decoder.Token()
	if err != nil {
		return fmt.Errorf("body is not JSON: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if err := w.visit(path, token); err != nil {
		return err
	}
	delimiter, nested := token.(json.Delim)
	if !nested {
		return nil
	}
	for w.decoder.More() {
		element := "*"
		if delimiter == '{' {
			key, err := w.decoder.Token()
			if err != nil {
				return fmt.Errorf("body is not JSON: %w: %w", err, errdefs.ErrInvalidArgument)
			}
			element, _ = key.(string)
		}
		if err := w.value(append(path[:len(path):len(path)], element)); err != nil {
			return err
		}
	}
	if _, err := w.decoder.Token(); err != nil { // the closing bracket
		return fmt.Errorf("body is not JSON: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return nil
}
