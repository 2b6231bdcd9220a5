// Package npm gets one package from a registry of npm's, checks it against the
// integrity value that is asked for, and puts its files in. It runs nothing of the
// package, and knows no packages that depend on others.
package npm
