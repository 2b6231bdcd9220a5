package backend

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// CleanupPlan is what dead bottles left behind.
type CleanupPlan struct {
	Items []CleanupItem   `json:"items"`
	Kept  []KeptWorkspace `json:"kept"`
}

// CleanupItem is one thing to remove.
type CleanupItem struct {
	Bottle string `json:"bottle"` // id
	Kind   string `json:"kind"`   // record, task, snapshot, run directory, ...
	Target string `json:"target"`
	Reason string `json:"reason"`
}

// KeptWorkspace is work that cleanup leaves where it is, and what it can't tell
// from work.
type KeptWorkspace struct {
	Handle string `json:"handle"`
	Path   string `json:"path"`
	Files  int    `json:"files"`
	// Reason says why it is kept when that is not for its files alone.
	Reason string `json:"reason,omitempty"`
}

// Empty says that there is nothing to remove.
func (p *CleanupPlan) Empty() bool { return p == nil || len(p.Items) == 0 }

// Digest is the hash of the plan's JSON form.
func (p *CleanupPlan) Digest() string {
	data, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("marshal cleanup plan: %v", err)) // plain data only
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Print writes the plan for people.
func (p *CleanupPlan) Print(w io.Writer) error {
	var b strings.Builder
	if p.Empty() {
		b.WriteString("Nothing to clean up.\n")
	}
	last := ""
	for _, item := range p.Items {
		if item.Bottle != last {
			fmt.Fprintf(&b, "%s: %s\n", Printable(item.Bottle), Printable(item.Reason))
			last = item.Bottle
		}
		fmt.Fprintf(&b, "  remove %-14s %s\n", item.Kind, Printable(item.Target))
	}
	for _, kept := range p.Kept {
		if kept.Reason != "" {
			fmt.Fprintf(&b, "keep %s: %s in %s\n", Printable(kept.Handle), Printable(kept.Reason), Printable(kept.Path))
			continue
		}
		fmt.Fprintf(&b, "keep %s: %d files of work in %s\n", Printable(kept.Handle), kept.Files, Printable(kept.Path))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
