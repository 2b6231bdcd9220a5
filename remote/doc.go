// Package remote lets users who are not root run bottles through a process of root's: a
// protocol over one Unix socket, with its client and its server.
//
// The server is no deputy to be confused. What a user names on the host is opened by the
// user's own process and arrives as bytes; the server opens no path and runs no command that
// a client has named. Whose bottles a request is about is not said in it either: each uid
// has a backend of its own, and a request reaches no other.
package remote
