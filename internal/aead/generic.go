package aead

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// newGeneric returns the AEAD of the standard library or of x/crypto. In FIPS
// 140-only mode Go's AES-GCM seals with nonces of its own only, so that what
// newGeneric returns then can open and not seal.
func newGeneric(c Cipher, key *[KeySize]byte) cipher.AEAD {
	if c == ChaCha20Poly1305 {
		return must(chacha20poly1305.New(key[:]))
	}
	block := must(aes.NewCipher(key[:]))
	if fips140.Enforced() {
		return nonceFirst{must(cipher.NewGCMWithRandomNonce(block))}
	}
	return must(cipher.NewGCM(block))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("aead: internal error: " + err.Error())
	}
	return v
}

// inputs are the small inputs of a package, which would escape to the heap for
// each package: the compiler cannot see what an interface does with them.
type inputs struct {
	nonce      [NonceSize]byte
	associated [4]byte
}

var inputPool = sync.Pool{New: func() any { return new(inputs) }}

func genericSealPackage(a cipher.AEAD, dst, src []byte, nonce *[NonceSize]byte, associated *[4]byte) {
	in := inputPool.Get().(*inputs)
	in.nonce, in.associated = *nonce, *associated
	a.Seal(dst[:0], in.nonce[:], src, in.associated[:])
	inputPool.Put(in)
}

func genericOpenPackage(a cipher.AEAD, dst, src []byte, nonce *[NonceSize]byte, associated *[4]byte) bool {
	in := inputPool.Get().(*inputs)
	in.nonce, in.associated = *nonce, *associated
	_, err := a.Open(dst[:0], in.nonce[:], src, in.associated[:])
	inputPool.Put(in)
	return err == nil
}

// nonceFirst is AES-256-GCM for opening in FIPS 140-only mode, where Go takes no
// nonce from a caller except in front of a ciphertext.
type nonceFirst struct{ cipher.AEAD }

func (g nonceFirst) Open(dst, nonce, ciphertext, associated []byte) ([]byte, error) {
	b := packagePool.Get().(*[NonceSize + maxPackage + TagSize]byte)
	defer packagePool.Put(b)
	in := append(append(b[:0], nonce...), ciphertext...)
	return g.AEAD.Open(dst, nil, in, associated)
}

var packagePool = sync.Pool{New: func() any { return new([NonceSize + maxPackage + TagSize]byte) }}
