// Package resources is what a Bottle of api/v1alpha1 means on this host: which files it
// is read from, which wish and declaration it becomes, how a bottle that is there is seen
// as one, in what two of them differ, and how they are printed. It launches and changes
// nothing, and knows no containerd.
package resources
