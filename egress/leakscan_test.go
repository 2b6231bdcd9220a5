package egress

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/leaks"
)

const lampValue = "the-value-of-the-lamp"

// awsKey is put together, so that readers who scan this file find none.
var awsKey = "AK" + "IA" + "Q3EGRKX6LNJTY7WD"

// scanned is a route whose requests are looked into.
type scanned struct {
	client *http.Client
	api    *api
	mu     sync.Mutex
	found  []string
	events []Event
}

func newScanned(t *testing.T, block bool, methods ...string) *scanned {
	t.Helper()
	detector, err := leaks.NewDetector([]leaks.Known{{Name: "LAMP", Value: lampValue}})
	if err != nil {
		t.Fatal(err)
	}
	s := &scanned{api: newAPI(t, nil)}
	plans, err := ParseRoutes([]backend.CredentialEntry{{Name: "forge", Upstream: s.api.URL, Secret: "env:TOKEN", Allow: []backend.RequestRule{{Methods: methods}}}})
	if err != nil {
		t.Fatal(err)
	}
	scan := &LeakScan{Detector: detector, Block: block, Limit: 3 << 20, Found: func(route, what string, blocked bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if route != "forge" || blocked != block {
			t.Errorf("found on %s, blocked %v", route, blocked)
		}
		s.found = append(s.found, what)
	}}
	route, err := OpenRoute(plans[0], scan, func() backend.Secret { return backend.NewSecret(routeSecret) }, func(event Event) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, event)
	}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(route.Close)
	s.client = routeClient(t, route)
	return s
}

func (s *scanned) send(t *testing.T, target string, header http.Header, body []byte) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://forge.bottle"+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

func packed(text string) []byte {
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	_, _ = io.WriteString(writer, text)
	_ = writer.Close()
	return buffer.Bytes()
}

func TestSecretsThatLeaveAreBlockedOrTold(t *testing.T) {
	tests := map[string]struct {
		target string
		header http.Header
		body   string
		gzip   bool
		found  []string
	}{
		"nothing":         {target: "/issues", body: "a lamp"},
		"a value":         {target: "/issues", body: `{"text": "` + lampValue + `"}`, found: []string{"LAMP"}},
		"a shape":         {target: "/issues", body: "key: " + awsKey + "\n", found: []string{"aws-access-token"}},
		"both":            {target: "/issues", body: lampValue + " " + awsKey + "\n", found: []string{"LAMP", "aws-access-token"}},
		"in base64":       {target: "/issues", body: base64.StdEncoding.EncodeToString([]byte("it is " + lampValue)), found: []string{"LAMP"}},
		"packed":          {target: "/issues", body: lampValue, gzip: true, found: []string{"LAMP"}},
		"in the path":     {target: "/issues/" + lampValue, body: "x", found: []string{"LAMP"}},
		"in the query":    {target: "/issues?q=" + strings.ReplaceAll(lampValue, "-", "%2d"), body: "x", found: []string{"LAMP"}},
		"in a header":     {target: "/issues", header: http.Header{"X-Note": {lampValue}}, body: "x", found: []string{"LAMP"}},
		"far back":        {target: "/issues", body: strings.Repeat("a lamp, ", 1<<18) + lampValue, found: []string{"LAMP"}},
		"where it ends":   {target: "/issues", header: http.Header{"Authorization": {"Bearer " + lampValue}}, body: "x"},
		"without a body":  {target: "/issues"},
		"packed, nothing": {target: "/issues", body: "a lamp", gzip: true},
	}
	for name, test := range tests {
		for _, block := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s := newScanned(t, block, "POST")
				body, header := []byte(test.body), test.header
				if test.gzip {
					body, header = packed(test.body), http.Header{"Content-Encoding": {"gzip"}}
				}
				status := s.send(t, test.target, header, body)
				refused := block && len(test.found) > 0
				if (status == http.StatusForbidden) != refused || (s.api.heard() == 0) != refused {
					t.Errorf("block %v: status %d, %d requests upstream", block, status, s.api.heard())
				}
				if !refused && s.api.bodies[0] != string(body) {
					t.Errorf("upstream hears %d bytes, want %d", len(s.api.bodies[0]), len(body))
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if !slices.Equal(s.found, test.found) {
					t.Errorf("found %v, want %v", s.found, test.found)
				}
				for _, event := range s.events {
					if strings.Contains(event.Path+event.Reason, lampValue) {
						t.Errorf("T28: the log holds the value: %+v", event)
					}
				}
			})
		}
	}
}

func TestWhatCanNotBeLookedIntoIsRefusedWhenSecretsAreBlocked(t *testing.T) {
	large := bytes.Repeat([]byte("a lamp, "), 3<<20/8+1)
	tests := map[string]struct {
		encoding string
		body     []byte
		status   int
	}{
		"an encoding":    {"br", []byte("x"), http.StatusForbidden},
		"broken gzip":    {"gzip", []byte("x"), http.StatusBadRequest},
		"too large":      {"", large, http.StatusRequestEntityTooLarge},
		"a packed flood": {"gzip", packed(string(large)), http.StatusRequestEntityTooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if test.encoding != "" {
				header.Set("Content-Encoding", test.encoding)
			}
			blocking := newScanned(t, true, "POST")
			if status := blocking.send(t, "/", header, test.body); status != test.status || blocking.api.heard() != 0 {
				t.Errorf("block: status %d, want %d, %d requests upstream", status, test.status, blocking.api.heard())
			}
			telling := newScanned(t, false, "POST")
			if status := telling.send(t, "/", header, test.body); status != http.StatusOK || telling.api.bodies[0] != string(test.body) {
				t.Errorf("warn: status %d", status)
			}
		})
	}
}
