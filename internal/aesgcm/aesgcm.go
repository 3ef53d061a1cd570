// Package aesgcm has AES-256-GCM (SP 800-38D) with 96-bit nonces for processors
// that have AES and carry-less multiplication, on vectors of 128, 256 or 512 bits.
//
// It is what package aead is made of, which see for the rules of its calls: sizes
// and overlaps are checked there, once for both ciphers.
package aesgcm

// Sizes in bytes.
const (
	KeySize   = 32
	NonceSize = 12
	TagSize   = 16
)
