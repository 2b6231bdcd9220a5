package anthropic

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// maxBody bounds a request, as the API does.
const maxBody = 32 << 20

// Options say how the fake behaves.
type Options struct {
	// Listen is where it listens; "" takes a free port of 127.0.0.1.
	Listen string
	// Key is the one credential that is accepted, as API key or bearer
	// token; "" takes any.
	Key string
	// Turns answer in order: turn i the request whose history holds i
	// answers. The last one answers all that follow, too.
	Turns []Turn
	// ReplyTo answers instead of Turns, from what the user said last.
	ReplyTo func(said string) Turn
}

// Turn is one answer.
type Turn struct {
	Text  string
	Tools []Tool
	// Status other than 0 and 200 fails the request, with Header beside.
	Status int
	Header map[string]string
	// Cut breaks the connection off in the middle of the stream.
	Cut bool
	// Gate, if not nil, holds the answer back until it is closed.
	Gate <-chan struct{}
	// Delay is waited for between two events of a stream.
	Delay time.Duration
}

// Tool is a tool that the answer calls.
type Tool struct {
	Name  string
	Input map[string]any
}

// Request is what the fake was asked.
type Request struct {
	Method, Path, Query, Host string
	Header                    http.Header
	Body                      string // unpacked
}

// Server is a running fake.
type Server struct {
	options  Options
	listener net.Listener
	server   *http.Server
	ended    chan struct{}

	mu       sync.Mutex
	requests []Request
}

// New starts a fake. It panics when it can't listen.
func New(options Options) *Server {
	if options.Listen == "" {
		options.Listen = "127.0.0.1:0"
	}
	server, err := Start(options)
	if err != nil {
		panic(err)
	}
	return server
}

// Start is New with an error.
func Start(options Options) (*Server, error) {
	listener, err := net.Listen("tcp", options.Listen) //nolint:noctx // closed by Close
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &Server{options: options, listener: listener, ended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", s.messages)
	mux.HandleFunc("POST /v1/messages/count_tokens", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"input_tokens": 1})
	})
	mux.HandleFunc("/api/hello", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"message": "hello"})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { failure(w, http.StatusNotFound, nil) })
	s.server = &http.Server{Handler: s.recorded(mux), ReadHeaderTimeout: 30 * time.Second}
	go func() {
		defer close(s.ended)
		_ = s.server.Serve(listener)
	}()
	return s, nil
}

// URL is the fake's address, as ANTHROPIC_BASE_URL wants it.
func (s *Server) URL() string { return "http://" + s.Address() }

// Address is host and port.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Requests are all that came so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Close ends the fake and every connection.
func (s *Server) Close() {
	_ = s.server.Close()
	<-s.ended
}

// recorded notes every request before it is answered.
func (s *Server) recorded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var reader io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			unpacked, err := gzip.NewReader(r.Body)
			if err != nil {
				failure(w, http.StatusBadRequest, nil)
				return
			}
			reader = unpacked
		}
		body, err := io.ReadAll(io.LimitReader(reader, maxBody))
		if err != nil {
			failure(w, http.StatusBadRequest, nil)
			return
		}
		s.mu.Lock()
		s.requests = append(s.requests, Request{r.Method, r.URL.Path, r.URL.RawQuery, r.Host, r.Header.Clone(), string(body)})
		s.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		if strings.HasPrefix(r.URL.Path, "/v1/") && !s.authenticated(r) {
			failure(w, http.StatusUnauthorized, nil)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) authenticated(r *http.Request) bool {
	if s.options.Key == "" {
		return true
	}
	return r.Header.Get("X-Api-Key") == s.options.Key || r.Header.Get("Authorization") == "Bearer "+s.options.Key
}

// history is what the fake reads of a request.
type history struct {
	Model    string            `json:"model"`
	Stream   bool              `json:"stream"`
	Tools    []json.RawMessage `json:"tools"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
}

func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	var asked history
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		failure(w, http.StatusBadRequest, nil)
		return
	}
	turn := s.turn(asked)
	if turn.Gate != nil {
		select {
		case <-turn.Gate:
		case <-r.Context().Done():
			return
		}
	}
	if turn.Status != 0 && turn.Status != http.StatusOK {
		failure(w, turn.Status, turn.Header)
		return
	}
	answer := newAnswer(asked.Model, turn)
	if asked.Stream {
		answer.stream(r.Context(), w, turn)
		return
	}
	writeJSON(w, http.StatusOK, answer.whole())
}

// turn picks the answer by the history alone, so that a retry, a resumed session
// and one beside it get the same.
func (s *Server) turn(asked history) Turn {
	answers, said := 0, ""
	for _, message := range asked.Messages {
		switch message.Role {
		case "assistant":
			answers++
		case "user":
			said = lastText(message.Content)
		}
	}
	switch {
	case s.options.ReplyTo != nil:
		return s.options.ReplyTo(said)
	case len(asked.Tools) == 0: // a title, or the like
		return Turn{Text: "ok"}
	case len(s.options.Turns) == 0:
		return Turn{Text: "ok"}
	default:
		return s.options.Turns[min(answers, len(s.options.Turns)-1)]
	}
}

func lastText(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var blocks []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	_ = json.Unmarshal(content, &blocks)
	for _, block := range blocks {
		if block.Type == "text" {
			text = block.Text
		}
	}
	return text
}

func failure(w http.ResponseWriter, status int, header map[string]string) {
	for name, value := range header {
		w.Header().Set(name, value)
	}
	kinds := map[int]string{
		http.StatusUnauthorized: "authentication_error", http.StatusForbidden: "permission_error", http.StatusNotFound: "not_found_error",
		http.StatusTooManyRequests: "rate_limit_error", http.StatusBadRequest: "invalid_request_error", 529: "overloaded_error",
	}
	kind, ok := kinds[status]
	if !ok {
		kind = "api_error"
	}
	writeJSON(w, status, map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": http.StatusText(status)}})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// wait waits between two events.
func wait(ctx context.Context, delay time.Duration) {
	if delay == 0 {
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
