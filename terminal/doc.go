// Package terminal is the user's own terminal: raw mode and back, sizes, the
// y/N question, and the filter that stands between what an agent prints and what
// the terminal does. It knows nothing of where the bytes come from.
package terminal
