//go:build amd64 && !purego

package chacha20poly1305

import (
	"crypto/subtle"
	"unsafe"
)

// The tool is a module of its own, so that what it is written with is not
// among the requirements of this one.
//go:generate go run -C _asm . -out ../chacha20poly1305_amd64.s

// Built tells whether this build has kernels. The processor may lack what they
// need: ask package cpu.
const Built = true

// Key is a key. Poly1305 has a new one in each message, so there is nothing to
// expand.
type Key struct{ key [KeySize]byte }

// Init sets the key.
func (k *Key) Init(key *[KeySize]byte) { k.key = *key }

// Wipe clears the key.
func (k *Key) Wipe() { clear(k.key[:]) }

// Seal encrypts src and puts ciphertext and tag to dst.
func (k *Key) Seal(dst, src []byte, nonce *[NonceSize]byte, associated []byte) {
	var s state
	s.run(&k.key, nonce, dst[:len(src)], src, associated)
	copy(dst[len(src):], s.tag[:])
}

// Open decrypts src to dst and reports whether it is authentic. If not, what is
// in dst must not be used.
func (k *Key) Open(dst, src []byte, nonce *[NonceSize]byte, associated []byte) bool {
	s := state{open: true}
	s.run(&k.key, nonce, dst, src[:len(dst)], associated)
	ok := subtle.ConstantTimeCompare(s.tag[:], src[len(dst):]) == 1
	clear(s.tag[:]) // of a forgery it is the tag that would be right
	return ok
}

// state is what crypt carries from one piece of a message to the next. The
// assembly knows the offsets of its fields. It clears r, s and h with the last
// piece.
type state struct {
	r, s    [2]uint64 // one-time key of Poly1305, r clamped, once started
	h       [3]uint64 // accumulator of Poly1305
	lengths [2]uint64 // of associated data and message
	tag     [TagSize]byte
	counter uint32 // block counter of the next byte
	started bool
	open    bool
	last    bool // the message ends with this piece
}

// piece is the most that one call of the assembly, which the scheduler cannot
// interrupt, takes of a message or of associated data: some microseconds. It is
// a multiple of 2048, as every piece but the last must be.
const piece = 64 << 10

// run seals or opens a message, dst and src having the same length, and leaves
// the tag that it should have.
func (s *state) run(key *[KeySize]byte, nonce *[NonceSize]byte, dst, src, associated []byte) {
	s.lengths = [2]uint64{uint64(len(associated)), uint64(len(src))}
	s.counter = 1
	for len(associated) > piece {
		crypt(key, nonce, s, nil, nil, 0, unsafe.SliceData(associated), piece)
		associated = associated[piece:]
	}
	for len(src) > piece {
		crypt(key, nonce, s, unsafe.SliceData(dst), unsafe.SliceData(src), piece, unsafe.SliceData(associated), len(associated))
		dst, src, associated = dst[piece:], src[piece:], nil
	}
	s.last = true
	crypt(key, nonce, s, unsafe.SliceData(dst), unsafe.SliceData(src), len(src), unsafe.SliceData(associated), len(associated))
}

// crypt adds adLen bytes to what is authenticated, and then seals or opens n bytes
// of a message. n is a multiple of 2048 but in the last piece, and adLen of 16 but
// in the last piece of associated data, none of which comes after the first byte
// of the message. It needs what cpu.IFMA stands for. It is constant time by
// construction: branches and addresses depend on lengths, pointers and flags
// only. It leaves no secret in a register or in its frame.
//
//go:noescape
func crypt(key *[32]byte, nonce *[12]byte, s *state, dst, src *byte, n int, ad *byte, adLen int)
