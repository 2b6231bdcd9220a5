// Package recipe turns the recipe of an image into the steps that build it: what is
// run, what is put in, and a hash of all that a step is made of, by which it is found
// again. Steps are run elsewhere.
package recipe
