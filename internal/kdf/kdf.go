// Package kdf derives keys from keys: HMAC-SHA256 (RFC 2104, FIPS 198-1) over a
// short message.
//
// [HMAC] computes what crypto/hmac does, in half of the time and without an
// allocation. Each object takes three, which is a large part of what sealing or
// opening a small one costs. In Go's FIPS 140-3 mode it is crypto/hmac, as the
// module counts only its own HMAC as approved.
package kdf

import (
	"bytes"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
)

// Size is the length of a key and of what is derived from it, in bytes.
const Size = sha256.Size

// What the key is combined with, for the two runs of the hash.
var (
	innerPad = [sha256.BlockSize]byte(bytes.Repeat([]byte{0x36}, sha256.BlockSize))
	outerPad = [sha256.BlockSize]byte(bytes.Repeat([]byte{0x5c}, sha256.BlockSize))
)

// HMAC sets derived to the HMAC-SHA256 under key over the concatenation of parts.
func HMAC(derived, key *[Size]byte, parts ...string) {
	if fips140.Enabled() {
		approved(derived, key, parts)
		return
	}
	var room [192]byte // a longer message goes to the heap
	message := room[:0]
	for _, p := range parts {
		message = append(message, p...)
	}
	var block [sha256.BlockSize + Size]byte
	defer clear(block[:])
	pad := block[:sha256.BlockSize]
	copy(pad, innerPad[:])
	subtle.XORBytes(pad, key[:], pad)
	h := sha256.New()
	h.Write(pad)
	h.Write(message)
	h.Sum(pad)
	copy(pad, outerPad[:])
	subtle.XORBytes(pad, key[:], pad)
	*derived = sha256.Sum256(block[:])
}

func approved(derived, key *[Size]byte, parts []string) {
	h := hmac.New(sha256.New, key[:])
	for _, p := range parts {
		h.Write([]byte(p))
	}
	copy(derived[:], h.Sum(nil))
}
