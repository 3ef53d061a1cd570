//go:build !purego

package aesgcm

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

//go:generate go run -C _asm . ..

// Built tells whether this build has kernels. The processor may lack what they
// need: ask package cpu.
const Built = true

// Key is an expanded key.
//
// Everything here is constant-time: the assembly has no branch, no index and no
// address that depends on a key, a text or a tag, only on lengths and block counters.
// It uses instructions for AES and for carry-less products, which take the same time for
// all operands, where portable code would look up tables.
type Key struct {
	lanes  uint8 // how many blocks a vector of the kernel has
	short  bool  // for texts up to shortMessage
	shift  uint8 // where in memory the expanded key begins: at a cache line
	memory [unsafe.Sizeof(expanded{}) + cacheLine - 1]byte
}

const cacheLine = 64

// expanded is what the kernels read; of the powers only as many as they need are there.
// The generator in _asm knows its layout.
type expanded struct {
	powers    [36][16]byte // H^36 … H
	karatsuba [36][16]byte // for each of them the sum of its halves, twice
	rounds    [15][64]byte // round keys, each as many times as a vector has blocks, up to four
}

// expanded stays correct if k was moved, only not so fast.
func (k *Key) expanded() *expanded { return (*expanded)(unsafe.Pointer(&k.memory[k.shift])) }

// state is a message at work. Its blocks are words as they stand in memory.
type state struct {
	counter [2]uint64 // nonce and block counter
	hash    [2]uint64 // GHASH so far, its bytes reversed
	x       [2]uint64 // block hashed in front of the data
	lengths [2]uint64 // block hashed behind it
	mask    [2]uint64 // what hides the hash in the tag
	tag     [2]uint64
}

const (
	first = 1 // a call begins the message
	last  = 2 // a call ends it
)

//go:noescape
func expandAVX512(k *expanded, key *[KeySize]byte)

//go:noescape
func expandAVX512Short(k *expanded, key *[KeySize]byte)

//go:noescape
func expandAVX(k *expanded, key *[KeySize]byte)

//go:noescape
func expandAVX2(k *expanded, key *[KeySize]byte)

//go:noescape
func wipe(k *expanded)

//go:noescape
func hashBlocks(k *expanded, hash *[2]uint64, data *byte, blocks int)

//go:noescape
func sealAVX512(k *expanded, s *state, dst, src *byte, n, mode int)

//go:noescape
func openAVX512(k *expanded, s *state, dst, src *byte, n, mode int)

// The long kernels have a page of stack.
//
//go:noescape
func sealAVX512Long(k *expanded, s *state, dst, src *byte, n, mode int)

//go:noescape
func openAVX512Long(k *expanded, s *state, dst, src *byte, n, mode int)

//go:noescape
func authenticateAVX512(k *expanded, s *state, src *byte, n int)

//go:noescape
func sealAVX(k *expanded, s *state, dst, src *byte, n, mode int)

//go:noescape
func openAVX(k *expanded, s *state, dst, src *byte, n, mode int)

//go:noescape
func sealAVX2(k *expanded, s *state, dst, src *byte, n, mode int)

//go:noescape
func openAVX2(k *expanded, s *state, dst, src *byte, n, mode int)

// shortMessage is how many bytes of text a key that was expanded for short ones can seal
// or open: what is hashed then, with a block of associated data and one of lengths, has
// 8 blocks.
const shortMessage = 96

// Init expands key, for the kernel on vectors of that many blocks: 1, 2 or 4. No text that
// it seals or opens has more than longest bytes: with vectors of 4 blocks a key for short
// texts takes half of the time.
func (k *Key) Init(key *[KeySize]byte, lanes, longest int) {
	k.lanes = uint8(lanes)
	k.short = k.wide() && longest <= shortMessage
	k.shift = uint8(-uintptr(unsafe.Pointer(&k.memory)) % cacheLine)
	switch e := k.expanded(); {
	case k.short:
		expandAVX512Short(e, key)
	case k.wide():
		expandAVX512(e, key)
	case lanes == 2:
		expandAVX2(e, key)
	default:
		expandAVX(e, key)
	}
}

func (k *Key) wide() bool { return k.lanes == 4 }

// Wipe clears the key.
func (k *Key) Wipe() { wipe(k.expanded()) }

// SealPackage is Seal for the associated data of a package. It is one call of the
// kernel.
func (k *Key) SealPackage(dst, src []byte, nonce *[NonceSize]byte, associated *[4]byte) {
	var s state
	s.x[0] = uint64(binary.LittleEndian.Uint32(associated[:]))
	s.begin(nonce, len(associated), len(src))
	k.run(&s, dst, src, len(src), first|last, false)
	s.putTag(dst[len(src):])
}

// OpenPackage is Open for the associated data of a package.
func (k *Key) OpenPackage(dst, src []byte, nonce *[NonceSize]byte, associated *[4]byte) bool {
	var s state
	s.x[0] = uint64(binary.LittleEndian.Uint32(associated[:]))
	s.begin(nonce, len(associated), len(dst))
	k.run(&s, dst, src, len(dst), first|last, true)
	return s.tagIs(src[len(dst):])
}

