package backend

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// MaxNameLength bounds the name of a bottle, an agent or a skill, in bytes.
const MaxNameLength = 40

// ValidateName accepts what may name a bottle, an agent or a skill: a to z, 0
// to 9 and '-', at most MaxNameLength long, with '-' neither first nor last.
// Everything else is an InvalidArgument error.
func ValidateName(kind, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%s name is empty: %w", kind, errdefs.ErrInvalidArgument)
	case len(name) > MaxNameLength:
		return fmt.Errorf("%s name %+q is longer than %d characters: %w", kind, clip(name), MaxNameLength, errdefs.ErrInvalidArgument)
	case name[0] == '-' || name[len(name)-1] == '-':
		return fmt.Errorf("%s name %+q begins or ends with '-': %w", kind, name, errdefs.ErrInvalidArgument)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return fmt.Errorf("%s name %+q holds %+q; a to z, 0 to 9 and '-' are allowed: %w", kind, name, r, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > MaxNameLength {
		return s[:MaxNameLength] + "..."
	}
	return s
}

// ID names one life of a bottle: its name and a random suffix. State of an
// earlier life is never opened by a later one of the same name.
type ID struct{ Name, Suffix string }

// String is the form used for directories: name-suffix.
func (id ID) String() string { return id.Name + "-" + id.Suffix }

// Handle is the form shown to users for a life that has ended: name@suffix.
func (id ID) Handle() string { return id.Name + "@" + id.Suffix }

// ParseID reads the String form back.
func ParseID(s string) (ID, error) {
	cut := strings.LastIndexByte(s, '-')
	if cut < 1 || cut == len(s)-1 {
		return ID{}, fmt.Errorf("bottle id %+q has no suffix: %w", clip(s), errdefs.ErrInvalidArgument)
	}
	id := ID{Name: s[:cut], Suffix: s[cut+1:]}
	if err := ValidateName("bottle", id.Name); err != nil {
		return ID{}, err
	}
	// It names directories: what was read from a label may not climb.
	if err := ValidateName("suffix of bottle", id.Suffix); err != nil {
		return ID{}, err
	}
	return id, nil
}
