package sshagent

import (
	"bytes"
	"crypto/rand"
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/crypto/ssh"
)

// A session identifier is a hash of the key exchange.
const (
	shortestID = 20 // SHA-1
	longestID  = 64 // SHA-512
)

// connection is one client. It begins unbound, and is bound to one session of one
// host, or spoilt, for the rest of its life.
type connection struct {
	agent     *Agent
	hostBlob  []byte // nil until bound
	sessionID []byte
	spoilt    bool // something was tried that no honest client of ours tries
}

// answer answers one message, which has at least its kind. What is not known is
// refused: to add, remove and lock keys, among others.
func (c *connection) answer(message []byte) []byte {
	switch message[0] {
	case kindList:
		if len(message) == 1 {
			return c.list()
		}
	case kindSign:
		host, signature, err := c.sign(message)
		c.agent.log(Decision{Host: host, Err: err})
		if err == nil {
			return ssh.Marshal(struct {
				Signature []byte `sshtype:"14"`
			}{signature})
		}
	case kindExtension:
		var known extension
		if ssh.Unmarshal(message, &known) != nil || known.Name != extensionBind {
			break
		}
		host, err := c.bind(known.Rest)
		if err == nil {
			return []byte{kindSuccess}
		}
		c.spoilt = true
		c.agent.log(Decision{Host: host, Err: err})
	}
	return []byte{kindFailure}
}

// list shows the public keys, each once.
func (c *connection) list() []byte {
	type listed struct{ Key, Comment []byte }
	var shown [][]byte
	var body []byte
	for _, key := range c.agent.keys {
		if contains(shown, key.blob) {
			continue
		}
		shown = append(shown, key.blob)
		body = append(body, ssh.Marshal(listed{key.blob, []byte(key.host)})...)
	}
	return append(ssh.Marshal(struct {
		Count uint32 `sshtype:"12"`
	}{uint32(len(shown))}), body...)
}

func contains(list [][]byte, blob []byte) bool {
	for _, known := range list {
		if bytes.Equal(known, blob) {
			return true
		}
	}
	return false
}

// bind ties the connection to the session whose identifier the host has signed.
// Only the host itself could: so what is signed here later is of no use anywhere
// else, whoever relays it.
func (c *connection) bind(contents []byte) (host string, err error) {
	var wish bindRequest
	if err := ssh.Unmarshal(contents, &wish); err != nil {
		return "", fmt.Errorf("bind session: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	named := c.agent.byHost(wish.HostKey)
	switch {
	case named == nil:
		return "", fmt.Errorf("bind session: the host's key is not the knownHostKey of any entry: %w", errdefs.ErrPermissionDenied)
	case wish.Forwarding:
		return named.host, fmt.Errorf("bind session: the agent can't be forwarded: %w", errdefs.ErrPermissionDenied)
	case c.hostBlob != nil || c.spoilt:
		return named.host, fmt.Errorf("bind session: the connection was bound before: %w", errdefs.ErrPermissionDenied)
	case len(wish.SessionID) < shortestID || len(wish.SessionID) > longestID:
		return named.host, fmt.Errorf("bind session: an identifier of %d bytes: %w", len(wish.SessionID), errdefs.ErrInvalidArgument)
	}
	var signature ssh.Signature
	if err := ssh.Unmarshal(wish.Signature, &signature); err != nil {
		return named.host, fmt.Errorf("bind session: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if signature.Format == ssh.KeyAlgoRSA {
		return named.host, fmt.Errorf("bind session: a signature with SHA-1: %w", errdefs.ErrPermissionDenied)
	}
	if err := named.hostKey.Verify(wish.SessionID, &signature); err != nil {
		return named.host, fmt.Errorf("bind session: %w: %w", err, errdefs.ErrPermissionDenied)
	}
	c.hostBlob, c.sessionID = named.hostBlob, wish.SessionID
	return named.host, nil
}

// byHost is the first entry with that key of a host, or nil.
func (a *Agent) byHost(blob []byte) *key {
	for _, key := range a.keys {
		if bytes.Equal(key.hostBlob, blob) {
			return key
		}
	}
	return nil
}

// sign signs a login, and nothing else. The host is that of the entry that the
// key is for.
func (c *connection) sign(message []byte) (host string, signature []byte, err error) {
	var wish signRequest
	if err := ssh.Unmarshal(message, &wish); err != nil {
		return "", nil, fmt.Errorf("sign: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	switch {
	case c.spoilt:
		return "", nil, fmt.Errorf("sign: the connection was bound to a host or in a way that is not allowed: %w", errdefs.ErrPermissionDenied)
	case c.hostBlob == nil:
		return "", nil, fmt.Errorf("sign: the client has not said for which host, as OpenSSH does from 8.9 on: %w", errdefs.ErrPermissionDenied)
	}
	var chosen *key
	data, err := parseLogin(wish.Data, c.sessionID)
	if err != nil {
		return "", nil, fmt.Errorf("sign: %w", err)
	}
	for _, key := range c.agent.keys {
		if bytes.Equal(key.blob, wish.Key) && bytes.Equal(key.hostBlob, c.hostBlob) && key.user == data.User {
			chosen = key
		}
	}
	if chosen == nil {
		return "", nil, fmt.Errorf("sign: no entry has that key for that host and user: %w", errdefs.ErrPermissionDenied)
	}
	algorithm, err := chosen.algorithm(wish.Flags)
	if err != nil {
		return chosen.host, nil, fmt.Errorf("sign: %w", err)
	}
	// What is signed is built here; what the client has sent must be the same
	// to the byte.
	allowed := login{User: chosen.user, Service: service, Method: data.Method, Signed: true, Algorithm: algorithm, Key: chosen.blob}
	if data.Method == methodBound {
		allowed.Rest = ssh.Marshal(struct{ HostKey []byte }{chosen.hostBlob})
	}
	built := signedBytes(c.sessionID, allowed)
	if !bytes.Equal(built, wish.Data) {
		return chosen.host, nil, fmt.Errorf("sign: data that is not a login as the entry allows it: %w", errdefs.ErrPermissionDenied)
	}
	made, err := chosen.signer.SignWithAlgorithm(rand.Reader, built, algorithm)
	if err != nil {
		return chosen.host, nil, fmt.Errorf("sign: %w", err)
	}
	return chosen.host, ssh.Marshal(made), nil
}

// parseLogin reads what is to be signed, which must be a login in that session.
func parseLogin(data, sessionID []byte) (login, error) {
	var outer struct {
		SessionID []byte
		Rest      []byte `ssh:"rest"`
	}
	var wish login
	if ssh.Unmarshal(data, &outer) != nil || len(outer.Rest) == 0 || outer.Rest[0] != kindLogin || ssh.Unmarshal(outer.Rest, &wish) != nil {
		return login{}, fmt.Errorf("data that is no login: %w", errdefs.ErrPermissionDenied)
	}
	if !bytes.Equal(outer.SessionID, sessionID) {
		return login{}, fmt.Errorf("a login in another session than the bound one: %w", errdefs.ErrPermissionDenied)
	}
	if wish.Method != methodPlain && wish.Method != methodBound {
		return login{}, fmt.Errorf("a login by another method than a public key: %w", errdefs.ErrPermissionDenied)
	}
	return wish, nil
}
