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
// ciphertext names one, and the key id of the other forms is not looked at by
// Open, as servers do not either; [NamedKeyID] tells it.
//
// Source: KES spec section 5, SSE spec section 13.2.
package dek

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/crypto/chacha20"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/cpu"
	"github.com/objseal/objseal/internal/kdf"
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
	n := len(dst)
	dst = slices.Grow(dst, len(plaintext)+Overhead)[:n+len(plaintext)+Overhead]
	random := dst[len(dst)-ivSize-nonceSize:]
	rand.Read(random)
	iv, nonce := random[:ivSize], random[ivSize:]
	var sub [KeySize]byte
	defer clear(sub[:])
	if err := subKey(&sub, key, alg, iv); err != nil {
		panic("dek: internal error: " + err.Error())
	}
	if fips140.Enabled() && alg == AES256 {
		sealApproved(dst[n:], &sub, plaintext, ad)
		return dst
	}
	var k aead.Key
	defer k.Wipe()
	initAEAD(&k, alg, &sub, len(plaintext))
	k.Seal(dst[n:n], nonce, plaintext, ad) // the random nonce is safe: a sub-key seals once
	return dst
}

// sealApproved sets the front of dst to C and the end of it to a nonce, as FIPS
// 140 wants it: the module draws the nonce by itself.
func sealApproved(dst []byte, sub *[KeySize]byte, plaintext, ad []byte) {
	block, err := aes.NewCipher(sub[:])
	if err == nil {
		var gcm cipher.AEAD
		if gcm, err = cipher.NewGCMWithRandomNonce(block); err == nil {
			out := gcm.Seal(nil, nil, plaintext, ad) // nonce ‖ C
			copy(dst, out[nonceSize:])
			copy(dst[len(dst)-nonceSize:], out)
			return
		}
	}
	panic("dek: internal error: " + err.Error())
}

// Open appends the plaintext of a ciphertext in any form to dst, which must not
// overlap the ciphertext. alg is the algorithm of the key.
//
// The algorithm that the ciphertext names is tried first, then, or if it names
// none, the key's, then the other: keys from before 2022 do not know what they
// were used with (KES spec section 5.4).
func Open(dst, key []byte, alg Algorithm, ciphertext, ad []byte) ([]byte, error) {
	s, named, ok := parse(ciphertext)
	if !ok {
		return dst, ErrNotAuthentic
	}
	var first error
	order := [...]Algorithm{named, alg, AES256, ChaCha20}
	for i, a := range order {
		if a == 0 || slices.Contains(order[:i], a) {
			continue
		}
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

func (s sealed) open(dst, key []byte, alg Algorithm, ad []byte) ([]byte, error) {
	var sub [KeySize]byte
	defer clear(sub[:])
	if err := subKey(&sub, key, alg, s.iv); err != nil {
		return nil, err
	}
	var k aead.Key
	defer k.Wipe()
	initAEAD(&k, alg, &sub, len(s.bytes))
	out, err := k.Open(dst, s.nonce, s.bytes, ad)
	if err != nil {
		return nil, ErrNotAuthentic
	}
	return out, nil
}

// subKey derives the key of one ciphertext.
func subKey(sub *[KeySize]byte, key []byte, alg Algorithm, iv []byte) error {
	if len(key) != KeySize {
		return errors.New("dek: a key has 32 bytes")
	}
	switch alg {
	case AES256:
		kdf.HMAC(sub, (*[KeySize]byte)(key), string(iv))
		return nil
	case oldAES256:
		return oldSubKey(sub, key, iv)
	case ChaCha20:
		if fips140.Enforced() {
			return errors.New("dek: ChaCha20 is not allowed in FIPS 140-only mode")
		}
		b, err := chacha20.HChaCha20(key, iv)
		copy(sub[:], b)
		clear(b)
		return err
	}
	return errors.New("dek: unknown algorithm")
}

// initAEAD makes a sub-key ready for the AEAD of alg and one text of longest bytes at most.
func initAEAD(k *aead.Key, alg Algorithm, sub *[KeySize]byte, longest int) {
	c := aead.AES256GCM
	if alg == ChaCha20 {
		c = aead.ChaCha20Poly1305
	}
	k.InitUpTo(c, c.Best(), sub, longest)
}

// oldSubKey derives a sub-key as KES did before March 2020 (KES spec section
// 5.5): four blocks of AES over the counter and, by turns, the first and last
// 12 bytes of iv, added pairwise.
func oldSubKey(sub *[KeySize]byte, key, iv []byte) error {
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	var t [aes.BlockSize]byte
	for i := range 4 {
		binary.LittleEndian.PutUint32(t[:4], uint32(i))
		copy(t[4:], iv[4*(i%2):])
		block.Encrypt(t[:], t[:])
		half := sub[aes.BlockSize*(i/2):]
		for j := range t {
			half[j] ^= t[j]
		}
	}
	return nil
}
