// Package engine is the containerd that the program brings along, for hosts where none
// answers: it starts the daemon, watches over it from a small process of its own, the
// keeper, and ends it when nobody has used it for a while. Of bottles it knows nothing:
// in use is what a process holds the lock of, or what has a running task. It is no
// client of containerd either; that it answers is seen by a plain connection.
package engine
