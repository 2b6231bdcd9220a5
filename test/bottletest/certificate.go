package bottletest

import (
	"crypto/tls"
	"testing"
)

// Certificate makes an authority of the test's own, writes its certificate to
// path, and returns one for servers of these names that it has signed.
func Certificate(t testing.TB, path string, names ...string) tls.Certificate {
	t.Helper()
	return signed(t, path, names...)
}
