package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/test/bottletest"
	"github.com/claude-bottle/claude-bottle/test/registrytest"
)

// front stands before the registry and returns its address. Each answer is
// changed by change, if it is not nil, on its way.
func front(t *testing.T, registry *registrytest.Registry, guard func(http.Handler) http.Handler, change func(*http.Response) error) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: registry.Address})
	proxy.ModifyResponse = change
	var handler http.Handler = proxy
	if guard != nil {
		handler = guard(proxy)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// held is a body that keeps its last byte until the gate is open.
type held struct {
	io.ReadCloser
	left int64
	gate <-chan struct{}
}

func (h *held) Read(buffer []byte) (int, error) {
	if h.left <= 1 {
		<-h.gate
	} else {
		buffer = buffer[:min(int64(len(buffer)), h.left-1)]
	}
	n, err := h.ReadCloser.Read(buffer)
	h.left -= int64(n)
	return n, err
}

// slowly is a front that sends all of a layer but its end, until it is let go.
func slowly(t *testing.T, registry *registrytest.Registry, digest string) (address string, letGo func()) {
	t.Helper()
	gate := make(chan struct{})
	letGo = sync.OnceFunc(func() { close(gate) })
	blob := layer(t, digest)
	address = front(t, registry, nil, func(answer *http.Response) error {
		if answer.Request.Method == http.MethodGet && strings.HasSuffix(answer.Request.URL.Path, "/blobs/"+blob) {
			answer.Body = &held{ReadCloser: answer.Body, left: answer.ContentLength, gate: gate}
		}
		return nil
	})
	t.Cleanup(letGo) // before the server waits for its requests
	return address, letGo
}

func TestAPullIsABarOnATerminal(t *testing.T) {
	u, registry, _, digest := puller(t, "2.4")
	address, letGo := slowly(t, registry, digest)
	reference := address + "/tools/claude:1"
	does(u, "echo ready; cat")
	s := u.OnTerminal("start", "tester", "--yes", "--runtime", "runc", "--image", reference)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("drawn was:\n%q", s.Text())
		}
	})
	bar := regexp.MustCompile("pulling " + regexp.QuoteMeta(reference) + ` +[1-9][0-9]% +\|[^\r]*[0-9.]+/[0-9.]+ MB`)
	bottletest.Eventually(t, "the bar shows how much is here", func() bool { return bar.MatchString(s.Text()) })
	letGo()
	runsImage(t, u, s, reference+"@"+digest)
}

// runsImage waits for claude on the screen, wants the image on the record, and
// ends claude.
func runsImage(t *testing.T, u *bottletest.User, s *bottletest.Screen, image string) {
	t.Helper()
	s.Shows("ready")
	var listed []struct{ Image string }
	r := u.Run("list", "-o", "json").Want(t, 0)
	if err := json.Unmarshal([]byte(r.Stdout), &listed); err != nil || len(listed) != 1 || listed[0].Image != image {
		t.Errorf("the record has %+v, %v; want %s", listed, err, image)
	}
	s.Types("\x04")
	if code := s.Ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestAnInterruptedPullLeavesNothing(t *testing.T) {
	for _, version := range versions() {
		t.Run("containerd-"+version, func(t *testing.T) {
			u, registry, _, digest := puller(t, version)
			address, _ := slowly(t, registry, digest)
			does(u, "true")
			s := u.OnTerminal("start", "tester", "--yes", "--runtime", "runc", "--image", address+"/tools/claude:1")
			s.Shows("MB")
			s.Types("\x03")
			if code := s.Ends(); code != 130 {
				t.Errorf("exit code %d, want 130; drawn was:\n%q", code, s.Text())
			}
			nothingCreated(t, u)
		})
	}
}

func TestT44_ATagThatIsMovedDuringTheQuestionChangesNothing(t *testing.T) {
	u, registry, reference, digest := puller(t, "2.4")
	does(u, "echo ready; cat")
	source := newUser(t, "2.4")
	other := image(t, source, "moved", map[string]string{"usr/local/bin/claude": "attack"})
	s := u.OnTerminal("start", "tester", "--runtime", "runc", "--image", reference)
	s.Shows("[y/N]")
	if moved := registry.Push(t, source.Daemon, bottletest.Namespace, other, "tools/claude:1"); moved == digest {
		t.Fatal("the tag was not moved")
	}
	s.Types("y\r")
	runsImage(t, u, s, reference+"@"+digest)
}

func TestARegistryThatGivesATokenToEverybody(t *testing.T) {
	u, registry, _, _ := puller(t, "2.4")
	does(u, "echo hello from the pulled image")
	const token = "given-to-everybody"
	address := front(t, registry, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/token":
				_, _ = io.WriteString(w, `{"token": "`+token+`"}`)
			case r.Header.Get("Authorization") != "Bearer "+token:
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="registry",scope="repository:tools/claude:pull"`)
				w.WriteHeader(http.StatusUnauthorized)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}, nil)
	r := u.Start("runc", "--image", address+"/tools/claude:1").Want(t, 0)
	bottletest.Contains(t, r.Stdout, "hello from the pulled image")
}
