// Package chaos kills what takes part in a bottle at many moments, and wants one
// cleanup to leave nothing each time. It is long: `make chaos` runs it, and
// CHAOS_MOMENTS says how many moments, and CHAOS_ENTRIES how many files are copied
// beside an attacker.
package chaos
