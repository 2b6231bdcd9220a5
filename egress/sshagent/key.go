package sshagent

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"

	"github.com/containerd/errdefs"
	"golang.org/x/crypto/ssh"
)

// key is one entry, parsed.
type key struct {
	host, user string
	hostKey    ssh.PublicKey
	hostBlob   []byte // hostKey as it stands in messages
	blob       []byte // our public key as it stands in messages
	kind       string // its type
	private    any
	signer     ssh.AlgorithmSigner
}

func parseKey(entry Entry) (*key, error) {
	hostKey, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(entry.HostKey))
	if err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("the host's key is not `TYPE BASE64`: %w", errdefs.ErrInvalidArgument)
	}
	if entry.User == "" {
		return nil, fmt.Errorf("there is no user that the key is for: %w", errdefs.ErrInvalidArgument)
	}
	private, err := openKey(entry)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("use private key: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	able, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, fmt.Errorf("a key of type %s can't sign here: %w", signer.PublicKey().Type(), errdefs.ErrInvalidArgument)
	}
	return &key{
		host: entry.Host, user: entry.User, hostKey: hostKey, hostBlob: hostKey.Marshal(),
		blob: signer.PublicKey().Marshal(), kind: signer.PublicKey().Type(), private: private, signer: able,
	}, nil
}

func openKey(entry Entry) (any, error) {
	var private any
	var err error
	if entry.Passphrase == "" {
		private, err = ssh.ParseRawPrivateKey(entry.Key)
	} else {
		private, err = ssh.ParseRawPrivateKeyWithPassphrase(entry.Key, []byte(entry.Passphrase))
	}
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("the key has a passphrase, and none was given: %w", errdefs.ErrInvalidArgument)
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, fmt.Errorf("the passphrase does not open the key: %w", errdefs.ErrInvalidArgument)
	case err != nil:
		return nil, fmt.Errorf("read private key: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return private, nil
}

// algorithm is the one that a client asks for by its flags. SHA-1 is none.
func (k *key) algorithm(flags uint32) (string, error) {
	const sha256, sha512 = 2, 4 // SSH_AGENT_RSA_SHA2_256 and _512
	switch {
	case k.kind != ssh.KeyAlgoRSA:
		return k.kind, nil
	case flags == sha256:
		return ssh.KeyAlgoRSASHA256, nil
	case flags == sha512:
		return ssh.KeyAlgoRSASHA512, nil
	default:
		return "", fmt.Errorf("an RSA signature with flags %d, such as SHA-1: %w", flags, errdefs.ErrPermissionDenied)
	}
}

// wipe overwrites what of a private key can be reached.
func wipe(private any) {
	switch key := private.(type) {
	case *ed25519.PrivateKey:
		clear(*key)
	case ed25519.PrivateKey:
		clear(key)
	case *ecdsa.PrivateKey:
		wipeNumbers(key.D) //nolint:staticcheck // to destroy it is the point
	case *rsa.PrivateKey:
		wipeNumbers(key.D, key.Precomputed.Dp, key.Precomputed.Dq, key.Precomputed.Qinv)
		wipeNumbers(key.Primes...)
	}
}

func wipeNumbers(numbers ...*big.Int) {
	for _, number := range numbers {
		if number != nil {
			clear(number.Bits())
		}
	}
}
