package backend

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// InputKind says what an Input is.
type InputKind string

// The kinds of input.
const (
	InputPrompt   InputKind = "prompt"
	InputSkill    InputKind = "skill"
	InputSSH      InputKind = "ssh"
	InputSettings InputKind = "settings"
)

// Input is one small thing that goes into the bottle: read once while planning,
// hashed, and held as a tar stream, so that what was shown is what arrives.
type Input struct {
	Kind  InputKind `json:"kind"`
	Name  string    `json:"name"`
	From  string    `json:"from,omitempty"` // path on the host
	Place Place     `json:"place"`
	Files int       `json:"files"`
	Bytes int64     `json:"bytes"`
	// SHA256 is the hash of the tar stream, in hex; "" for private keys.
	SHA256 string `json:"sha256,omitempty"`
	// Note is one more thing worth seeing, such as a key's fingerprint.
	Note string `json:"note,omitempty"`
	// PromptPath is where a prompt lies inside the bottle.
	PromptPath string `json:"promptPath,omitempty"`
	tar        []byte
}

// NewInput returns the input with the tar stream that it stands for.
func NewInput(input Input, tar []byte) Input {
	input.tar = tar
	sum := sha256.Sum256(tar)
	input.SHA256 = hex.EncodeToString(sum[:])
	return input
}

// NewSecretInput is NewInput for a stream whose hash is not to be shown.
func NewSecretInput(input Input, tar []byte) Input {
	input.tar = tar
	return input
}

// Format implements fmt.Formatter, so that no verb shows the stream: it may hold a
// key.
func (i Input) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, i.Name) }

// Open reads the tar stream from its start.
func (i Input) Open() io.Reader { return bytes.NewReader(i.tar) }

// WorkTree is the working directory as planned: it is copied as it is at
// launch, through the directory that was opened while planning.
type WorkTree struct {
	Path string `json:"path"`
	// Head is the commit that is checked out, or "" outside a repository.
	Head string `json:"head,omitempty"`
	// Branch is what HEAD names, or "".
	Branch string `json:"branch,omitempty"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	// Omitted is what stays on the host, and why.
	Omitted []Omission `json:"omitted,omitempty"`
	root    *os.Root
}

// Omission is a path of the working directory that is not copied.
type Omission struct {
	Path   string `json:"path"`
	Reason string `json:"reason"` // ignored, secret-like, socket, device, ...
}

// NewWorkTree returns the tree that is read through root. The tree owns root.
func NewWorkTree(tree WorkTree, root *os.Root) *WorkTree {
	tree.root = root
	return &tree
}

// Root is the directory opened while planning; the caller must not close it.
func (w *WorkTree) Root() *os.Root { return w.root }

// Close lets go of the directory.
func (w *WorkTree) Close() error {
	if w == nil || w.root == nil {
		return nil
	}
	return w.root.Close()
}
