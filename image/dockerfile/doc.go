// Package dockerfile has images built from Dockerfiles, by BuildKit: it finds the daemon
// and its client program, says what will be done, and hands the archive that comes back
// to whoever takes it. What the archive holds is judged there.
package dockerfile