// OpenPackagePart reports whether src, ciphertext and tag of a package, is authentic,
// and decrypts in place what is between from and to of it. What is plaintext then is
// what is between begin and end, which may be more.
func (k *Key) OpenPackagePart(src []byte, nonce *[NonceSize]byte, associated *[4]byte, from, to int) (begin, end int, ok bool) {
	n := len(src) - TagSize
	if !k.wide() || n < authenticateFrom || 4*(to-from) > n {
		return 0, n, k.OpenPackage(src[:n], src, nonce, associated)
	}
	var s state
	s.x[0] = uint64(binary.LittleEndian.Uint32(associated[:]))
	s.begin(nonce, len(associated), n)
	authenticateAVX512(k.expanded(), &s, unsafe.SliceData(src), n)
	if ok = s.tagIs(src[n:]); !ok || from == to {
		return from, to, ok
	}
	// A call begins where a group does, in front of which the message has two blocks.
	s = state{}
	s.begin(nonce, 0, 0)
	mode := last
	if begin = (from+32)/512*512 - 32; begin < 0 {
		begin, mode = 0, first|last
	} else {
		s.skip(uint32(begin+32) / 16)
	}
	k.run(&s, src[begin:], src[begin:], to-begin, mode, true)
	s.tag = [2]uint64{} // that of a part without the mask tells of the key
	return begin, to, true
}

// authenticateFrom is from how many bytes on it pays to decrypt a part alone.
const authenticateFrom = 4 << 10

// Seal encrypts src to dst and puts the tag behind it.
func (k *Key) Seal(dst, src []byte, nonce *[NonceSize]byte, associated []byte) {
	var s state
	k.hashAssociated(&s, associated)
	s.begin(nonce, len(associated), len(src))
	k.pieces(&s, dst, src, len(src), false)
	s.putTag(dst[len(src):])
}

// Open decrypts src to dst and reports whether src is authentic.
func (k *Key) Open(dst, src []byte, nonce *[NonceSize]byte, associated []byte) bool {
	var s state
	k.hashAssociated(&s, associated)
	s.begin(nonce, len(associated), len(dst))
	k.pieces(&s, dst, src, len(dst), true)
	return s.tagIs(src[len(dst):])
}

// hashAssociated leaves to the kernel the last block of the associated data.
func (k *Key) hashAssociated(s *state, associated []byte) {
	if n := (len(associated) - 1) / 16; len(associated) > 16 {
		hashBlocks(k.expanded(), &s.x, unsafe.SliceData(associated), n)
		associated = associated[16*n:]
	}
	for i, b := range associated {
		s.x[i/8] ^= uint64(b) << (i % 8 * 8)
	}
}

func (s *state) begin(nonce *[NonceSize]byte, associated, text int) {
	s.counter[0] = binary.LittleEndian.Uint64(nonce[:])
	s.counter[1] = uint64(binary.LittleEndian.Uint32(nonce[8:]))
	s.lengths[0] = bits.ReverseBytes64(uint64(associated) * 8)
	s.lengths[1] = bits.ReverseBytes64(uint64(text) * 8)
}

// skip moves the counter n blocks on.
func (s *state) skip(n uint32) {
	block := bits.ReverseBytes32(uint32(s.counter[1] >> 32))
	s.counter[1] = s.counter[1]&(1<<32-1) | uint64(bits.ReverseBytes32(block+n))<<32
}

func (s *state) putTag(dst []byte) {
	binary.LittleEndian.PutUint64(dst, s.tag[0])
	binary.LittleEndian.PutUint64(dst[8:], s.tag[1])
}

// tagIs compares in constant time.
func (s *state) tagIs(tag []byte) bool {
	low := s.tag[0] ^ binary.LittleEndian.Uint64(tag)
	high := s.tag[1] ^ binary.LittleEndian.Uint64(tag[8:])
	return low|high == 0
}

// piece is how many bytes one call of a kernel takes, as the scheduler cannot
// interrupt assembly. Every call but the last one takes whole groups of blocks;
// to the wide kernel the two blocks in front of the data are part of a group.
const piece = 64 << 10

// pieces seals or opens n bytes of text.
func (k *Key) pieces(s *state, dst, src []byte, n int, open bool) {
	m, mode := piece, first
	if k.wide() {
		m -= 32
	}
	for n > piece {
		k.run(s, dst, src, m, mode, open)
		s.skip(piece / 16)
		dst, src, n = dst[m:], src[m:], n-m
		m, mode = piece, 0
	}
	k.run(s, dst, src, n, mode|last, open)
}

// longFrom is from how many bytes on a long kernel is the faster one: it begins with a
// table, which it clears in the end. It needs 2 KiB to work at all, and a block counter
// whose last byte is 0.
const longFrom = 16 << 10

// run calls the kernel for n bytes.
func (k *Key) run(s *state, dst, src []byte, n, mode int, open bool) {
	if k.short && n > shortMessage {
		panic("aesgcm: internal error: the key was expanded for short messages")
	}
	e, out, in := k.expanded(), unsafe.SliceData(dst), unsafe.SliceData(src)
	long := k.wide() && n >= longFrom && byte(s.counter[1]>>56) == 0
	switch {
	case long && open:
		openAVX512Long(e, s, out, in, n, mode)
	case long:
		sealAVX512Long(e, s, out, in, n, mode)
	case k.wide() && open:
		openAVX512(e, s, out, in, n, mode)
	case k.wide():
		sealAVX512(e, s, out, in, n, mode)
	case k.lanes == 2 && open:
		openAVX2(e, s, out, in, n, mode)
	case k.lanes == 2:
		sealAVX2(e, s, out, in, n, mode)
	case open:
		openAVX(e, s, out, in, n, mode)
	default:
		sealAVX(e, s, out, in, n, mode)
	}
}
