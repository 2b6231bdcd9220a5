// Package doctor looks at everything that a bottle stands on, from the kernel to a claude
// that answers, and says of each thing how it is and what to do about it. Facts are
// gathered in one place and judged in another, side by side, each within a bound. It
// changes nothing that a start would not, but what Mend is asked to.
package doctor
