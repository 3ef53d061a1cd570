// Package dek is the cipher under which KES servers and MinIO's built-in key
// seal data keys: it knows every form they ever wrote and writes the newest.
//
// Start with [Seal] and [Open]. A key seals under a sub-key that is made for
// this one ciphertext from 16 random bytes, so that any number of data keys can
// share a key. C is the output of the AEAD, ciphertext and 16-byte tag:
//
//	AES256    sub-key HMAC-SHA256(key, iv)   C = AES-256-GCM(sub-key, nonce)
//	ChaCha20  sub-key HChaCha20(key, iv)     C = ChaCha20-Poly1305(sub-key, nonce)
//
//	raw          C ‖ iv (16) ‖ nonce (12)                           written here
//	MessagePack  [algorithm, key id, iv, nonce, C]                  2022 to 2024
//	JSON         {"aead", "id", "iv", "nonce", "bytes": base64(C)}  until 2022
//
// Guaranteed: nothing is returned that the key did not authenticate together
// with the associated data. Not guaranteed: which key it was. Nothing in a raw
// ciphertext names one, and the key id of the other forms is not looked at, as
// servers do not either.
//
// Source: KES spec section 5, SSE spec section 13.2.
package dek

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/objseal/objseal/internal/cpu"
)

const (
	// KeySize is the length of a key, in bytes.
	KeySize = 32
	// Overhead is by how many bytes Seal's output is longer than the plaintext.
	Overhead = tagSize + ivSize + nonceSize

	ivSize    = 16
	nonceSize = 12
	tagSize   = 16
)

// ErrNotAuthentic is what Open returns for a ciphertext that is not from this
// key and this associated data, whatever is wrong with it.
var ErrNotAuthentic = errors.New("dek: ciphertext is not authentic")

// Algorithm is what a key is made for. The numbers are those of KES's key
// store (KES spec section 6.1).
type Algorithm uint8

const (
	AES256   Algorithm = 1
	ChaCha20 Algorithm = 2

	// oldAES256 is AES256 with the sub-key derivation used before March 2020.
	// Only ciphertexts name it, never keys.
	oldAES256 Algorithm = 255
)

// String returns the name as KES writes it.
func (a Algorithm) String() string {
	switch a {
	case AES256:
		return "AES256"
	case ChaCha20:
		return "ChaCha20"
	}
	return "unknown"
}

// ParseAlgorithm returns the algorithm of a key by any name that KES ever gave
// it (KES spec sections 1.3 and 6.1).
func ParseAlgorithm(name string) (Algorithm, bool) {
	switch name {
	case "AES256", "AES256-GCM_SHA256":
		return AES256, true
	case "ChaCha20", "XCHACHA20-POLY1305":
		return ChaCha20, true
	}
	return 0, false
}

// Default returns the algorithm for a new key: AES256 where the processor has
// it or FIPS 140 demands it, else ChaCha20 (KES spec section 4).
func Default() Algorithm {
	if cpu.Has(cpu.AES) || fips140.Enabled() {
		return AES256
	}
	return ChaCha20
}

// Seal appends plaintext, sealed under key and bound to ad, to dst in the raw
// form, which is [Overhead] bytes longer. It panics for a key that has not
// [KeySize] bytes, and for ChaCha20 where only FIPS 140 is allowed.
func Seal(dst, key []byte, alg Algorithm, plaintext, ad []byte) []byte {
	var iv [ivSize]byte
	rand.Read(iv[:])
	aead, err := newAEAD(key, alg, iv[:])
	if err != nil {
		panic("dek: internal error: " + err.Error())
	}
	dst = slices.Grow(dst, nonceSize+len(plaintext)+Overhead)
	n := len(dst)
	dst = aead.Seal(dst, nil, plaintext, ad) // nonce ‖ C
	nonce := [nonceSize]byte(dst[n:])
	dst = append(dst[:n], dst[n+nonceSize:]...)
	dst = append(dst, iv[:]...)
	return append(dst, nonce[:]...)
}

