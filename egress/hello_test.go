package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/crypto/cryptobyte"
)

// extension is one extension of a hello that a test makes.
type extension struct {
	number uint16
	data   []byte
}

func sni(names ...string) extension {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(list *cryptobyte.Builder) {
		for _, name := range names {
			list.AddUint8(0)
			list.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(name)) })
		}
	})
	return extension{extensionServerName, b.BytesOrPanic()}
}

func versions(list ...uint16) extension {
	var b cryptobyte.Builder
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, version := range list {
			b.AddUint16(version)
		}
	})
	return extension{extensionVersions, b.BytesOrPanic()}
}

// craft makes a ClientHello message.
func craft(legacy uint16, extensions ...extension) []byte {
	var b cryptobyte.Builder
	b.AddUint8(messageClientHello)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(legacy)
		b.AddBytes(make([]byte, 32))
		b.AddUint8LengthPrefixed(func(*cryptobyte.Builder) {})
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16(0x1301) })
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, e := range extensions {
				b.AddUint16(e.number)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.data) })
			}
		})
	})
	return b.BytesOrPanic()
}

const dialledName = "api.example.com"

// realHello is what crypto/tls sends.
func realHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	client := tls.Client(near, config)
	ended := make(chan struct{})
	go func() { _ = client.HandshakeContext(context.Background()); close(ended) }()
	message, err := readHello(far)
	_ = far.Close()
	<-ended
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// hellos are games with the hello by name; a part of the refusal, or "" for
// those that are right.
func hellos() map[string]struct {
	sent []byte
	want string
} {
	type hello = struct {
		sent []byte
		want string
	}
	good, v12 := sni(dialledName), uint16(tls.VersionTLS12)
	modern := versions(tls.VersionTLS13, v12)
	right := craft(v12, good, modern)
	var split []byte
	for _, c := range right {
		split = append(split, record([]byte{c})...)
	}
	return map[string]hello{
		"right":                 {record(right), ""},
		"other case":            {record(craft(v12, sni("API.Example.COM"), modern)), ""},
		"a record a byte":       {split, ""},
		"no list of versions":   {record(craft(v12, good)), ""},
		"GREASE among versions": {record(craft(v12, good, versions(0x0a0a, tls.VersionTLS13), extension{0x1a1a, nil})), ""},

		"another name":            {record(craft(v12, sni("evil.org"), modern)), `names the server "evil.org"`},
		"below the name":          {record(craft(v12, sni("x."+dialledName), modern)), "was dialled"},
		"name as suffix":          {record(craft(v12, sni("x"+dialledName), modern)), "was dialled"},
		"name as prefix":          {record(craft(v12, sni(dialledName+".evil.org"), modern)), "was dialled"},
		"NUL in the name":         {record(craft(v12, sni(dialledName+"\x00.evil.org"), modern)), "was dialled"},
		"dot at the end":          {record(craft(v12, sni(dialledName+"."), modern)), "was dialled"},
		"look-alike":              {record(craft(v12, sni("аpi.example.com"), modern)), "was dialled"},
		"Kelvin for k":            {record(craft(v12, sni("api.example.com\u212a"), modern)), "was dialled"},
		"an address":              {record(craft(v12, sni("10.0.0.1"), modern)), "was dialled"},
		"no name":                 {record(craft(v12, modern)), "names no server"},
		"no extension":            {record(craft(v12)), "names no server"},
		"two names":               {record(craft(v12, sni(dialledName, "evil.org"), modern)), "malformed"},
		"two names, good last":    {record(craft(v12, sni("evil.org", dialledName), modern)), "malformed"},
		"no name in the list":     {record(craft(v12, sni(), modern)), "malformed"},
		"an empty name":           {record(craft(v12, sni(""), modern)), "malformed"},
		"two extensions of names": {record(craft(v12, good, sni("evil.org"), modern)), "twice"},
		"names of another kind":   {record(craft(v12, extension{0, []byte{0, 4, 1, 0, 1, 'x'}}, modern)), "malformed"},
		"bytes behind the name":   {record(craft(v12, extension{0, append(good.data, 0)}, modern)), "malformed"},

		"ECH":              {record(craft(v12, good, modern, extension{extensionECH, []byte{0, 0, 1, 0, 1, 0, 0, 0, 0, 0}})), "ECH"},
		"ECH, inner":       {record(craft(v12, good, modern, extension{extensionECH, []byte{1}})), "ECH"},
		"ECH, empty":       {record(craft(v12, good, modern, extension{extensionECH, nil})), "ECH"},
		"a draft of ECH":   {record(craft(v12, good, modern, extension{0xfe0a, nil})), "ECH"},
		"ESNI":             {record(craft(v12, good, modern, extension{extensionESNI, nil})), "ECH"},
		"ECH without name": {record(craft(v12, modern, extension{extensionECH, nil})), "ECH"},

		"TLS 1.1":                   {record(craft(tls.VersionTLS11, good)), "nothing newer than TLS 1.1"},
		"TLS 1.0 by list":           {record(craft(v12, good, versions(tls.VersionTLS10, tls.VersionTLS11))), "nothing newer"},
		"GREASE alone":              {record(craft(v12, good, versions(0x7a7a))), "nothing newer"},
		"TLS 1.3 with an old word":  {record(craft(tls.VersionTLS10, good, modern)), "nothing newer"},
		"an empty list of versions": {record(craft(v12, good, extension{extensionVersions, []byte{0}})), "malformed"},
		"half a version":            {record(craft(v12, good, extension{extensionVersions, []byte{3, 3, 4, 3}})), "malformed"},

		"SSH":                    {[]byte("SSH-2.0-OpenSSH_9.2\r\n"), "not TLS"},
		"HTTP":                   {[]byte("GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"), "not TLS"},
		"SSL 2":                  {[]byte{0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10}, "not TLS"},
		"an alert first":         {[]byte{21, 3, 3, 0, 2, 1, 0}, "not TLS"},
		"a change of ciphers":    {[]byte{20, 3, 3, 0, 1, 1}, "not TLS"},
		"data first":             {[]byte{23, 3, 3, 0, 1, 1}, "not TLS"},
		"a server's hello":       {record([]byte{messageServerHello, 0, 0, 1, 0}), "not TLS"},
		"an empty record":        {append([]byte{22, 3, 1, 0, 0}, record(right)...), "not TLS"},
		"another version of TLS": {append([]byte{22, 2}, record(right)[2:]...), "not TLS"},
		"too long":               {record([]byte{1, 0, 0x40, 0}), "longer than"},
		"far too long":           {record([]byte{1, 0xff, 0xff, 0xff}), "longer than"},
		"more in the record":     {record(append(bytes.Clone(right), 1, 0, 0, 0)), "follows the TLS hello"},
		"cut short":              {record(right)[:40], "cut short"},
		"bytes behind":           {record(append([]byte{1, 0, 0, byte(len(right) - 3)}, append(bytes.Clone(right[4:]), 0)...)), "malformed"},
	}
}

