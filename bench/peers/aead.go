package peers

import (
	"crypto/aes"
	"crypto/cipher"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/objseal/objseal/internal/aead"
)

// An AEAD is an implementation of single messages of a package's shape: 12 bytes
// of nonce, 4 of associated data.
type AEAD struct {
	Name    string
	Ciphers []aead.Cipher
	Missing func(aead.Cipher) string // as in Stream
	New     func(c aead.Cipher, key *[KeySize]byte) Sealer
}

// A Sealer seals and opens messages under one key. The destination has the
// exact length; Open reports whether the message was authentic.
type Sealer struct {
	Seal func(dst, plain []byte)
	Open func(dst, sealed []byte) bool
	Tag  int // bytes that Seal adds
}

// AEADs are all implementations of single messages.
var AEADs = []AEAD{
	{Name: "objseal-fused", Ciphers: aead.Ciphers, New: newFused},
	{Name: "objseal", Ciphers: aead.Ciphers, New: kernel(aead.Cipher.Best)},
	{Name: "objseal-generic", Ciphers: aead.Ciphers, New: kernel(func(aead.Cipher) aead.Kernel { return aead.Generic })},
	{Name: "objseal-avx", Ciphers: aesOnly, Missing: missing(aead.AVX), New: kernel(func(aead.Cipher) aead.Kernel { return aead.AVX })},
	{Name: "objseal-avx2", Ciphers: aesOnly, Missing: missing(aead.AVX2), New: kernel(func(aead.Cipher) aead.Kernel { return aead.AVX2 })},
	{Name: "cipher", Ciphers: aead.Ciphers, New: newStd},
	{Name: "memcpy", Ciphers: aead.Ciphers, New: func(aead.Cipher, *[KeySize]byte) Sealer {
		return Sealer{
			Seal: func(dst, plain []byte) { copy(dst, plain) },
			Open: func(dst, sealed []byte) bool { return copy(dst, sealed) == len(dst) },
		}
	}},
}

func newFused(c aead.Cipher, key *[KeySize]byte) Sealer {
	k := new(aead.Key)
	k.Init(c, c.Best(), key)
	nonce, associated := new([aead.NonceSize]byte), new([4]byte)
	return Sealer{
		Seal: func(dst, plain []byte) { k.SealPackage(dst, plain, nonce, associated) },
		Open: func(dst, sealed []byte) bool { return k.OpenPackage(dst, sealed, nonce, associated) },
		Tag:  aead.TagSize,
	}
}

// kernel returns an AEAD.New for a kernel of aead, through the interface of
// crypto/cipher.
func kernel(choose func(aead.Cipher) aead.Kernel) func(aead.Cipher, *[KeySize]byte) Sealer {
	return func(c aead.Cipher, key *[KeySize]byte) Sealer {
		k := new(aead.Key)
		k.Init(c, choose(c), key)
		return throughInterface(k)
	}
}

func newStd(c aead.Cipher, key *[KeySize]byte) Sealer {
	a, err := stdAEAD(c, key)
	if err != nil {
		panic("peers: internal error: " + err.Error())
	}
	return throughInterface(a)
}

func throughInterface(a cipher.AEAD) Sealer {
	nonce, associated := make([]byte, a.NonceSize()), make([]byte, 4)
	return Sealer{
		Seal: func(dst, plain []byte) { a.Seal(dst[:0], nonce, plain, associated) },
		Open: func(dst, sealed []byte) bool {
			_, err := a.Open(dst[:0], nonce, sealed, associated)
			return err == nil
		},
		Tag: a.Overhead(),
	}
}

// stdAEAD returns the cipher of the standard library or of x/crypto.
func stdAEAD(c aead.Cipher, key *[KeySize]byte) (cipher.AEAD, error) {
	if c == aead.ChaCha20Poly1305 {
		return chacha20poly1305.New(key[:])
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
