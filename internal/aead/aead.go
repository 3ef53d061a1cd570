// Package aead has the two ciphers of a stream, AES-256-GCM (SP 800-38D) and
// ChaCha20-Poly1305 (RFC 8439), both with 256-bit keys, 96-bit nonces and
// 128-bit tags, as fast as the processor allows.
//
// A [Key] is an expanded key that lives where its owner wants it, without an
// allocation. [Key.SealPackage] and [Key.OpenPackage] are what the package is
// for: one DARE package in one pass. [Key.Seal] and [Key.Open] make a Key a
// [crypto/cipher.AEAD].
//
// Each cipher has several kernels: Generic is that of crypto/cipher and
// golang.org/x/crypto and exists everywhere, the others are in packages aesgcm
// and chacha20poly1305. [Cipher.Best] chooses; in Go's FIPS 140-3 mode and with
// the tag purego that is Generic.
package aead

import (
	"crypto/cipher"
	"crypto/fips140"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/objseal/objseal/internal/aesgcm"
	"github.com/objseal/objseal/internal/chacha20poly1305"
	"github.com/objseal/objseal/internal/cpu"
	"github.com/objseal/objseal/internal/overlap"
)

// Sizes in bytes, of both ciphers.
const (
	KeySize   = 32
	NonceSize = 12
	TagSize   = 16
)

// A Cipher is what a package header calls it (DARE section 1).
type Cipher uint8

const (
	AES256GCM Cipher = iota
	ChaCha20Poly1305
)

// Ciphers are all of them.
var Ciphers = []Cipher{AES256GCM, ChaCha20Poly1305}

func (c Cipher) String() string {
	switch c {
	case AES256GCM:
		return "AES-256-GCM"
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	}
	return fmt.Sprintf("Cipher(%d)", uint8(c))
}

// A Kernel is an implementation of a cipher.
type Kernel uint8

const (
	Generic Kernel = iota // crypto/cipher, golang.org/x/crypto
	AVX                   // 128-bit vectors: AES-NI and PCLMULQDQ
	AVX2                  // 256-bit vectors: VAES and VPCLMULQDQ
	AVX512                // 512-bit vectors: VAES and VPCLMULQDQ, or IFMA for Poly1305
)

func (k Kernel) String() string {
	switch k {
	case Generic:
		return "generic"
	case AVX:
		return "avx"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	}
	return fmt.Sprintf("Kernel(%d)", uint8(k))
}

// lanes is how many blocks of AES a vector has.
func (k Kernel) lanes() int {
	switch k {
	case AVX512:
		return 4
	case AVX2:
		return 2
	}
	return 1
}

// Kernels returns all kernels of c, the slowest first, available or not.
func (c Cipher) Kernels() []Kernel {
	if c == AES256GCM {
		return []Kernel{Generic, AVX, AVX2, AVX512}
	}
	return []Kernel{Generic, AVX512}
}

// Available reports whether the processor, the build and the mode of the
// process allow a kernel of c.
func (c Cipher) Available(k Kernel) bool {
	switch {
	case k == Generic:
		return true
	case fips140.Enabled():
		return false
	case c == AES256GCM && k == AVX:
		return aesgcm.Built && cpu.Has(cpu.AVX)
	case c == AES256GCM && k == AVX2:
		return aesgcm.Built && cpu.Has(cpu.AVX2)
	case c == AES256GCM && k == AVX512:
		return aesgcm.Built && cpu.Has(cpu.AVX512)
	case c == ChaCha20Poly1305 && k == AVX512:
		return chacha20poly1305.Built && cpu.Has(cpu.IFMA)
	}
	return false
}

// Best returns the fastest kernel of c that is available.
func (c Cipher) Best() Kernel {
	switch {
	case c.Available(AVX512):
		return AVX512
	case c.Available(AVX2):
		return AVX2
	case c.Available(AVX):
		return AVX
	}
	return Generic
}

// ErrOpen: a message is not authentic.
var ErrOpen = errors.New("aead: message authentication failed")

// A Key is an expanded key for one cipher. It may be used by several goroutines
// at once. It takes more than 2 KiB: keep it where it is and pass its address.
// Nobody may write to the input of a call while that runs: ciphertext is read to be
// authenticated and once more to be decrypted, by crypto/cipher as by our kernels.
// It holds secrets, so keep it behind two pointers in whatever package fmt could
// be given (package fmt follows one for some verbs, in unexported fields too).
type Key struct {
	gcm    aesgcm.Key
	chacha chacha20poly1305.Key
	std    cipher.AEAD // of Generic, else nil
	cipher Cipher
	kernel Kernel
}

// Init expands key for a kernel of c, which must be available.
func (k *Key) Init(c Cipher, kernel Kernel, key *[KeySize]byte) {
	k.InitUpTo(c, kernel, key, math.MaxInt)
}

// InitUpTo is Init for a key whose texts have longest bytes at most. It is faster where
// these are short, as keys and digests are. A longer text may panic.
func (k *Key) InitUpTo(c Cipher, kernel Kernel, key *[KeySize]byte, longest int) {
	k.cipher, k.kernel = c, kernel
	switch {
	case kernel == Generic:
		k.std = newGeneric(c, key)
	case c == AES256GCM:
		k.gcm.Init(key, kernel.lanes(), longest)
	default:
		k.chacha.Init(key)
	}
}