func TestT39_OnlyTheDialledNameGoesOn(t *testing.T) {
	games := hellos()
	if len(games) < 40 {
		t.Fatalf("only %d games", len(games))
	}
	for name, game := range games {
		t.Run(name, func(t *testing.T) {
			f := newFar(t)
			heard := f.everything()
			s := open(t, f.dialer(dialledName), time.Minute, dialledName, 443)
			_, _ = s.Write(game.sent)
			_ = s.CloseWrite()
			_, _ = io.Copy(io.Discard, s)
			err := s.ends(t)
			got := <-heard
			if game.want == "" {
				if err != nil || !strings.HasPrefix(got, "\x16\x03\x01") || len(got) < 40 || !s.event.Allowed {
					t.Errorf("%v, %q went on, logged %+v", err, got, *s.event)
				}
				return
			}
			if got != "" {
				t.Errorf("%q went on", got)
			}
			if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), game.want) {
				t.Errorf("refused with %v, want %q", err, game.want)
			}
			if s.event.Allowed || s.event.Rule != ruleTLS || s.event.Sent != 0 {
				t.Errorf("logged %+v", *s.event)
			}
		})
	}
}

func TestT39_AHelloThatStallsIsCut(t *testing.T) {
	for _, sent := range [][]byte{nil, {recordHandshake}, record(craft(tls.VersionTLS12, sni(dialledName)))[:50]} {
		f := newFar(t)
		heard := f.everything()
		s := open(t, f.dialer(dialledName), 50*time.Millisecond, dialledName, 443)
		_, _ = s.Write(sent)
		if err := s.ends(t); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "no whole TLS hello") {
			t.Errorf("after %d bytes: %v", len(sent), err)
		}
		if got := <-heard; got != "" {
			t.Errorf("%q went on", got)
		}
	}
}

func TestT39_ASecondHelloIsCheckedLikeTheFirst(t *testing.T) {
	retry := append([]byte{messageServerHello, 0, 0, 34, 3, 3}, retryRandom()...)
	good, evil := craft(tls.VersionTLS12, sni(dialledName)), craft(tls.VersionTLS12, sni("evil.org"))
	again := record(good)
	again[2] = 3
	change := []byte{recordChangeCipher, 3, 3, 0, 1, 1}
	for name, test := range map[string]struct {
		second, want []byte
	}{
		"right":               {record(good), again},
		"right, after change": {append(bytes.Clone(change), record(good)...), append(bytes.Clone(change), again...)},
		"another name":        {record(evil), nil},
		"another, changed":    {append(bytes.Clone(change), record(evil)...), nil},
		"data":                {[]byte{23, 3, 3, 0, 1, 0}, nil},
		"two changes":         {append(bytes.Clone(change), append(change, record(evil)...)...), nil},
	} {
		f := newFar(t)
		s := open(t, f.dialer(dialledName), time.Minute, dialledName, 443)
		_, _ = s.Write(record(good))
		conn, err := f.listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, len(record(good)))); err != nil {
			t.Fatal(err)
		}
		for _, c := range record(retry) { // a byte at a time, so that it is pieced together
			_, _ = conn.Write([]byte{c})
		}
		_, _ = s.Write(test.second)
		_ = s.CloseWrite()
		got, _ := io.ReadAll(conn)
		_ = conn.Close()
		_, _ = io.Copy(io.Discard, s)
		if err := s.ends(t); (err == nil) != (test.want != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(got, test.want) {
			t.Errorf("%s: %q went on, want %q", name, got, test.want)
		}
	}
}

