package stream

import (
	"crypto/fips140"
	"fmt"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/cpu"
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
	case AES256GCM, ChaCha20Poly1305:
		return aead.Cipher(c.id()).String()
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

// id returns the cipher's byte in a package header (DARE section 1), which is
// also its number in package aead.
func (c Cipher) id() byte { return byte(c - AES256GCM) }

func cipherOf(id byte) Cipher { return AES256GCM + Cipher(id) }

var (
	keys         pool[[KeySize]byte]
	expandedKeys pool[aead.Key]
)

// expand returns key made ready for a cipher, with the fastest kernel there is. In
// FIPS 140-3 mode there is AES-256-GCM from crypto/cipher and nothing else, as in
// crypto/tls. A key has 32 bytes.
func expand(id byte, key []byte) (hidden[aead.Key], error) {
	c := aead.Cipher(id)
	if c == aead.ChaCha20Poly1305 && fips140.Enabled() {
		return hidden[aead.Key]{}, ErrFIPS
	}
	k := expandedKeys.take()
	k.get().Init(c, c.Best(), (*[KeySize]byte)(key))
	return k, nil
}

// drop wipes an expanded key. What is dropped must not be used again, not by a copy
// either.
func drop(k *hidden[aead.Key]) {
	if !k.isNone() {
		k.get().Wipe()
		expandedKeys.give(*k)
		*k = hidden[aead.Key]{}
	}
}

// suite expands a key when it is asked for: which cipher a stream has is known
// when its first package is there. Copies share the key.
type suite struct {
	key      hidden[[KeySize]byte]
	expanded [2]hidden[aead.Key] // by id
}

func newSuite(key []byte) (suite, error) {
	if len(key) != KeySize {
		return suite{}, ErrInvalidKey
	}
	s := suite{key: keys.take()}
	copy(s.key.get()[:], key)
	return s, nil
}

func (s *suite) aead(id byte) (*aead.Key, error) {
	if s.expanded[id].isNone() {
		k, err := expand(id, s.key.get()[:])
		if err != nil {
			return nil, err
		}
		s.expanded[id] = k
	}
	return s.expanded[id].get(), nil
}

// wipe ends the use of the key, by copies too.
func (s *suite) wipe() {
	if !s.key.isNone() {
		clear(s.key.get()[:])
		keys.give(s.key)
		s.key = hidden[[KeySize]byte]{}
	}
	for id := range s.expanded {
		drop(&s.expanded[id])
	}
}