// Wipe clears the key, which must be initialised again before it is used. What
// the standard library keeps cannot be cleared and is left to the collector.
func (k *Key) Wipe() {
	switch {
	case k.kernel == Generic:
		k.std = nil
	case k.cipher == AES256GCM:
		k.gcm.Wipe()
	default:
		k.chacha.Wipe()
	}
}

// Kernel returns the kernel that k was initialised for.
func (k *Key) Kernel() Kernel { return k.kernel }

// SealPackage encrypts src and puts ciphertext and tag to dst, which has
// len(src)+TagSize bytes. src has 64 KiB at most. The two do not share memory,
// or dst begins where src does.
func (k *Key) SealPackage(dst, src []byte, nonce *[NonceSize]byte, associated *[4]byte) {
	check(len(dst) == len(src)+TagSize && len(src) <= maxPackage && !overlap.Inexact(dst, src))
	switch {
	case k.kernel == Generic:
		genericSealPackage(k.std, dst, src, nonce, associated)
	case k.cipher == AES256GCM:
		k.gcm.SealPackage(dst, src, nonce, associated)
	default:
		k.chacha.Seal(dst, src, nonce, associated[:])
	}
}

// OpenPackage authenticates src, ciphertext and tag, and decrypts it to dst,
// which has len(src)-TagSize bytes. It reports whether src is authentic; if
// not, dst is cleared. The two share memory as for SealPackage.
func (k *Key) OpenPackage(dst, src []byte, nonce *[NonceSize]byte, associated *[4]byte) (ok bool) {
	check(len(src) == len(dst)+TagSize && len(dst) <= maxPackage && !overlap.Inexact(dst, src))
	switch {
	case k.kernel == Generic:
		ok = genericOpenPackage(k.std, dst, src, nonce, associated)
	case k.cipher == AES256GCM:
		ok = k.gcm.OpenPackage(dst, src, nonce, associated)
	default:
		ok = k.chacha.Open(dst, src, nonce, associated[:])
	}
	if !ok {
		clear(dst)
	}
	return ok
}

// OpenPackagePart authenticates src, ciphertext and tag of a package, all of it, and
// decrypts in place what is between from and to. What is plaintext then is what is
// between begin and end, which may be more; the rest is as it was. It reports whether
// src is authentic; if not, src is cleared but for the tag.
func (k *Key) OpenPackagePart(src []byte, nonce *[NonceSize]byte, associated *[4]byte, from, to int) (begin, end int, ok bool) {
	n := len(src) - TagSize
	check(n >= 0 && n <= maxPackage && 0 <= from && from <= to && to <= n)
	if k.kernel == Generic || k.cipher != AES256GCM { // these have nothing that only hashes at their speed
		return 0, n, k.OpenPackage(src[:n], src, nonce, associated)
	}
	if begin, end, ok = k.gcm.OpenPackagePart(src, nonce, associated, from, to); !ok {
		clear(src[:n])
	}
	return begin, end, ok
}

// NonceSize implements cipher.AEAD.
func (k *Key) NonceSize() int { return NonceSize }

// Overhead implements cipher.AEAD.
func (k *Key) Overhead() int { return TagSize }

// Seal implements cipher.AEAD.
func (k *Key) Seal(dst, nonce, plaintext, associated []byte) []byte {
	if k.kernel == Generic {
		return k.std.Seal(dst, nonce, plaintext, associated)
	}
	check(len(nonce) == NonceSize && uint64(len(plaintext)) <= maxMessage)
	n := len(dst)
	dst = slices.Grow(dst, len(plaintext)+TagSize)[:n+len(plaintext)+TagSize]
	check(!overlap.Inexact(dst[n:], plaintext) && !overlap.Any(dst[n:], associated))
	if k.cipher == AES256GCM {
		k.gcm.Seal(dst[n:], plaintext, (*[NonceSize]byte)(nonce), associated)
	} else {
		k.chacha.Seal(dst[n:], plaintext, (*[NonceSize]byte)(nonce), associated)
	}
	return dst
}

// Open implements cipher.AEAD. It fails with ErrOpen.
func (k *Key) Open(dst, nonce, ciphertext, associated []byte) ([]byte, error) {
	if k.kernel == Generic {
		b, err := k.std.Open(dst, nonce, ciphertext, associated)
		if err != nil {
			return nil, ErrOpen
		}
		return b, nil
	}
	check(len(nonce) == NonceSize)
	if len(ciphertext) < TagSize || uint64(len(ciphertext)) > maxMessage+TagSize {
		return nil, ErrOpen
	}
	n, size := len(dst), len(ciphertext)-TagSize
	dst = slices.Grow(dst, size)[:n+size]
	check(!overlap.Inexact(dst[n:], ciphertext) && !overlap.Any(dst[n:], associated))
	var ok bool
	if k.cipher == AES256GCM {
		ok = k.gcm.Open(dst[n:], ciphertext, (*[NonceSize]byte)(nonce), associated)
	} else {
		ok = k.chacha.Open(dst[n:], ciphertext, (*[NonceSize]byte)(nonce), associated)
	}
	if !ok {
		clear(dst[n:])
		return nil, ErrOpen
	}
	return dst, nil
}

const (
	maxPackage = 1 << 16
	maxMessage = (1<<32 - 2) * 16 // SP 800-38D, 5.2.1.1; RFC 8439 allows four times that
)

// check panics where a caller broke the contract. No input leads there.
func check(ok bool) {
	if !ok {
		panic("aead: internal error: wrong sizes, or buffers overlap")
	}
}
