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
	sealKeys pool[aead.Key]
	openKeys pool[openKey]
)

// expand makes a key ready for a cipher, with the fastest kernel there is; no
// payload is longer than longest. In FIPS 140-3 mode there is AES-256-GCM from
// crypto/cipher and nothing else, as in crypto/tls.
func expand(k *aead.Key, id byte, key *[KeySize]byte, longest int) error {
	c := aead.Cipher(id)
	if c == aead.ChaCha20Poly1305 && fips140.Enabled() {
		return ErrFIPS
	}
	k.InitUpTo(c, c.Best(), key, longest)
	return nil
}

// openKey is a key, and for one cipher the same expanded.
type openKey struct {
	key      [KeySize]byte
	expanded aead.Key
	cipher   byte
	ready    bool // expanded, for that cipher
	shared   bool // by goroutines: nothing here changes any more
	longest  int  // payload
}

// suite expands a key when it is asked for: which cipher a stream has is known
// when its first package is there. Copies share the key.
type suite struct {
	key    hidden[openKey] // or only memory for one
	others [2]hidden[aead.Key]
	live   bool // there is a key
}

// begin makes s ready for a key, to open payloads of longest bytes at most.
func (s *suite) begin(key []byte, longest int) error {
	if len(key) != KeySize {
		return ErrInvalidKey
	}
	if s.key.isNone() {
		s.key = openKeys.take()
	}
	k := s.key.get()
	k.key, k.longest = [KeySize]byte(key), longest
	s.live = true
	return nil
}

// share allows several goroutines to have copies of s.
func (s *suite) share() { s.key.get().shared = true }

// aead returns the key expanded for a cipher. A stream has one; those of DARE 1.0
// may have both.
func (s *suite) aead(id byte) (*aead.Key, error) {
	if !s.live {
		panic(givenBack)
	}
	k := s.key.get()
	switch {
	case k.ready && k.cipher == id:
		return &k.expanded, nil
	case !k.ready && !k.shared:
		if err := expand(&k.expanded, id, &k.key, k.longest); err != nil {
			return nil, err
		}
		k.cipher, k.ready = id, true
		return &k.expanded, nil
	case s.others[id].isNone():
		other := sealKeys.take()
		if err := expand(other.get(), id, &k.key, k.longest); err != nil {
			sealKeys.give(other)
			return nil, err
		}
		s.others[id] = other
	}
	return s.others[id].get(), nil
}

// wipe ends the use of the key, by copies too, and keeps memory for another one.
func (s *suite) wipe() {
	if !s.live {
		return
	}
	k := s.key.get()
	clear(k.key[:])
	k.shared = false
	if k.ready {
		k.expanded.Wipe()
		k.ready = false
	}
	s.key.renew()
	s.live = false
	for id, other := range s.others {
		if !other.isNone() {
			other.get().Wipe()
			sealKeys.give(other)
			s.others[id] = hidden[aead.Key]{}
		}
	}
}

// drop is wipe, and keeps nothing.
func (s *suite) drop() {
	s.wipe()
	if !s.key.isNone() {
		openKeys.give(s.key)
		s.key = hidden[openKey]{}
	}
}
