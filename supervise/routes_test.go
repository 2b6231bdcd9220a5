package supervise

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-bottle/claude-bottle/backend"
	"github.com/claude-bottle/claude-bottle/neck"
	"github.com/google/go-cmp/cmp"
)

func TestSecretsThatExpireAreRenewedBeforeTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var asked []time.Duration
		read := func(context.Context) (backend.RouteSecret, error) {
			asked = append(asked, time.Since(began))
			switch len(asked) {
			case 1: // an hour more
				return backend.RouteSecret{Secret: backend.NewSecret("second"), Expires: time.Now().Add(time.Hour)}, nil
			case 2:
				return backend.RouteSecret{}, errors.New("the vault is shut")
			default:
				return backend.RouteSecret{Secret: backend.NewSecret("for ever")}, nil
			}
		}
		r := &renewal{name: "forge", secret: backend.NewSecret("first"), expires: began.Add(10 * time.Minute)}
		seen := make(chan string, 3)
		go func() {
			for _, at := range []time.Duration{7 * time.Minute, 9 * time.Minute, 63*time.Minute + 5*time.Second} {
				time.Sleep(time.Until(began.Add(at)))
				seen <- r.present().Reveal()
			}
			close(seen)
		}()
		r.keepFresh(t.Context(), read)
		var secrets []string
		for secret := range seen {
			secrets = append(secrets, secret)
		}
		if want := []string{"first", "second", "second"}; !slices.Equal(secrets, want) {
			t.Errorf("the secrets are %v, want %v", secrets, want)
		}
		if got := r.present().Reveal(); got != "for ever" {
			t.Errorf("in the end it is %q", got)
		}
		// The last fifth of ten minutes, five minutes of an hour, ten seconds later.
		want := []time.Duration{8 * time.Minute, 63 * time.Minute, 63*time.Minute + 10*time.Second}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAProgramWhoseSecretsHaveExpiredIsNotRunOnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, asked := time.Now(), 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r := &renewal{expires: began}
		r.keepFresh(ctx, func(context.Context) (backend.RouteSecret, error) {
			asked++
			return backend.RouteSecret{Expires: time.Now()}, nil
		})
		if asked < 2 || asked > 60 {
			t.Errorf("asked %d times within a minute", asked)
		}
	})
}

func TestARefusedCredentialIsInTheReportOnce(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer api.Close()
	r := run(t, func(config *Config) {
		plans, err := Routes([]backend.CredentialEntry{{Name: "forge", Upstream: api.URL, Secret: "env:FORGE_TOKEN"}})
		if err != nil {
			t.Fatal(err)
		}
		config.Routes = []RouteConfig{{Route: plans[0], Secret: "a-canary-of-a-secret"}}
	})
	guest := r.pid1()
	for range 2 {
		stream, err := guest.Open(t.Context(), neck.Request{Kind: neck.KindDial, Host: "forge.bottle", Port: 80})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(stream, "GET / HTTP/1.1\r\nHost: forge.bottle\r\nConnection: close\r\n\r\n")
		answer, _ := io.ReadAll(stream)
		_ = stream.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 403") {
			t.Errorf("the route answers %q", answer)
		}
	}
	report, err := r.client.Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := backend.Report{Refused: []backend.RefusedCredential{{Route: "forge", Source: "env:FORGE_TOKEN", Status: http.StatusUnauthorized}}}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Error(diff)
	}
	r.client.Close()
	if err := r.ends(); err != nil {
		t.Error(err)
	}
}
