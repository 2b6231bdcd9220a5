package bottletest

import (
	"net"
	"os"
	"strings"
	"testing"
)

// OwnName is this machine's name, by which its resolver finds an address of it.
func OwnName(t testing.TB) (name, address string) {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	found, err := net.DefaultResolver.LookupIP(t.Context(), "ip4", name)
	if err != nil {
		t.Fatalf("this machine's own name must resolve, as by a line in /etc/hosts: %v", err)
	}
	return strings.ToLower(name), found[0].String()
}
