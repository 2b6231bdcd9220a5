// Package chaos kills what takes part in a bottle at many moments, and wants one
// cleanup to leave nothing each time. It is long: `make chaos` runs it. CHAOS_POINTS says
// how many strikes there are, CHAOS_SEED which, CHAOS_POINT that just one of them is tried;
// CHAOS_ENTRIES how many files are copied beside an attacker.
package chaos