// Open appends the plaintext of a ciphertext in any form to dst, which must not
// overlap the ciphertext. alg is the algorithm of the key.
//
// The algorithm that the ciphertext names is tried first, then, or if it names
// none, the key's, then the other: keys from before 2022 do not know what they
// were used with (KES spec section 5.4).
func Open(dst, key []byte, alg Algorithm, ciphertext, ad []byte) ([]byte, error) {
	s, named := parse(ciphertext)
	if s == nil {
		return dst, ErrNotAuthentic
	}
	var first error
	tried := make([]Algorithm, 0, 4)
	for _, a := range []Algorithm{named, alg, AES256, ChaCha20} {
		if a == 0 || slices.Contains(tried, a) {
			continue
		}
		tried = append(tried, a)
		out, err := s.open(dst, key, a, ad)
		if err == nil {
			return out, nil
		}
		if first == nil {
			first = err
		}
	}
	return dst, first
}

func (s *sealed) open(dst, key []byte, alg Algorithm, ad []byte) ([]byte, error) {
	aead, err := newAEAD(key, alg, s.iv)
	if err != nil {
		return nil, err
	}
	out, err := aead.Open(dst, nil, slices.Concat(s.nonce, s.bytes), ad)
	if err != nil {
		return nil, ErrNotAuthentic
	}
	return out, nil
}

// newAEAD returns the cipher of one ciphertext, with the nonce in front. The
// random nonce is safe: a sub-key seals once.
func newAEAD(key []byte, alg Algorithm, iv []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, errors.New("dek: a key has 32 bytes")
	}
	var subKey []byte
	defer func() { clear(subKey) }()
	var err error
	switch alg {
	case AES256:
		mac := hmac.New(sha256.New, key)
		mac.Write(iv)
		subKey = mac.Sum(nil)
	case oldAES256:
		subKey, err = oldSubKey(key, iv)
	case ChaCha20:
		if fips140.Enforced() {
			return nil, errors.New("dek: ChaCha20 is not allowed in FIPS 140-only mode")
		}
		if subKey, err = chacha20.HChaCha20(key, iv); err != nil {
			return nil, err
		}
		aead, err := chacha20poly1305.New(subKey)
		return prefixed{aead}, err
	default:
		return nil, errors.New("dek: unknown algorithm")
	}
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(subKey)
	if err != nil {
		return nil, err
	}
	// Same bytes as NewGCM, and allowed where only FIPS 140 is.
	return cipher.NewGCMWithRandomNonce(block)
}

// prefixed gives ChaCha20-Poly1305 the shape of cipher.NewGCMWithRandomNonce.
type prefixed struct{ cipher.AEAD }

func (p prefixed) Seal(dst, _, plaintext, ad []byte) []byte {
	var nonce [nonceSize]byte
	rand.Read(nonce[:])
	return p.AEAD.Seal(append(dst, nonce[:]...), nonce[:], plaintext, ad)
}

func (p prefixed) Open(dst, _, ciphertext, ad []byte) ([]byte, error) {
	if len(ciphertext) < nonceSize {
		return nil, ErrNotAuthentic
	}
	return p.AEAD.Open(dst, ciphertext[:nonceSize], ciphertext[nonceSize:], ad)
}

// oldSubKey derives a sub-key as KES did before March 2020 (KES spec section
// 5.5): four blocks of AES over the counter and, by turns, the first and last
// 12 bytes of iv, added pairwise.
func oldSubKey(key, iv []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	subKey := make([]byte, KeySize)
	var t [aes.BlockSize]byte
	for i := range 4 {
		binary.LittleEndian.PutUint32(t[:4], uint32(i))
		copy(t[4:], iv[4*(i%2):])
		block.Encrypt(t[:], t[:])
		half := subKey[aes.BlockSize*(i/2):]
		for j := range t {
			half[j] ^= t[j]
		}
	}
	return subKey, nil
}