func TestT39_RealClientsGetThrough(t *testing.T) {
	for _, port := range []uint16{443, 8443} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			server := httptest.NewTLSServer(nil)
			f := &far{t: t, listener: server.Listener}
			s := open(t, f.dialer(dialledName, dialledName+":8443"), time.Minute, dialledName, port)
			config := &tls.Config{ServerName: dialledName, InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}
			client := tls.Client(s, config)
			if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: "+dialledName+"\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(client)
			if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(string(answer), "HTTP/1.1 404") {
				t.Errorf("port %d, version %x: %q, %v", port, version, answer, err)
			}
			_ = client.Close()
			if err := s.ends(t); err != nil {
				t.Error(err)
			}
			server.Close()
		}
	}
}

func TestT39_ARetryOfARealServerGetsThrough(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.TLS = &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP521}}
	server.StartTLS()
	defer server.Close()
	f := &far{t: t, listener: server.Listener}
	s := open(t, f.dialer(dialledName), time.Minute, dialledName, 443)
	client := tls.Client(s, &tls.Config{ServerName: dialledName, InsecureSkipVerify: true})
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !client.ConnectionState().HelloRetryRequest {
		t.Error("the server did not ask again, so that nothing was tried")
	}
	_ = client.Close()
	_ = s.ends(t)
}

func TestT39_TLSOnOtherPortsIsCheckedToo(t *testing.T) {
	f := newFar(t)
	heard := f.everything()
	s := open(t, f.dialer(dialledName+":8443"), time.Minute, dialledName, 8443)
	_, _ = s.Write(record(craft(tls.VersionTLS12, sni("evil.org"))))
	alert, _ := io.ReadAll(s)
	if err := s.ends(t); !errdefs.IsPermissionDenied(err) || !bytes.Equal(alert, []byte{21, 3, 3, 0, 2, 2, 49}) {
		t.Errorf("%v, the client is told %q", err, alert)
	}
	if got := <-heard; got != "" {
		t.Errorf("%q went on", got)
	}
}

func FuzzHello(f *testing.F) {
	for _, game := range hellos() {
		f.Add(game.sent)
	}
	for _, sent := range realHellos(f) {
		f.Add(sent)
	}
	f.Add(record(realHello(f, &tls.Config{ServerName: dialledName})))
	f.Add(record(realHello(f, &tls.Config{ServerName: dialledName, MaxVersion: tls.VersionTLS12})))
	f.Fuzz(func(t *testing.T, sent []byte) {
		message, err := readHello(bytes.NewReader(sent))
		if err != nil || checkHello(message, dialledName) != nil {
			return
		}
		// What we let through means the same to somebody else's parser.
		near, far := net.Pipe()
		var seen *tls.ClientHelloInfo
		server := tls.Server(far, &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			seen = info
			return nil, errors.New("seen")
		}})
		ended := make(chan struct{})
		go func() { _ = server.HandshakeContext(context.Background()); _ = far.Close(); close(ended) }()
		go func() { _, _ = io.Copy(io.Discard, near) }()
		_, _ = near.Write(record(message))
		_ = near.Close()
		<-ended
		if seen != nil && !strings.EqualFold(seen.ServerName, dialledName) {
			t.Errorf("to crypto/tls it is for %q", seen.ServerName)
		}
	})
}

// realHellos are what programs of Debian 12 and others send first, recorded.
func realHellos(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/hellos/*")
	if err != nil || len(files) < 5 {
		t.Fatalf("recorded hellos are %v, %v", files, err)
	}
	list := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list[filepath.Base(file)] = data
	}
	return list
}

func TestT39_HellosOfRealProgramsAreUnderstood(t *testing.T) {
	for program, sent := range realHellos(t) {
		message, err := readHello(bytes.NewReader(sent))
		if err != nil {
			t.Errorf("%s: %v", program, err)
			continue
		}
		if err := checkHello(message, dialledName); err != nil {
			t.Errorf("%s: %v", program, err)
		}
		if err := checkHello(message, "evil.org"); !errdefs.IsPermissionDenied(err) {
			t.Errorf("%s to another host: %v", program, err)
		}
		if got := record(message); !bytes.Equal(got[recordHeader:], sent[recordHeader:]) {
			t.Errorf("%s: another hello would go on", program)
		}
	}
}
