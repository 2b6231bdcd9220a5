package backend

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
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
