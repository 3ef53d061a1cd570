package stream

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"fmt"

	"github.com/objseal/objseal/internal/cpu"
	"github.com/objseal/objseal/internal/secret"
	"golang.org/x/crypto/chacha20poly1305"
)

// Cipher names the AEAD of a stream.
type Cipher uint8

const (
	// CipherAuto is AES-256-GCM where the processor has AES instructions that
	// Go uses (amd64, arm64, s390x, ppc64le) and in FIPS 140-3 mode, else
	// ChaCha20-Poly1305.
	CipherAuto Cipher = iota

	AES256GCM        // SP 800-38D, 96-bit nonce
	ChaCha20Poly1305 // RFC 8439
)

func (c Cipher) String() string {
	switch c {
	case CipherAuto:
		return "auto"
	case AES256GCM:
		return "AES-256-GCM"
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	}
	return fmt.Sprintf("Cipher(%d)", uint8(c))
}

// resolve replaces CipherAuto by the cipher it stands for here.
func (c Cipher) resolve() Cipher {
	switch {
	case c != CipherAuto:
		return c
	case cpu.Has(cpu.AES) || fips140.Enabled():
		return AES256GCM
	}
	return ChaCha20Poly1305
}

// id returns the cipher's byte in a package header (DARE section 1).
func (c Cipher) id() byte { return byte(c - AES256GCM) }

func cipherOf(id byte) Cipher { return AES256GCM + Cipher(id) }

// An aead is used by its address only: package fmt follows one pointer for some
// verbs, and behind that of a cipher.AEAD is the key.
type aead struct{ cipher.AEAD }

// newAEAD returns the AEAD of c. In FIPS 140-3 mode there is AES-256-GCM from
// crypto/cipher and nothing else, as in crypto/tls.
func newAEAD(c Cipher, key []byte) (*aead, error) {
	if c == ChaCha20Poly1305 {
		if fips140.Enabled() {
			return nil, ErrFIPS
		}
		a, err := chacha20poly1305.New(key)
		return &aead{a}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if fips140.Enforced() {
		a, err := cipher.NewGCMWithRandomNonce(block)
		return &aead{nonceFirst{a}}, err
	}
	a, err := cipher.NewGCM(block)
	return &aead{a}, err
}

// suite makes the AEADs of a key when they are asked for: which one a stream
// needs is known when its first package is there. Copies share the key.
type suite struct {
	key   secret.Key
	aeads [2]*aead // by id
}

func newSuite(key []byte) (suite, error) {
	k, err := secret.New(key)
	if err != nil {
		return suite{}, ErrInvalidKey
	}
	return suite{key: k}, nil
}

func (s *suite) aead(id byte) (*aead, error) {
	if s.aeads[id] == nil {
		a, err := newAEAD(cipherOf(id), s.key.Bytes())
		if err != nil {
			return nil, err
		}
		s.aeads[id] = a
	}
	return s.aeads[id], nil
}

// wipe ends the use of the key.
func (s *suite) wipe() {
	s.key.Wipe()
	s.aeads = [2]*aead{}
}
