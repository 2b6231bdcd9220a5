package main

import "testing"

func TestPortsAreReadAsKubectlDoes(t *testing.T) {
	for text, want := range map[string]forwarding{
		"8080": {8080, 8080}, "3000:80": {3000, 80}, "0:80": {0, 80}, ":80": {0, 80}, "65535": {65535, 65535},
	} {
		if got, err := parseForwarding(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "80:", "a", "80:0", "65536", "1:2:3", "-1", "+80:x", "80:http"} {
		if got, err := parseForwarding(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}
