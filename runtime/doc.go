// Package runtime talks to containerd and decides which OCI runtime a bottle
// gets. It is the only importer of the containerd client. It knows images,
// records, snapshots, tasks and what they leave behind; what they are good for,
// and in which order, is the business of backend/containerd.
package runtime
