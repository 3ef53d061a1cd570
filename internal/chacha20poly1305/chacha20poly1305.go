// Package chacha20poly1305 has ChaCha20-Poly1305 (RFC 8439) for processors with
// 512-bit vectors and 52-bit integer multiply-add (AVX512IFMA).
//
// It is what package aead is made of, which see for the rules of its calls: sizes
// and overlaps are checked there, once for both ciphers.
package chacha20poly1305

// Sizes in bytes.
const (
	KeySize   = 32
	NonceSize = 12
	TagSize   = 16
)
