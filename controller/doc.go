// Package controller is the loop that watches over bottles without a client: a queue of
// their names, which events and a timed look at all of them fill, and workers that lead
// each to what was wished for it, one worker a name at a time. What there is to do for a
// bottle is the backend's, what is measured and asked for over HTTP is served from here.
// It knows no containerd, and remembers nothing that could not be seen again.
package controller
