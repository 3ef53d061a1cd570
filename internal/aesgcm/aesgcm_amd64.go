//go:build !purego

package aesgcm

import (
	"encoding/binary"
	"unsafe"
)

//go:generate go run -C _asm . ..

// Built tells whether this build has kernels. The processor may lack what they
// need: ask package cpu.
const Built = true

// Key is an expanded key. The generator in _asm knows its layout.
//
// Everything here is constant-time: the assembly has no branch, no index and no
// address that depends on a key, a text or a tag, only on lengths. It uses
// instructions for AES and for carry-less products, which take the same time for
// all operands, where portable code would look up tables.
type Key struct {
	powers    [32][16]byte // H^32 … H
	karatsuba [32][16]byte // for each of them the sum of its halves, twice
	rounds    [15][64]byte // round keys, each four times
	wide      bool
}

// state is a message at work.
type state struct {
	counter [16]byte // nonce and block counter
	hash    [16]byte // GHASH so far, its bytes reversed
	x       [16]byte // block hashed in front of the data
	lengths [16]byte // block hashed behind it
	mask    [16]byte // what hides the hash in the tag
	tag     [16]byte
}

const (
	first = 1 // a call begins the message
	last  = 2 // a call ends it
)

//go:noescape
func expand(k *Key, key *[32]byte)

//go:noescape
func hashBlocks(k *Key, hash *[16]byte, data *byte, blocks int)

//go:noescape
func sealAVX512(k *Key, s *state, dst, src *byte, n, mode int)

//go:noescape
func openAVX512(k *Key, s *state, dst, src *byte, n, mode int)

//go:noescape
func sealAVX2(k *Key, s *state, dst, src *byte, n, mode int)

//go:noescape
func openAVX2(k *Key, s *state, dst, src *byte, n, mode int)

// Init expands key, for the kernel on 512-bit vectors if wide, else for that on
// 256-bit ones.
func (k *Key) Init(key *[KeySize]byte, wide bool) {
	expand(k, key)
	k.wide = wide
}

// Wipe clears the key.
func (k *Key) Wipe() { *k = Key{} }

// SealPackage is Seal for the associated data of a package. It is one call of the
// kernel.
func (k *Key) SealPackage(dst, src []byte, nonce *[NonceSize]byte, associated *[4]byte) {
	var s state
	copy(s.x[:], associated[:])
	k.begin(&s, nonce, len(associated), len(src))
	k.run(&s, dst, src, len(src), first|last, false)
	*(*[TagSize]byte)(dst[len(src):]) = s.tag
}

// OpenPackage is Open for the associated data of a package.
func (k *Key) OpenPackage(dst, src []byte, nonce *[NonceSize]byte, associated *[4]byte) bool {
	var s state
	copy(s.x[:], associated[:])
	k.begin(&s, nonce, len(associated), len(dst))
	k.run(&s, dst, src, len(dst), first|last, true)
	return equal(&s.tag, (*[TagSize]byte)(src[len(dst):]))
}

// Seal encrypts src to dst and puts the tag behind it.
func (k *Key) Seal(dst, src []byte, nonce *[NonceSize]byte, associated []byte) {
	var s state
	k.hashAssociated(&s, associated)
	k.begin(&s, nonce, len(associated), len(src))
	k.pieces(&s, dst, src, len(src), false)
	*(*[TagSize]byte)(dst[len(src):]) = s.tag
}

// Open decrypts src to dst and reports whether src is authentic.
func (k *Key) Open(dst, src []byte, nonce *[NonceSize]byte, associated []byte) bool {
	var s state
	k.hashAssociated(&s, associated)
	k.begin(&s, nonce, len(associated), len(dst))
	k.pieces(&s, dst, src, len(dst), true)
	return equal(&s.tag, (*[TagSize]byte)(src[len(dst):]))
}

// hashAssociated leaves to the kernel the last block of the associated data.
func (k *Key) hashAssociated(s *state, associated []byte) {
	if n := (len(associated) - 1) / 16; len(associated) > 16 {
		hashBlocks(k, &s.x, unsafe.SliceData(associated), n)
		associated = associated[16*n:]
	}
	for i, b := range associated {
		s.x[i] ^= b
	}
}

func (k *Key) begin(s *state, nonce *[NonceSize]byte, associated, text int) {
	*(*[NonceSize]byte)(s.counter[:]) = *nonce
	binary.BigEndian.PutUint64(s.lengths[:], uint64(associated)*8)
	binary.BigEndian.PutUint64(s.lengths[8:], uint64(text)*8)
}

// piece is how many bytes one call of a kernel takes, as the scheduler cannot
// interrupt assembly. Every call but the last one takes whole groups of blocks;
// to the wide kernel the two blocks in front of the data are part of a group.
const piece = 64 << 10

// pieces seals or opens n bytes of text.
func (k *Key) pieces(s *state, dst, src []byte, n int, open bool) {
	m, mode := piece, first
	if k.wide {
		m -= 32
	}
	for n > piece {
		k.run(s, dst, src, m, mode, open)
		block := binary.BigEndian.Uint32(s.counter[NonceSize:])
		binary.BigEndian.PutUint32(s.counter[NonceSize:], block+piece/16)
		dst, src, n = dst[m:], src[m:], n-m
		m, mode = piece, 0
	}
	k.run(s, dst, src, n, mode|last, open)
}

// run calls the kernel for n bytes.
func (k *Key) run(s *state, dst, src []byte, n, mode int, open bool) {
	out, in := unsafe.SliceData(dst), unsafe.SliceData(src)
	switch {
	case k.wide && open:
		openAVX512(k, s, out, in, n, mode)
	case k.wide:
		sealAVX512(k, s, out, in, n, mode)
	case open:
		openAVX2(k, s, out, in, n, mode)
	default:
		sealAVX2(k, s, out, in, n, mode)
	}
}

// equal compares in constant time.
func equal(a, b *[TagSize]byte) bool {
	low := binary.NativeEndian.Uint64(a[:]) ^ binary.NativeEndian.Uint64(b[:])
	high := binary.NativeEndian.Uint64(a[8:]) ^ binary.NativeEndian.Uint64(b[8:])
	return low|high == 0
}
