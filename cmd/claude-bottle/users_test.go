package main

import "testing"

// TestUsersAreServedWhereTheyHaveAGroup: for them alone a service has the engine up.
func TestUsersAreServedWhereTheyHaveAGroup(t *testing.T) {
	for _, test := range []struct {
		socket, group string
		want          bool
	}{
		{"/run/x.sock", "root", true},
		{"none", "root", false},
		{"/run/x.sock", "no such group", false},
	} {
		o := usersOptions{socket: test.socket, group: test.group}
		if got := o.served(); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}
