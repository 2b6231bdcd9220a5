// Package neck is the one way in and out of a bottle: a multiplexed link
// between the supervisor on the host and PID 1 inside, both ends of it, and the
// session protocol that runs over its streams. The same streams serve the
// supervisor's control socket. What a request means, and whether it is allowed,
// is decided by those who handle it: the host end trusts nothing that comes from
// inside but its framing, and that only after checking it.
package neck
