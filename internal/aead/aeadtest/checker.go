package aeadtest

import (
	"bytes"
	"crypto/cipher"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"unsafe"

	"github.com/objseal/objseal/internal/aead"
)

const maxPackage = 1 << 16

// checker is one run of a check.
type checker struct {
	impl     Implementation
	rng      *rand.Rand
	cases    int
	failures []string

	// Buffers that are used again for every case.
	src, dst, assoc arena
	sealed          []byte
}

// enough is what failf ends a check with.
var enough any = new(byte)

func (r *checker) failf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
	if len(r.failures) == 5 {
		panic(enough)
	}
}

func (r *checker) bytes(n int) []byte {
	b := make([]byte, n)
	r.fill(b)
	return b
}

// fill makes b random: at a random place of a long random text, as every byte
// from the generator would cost more than sealing it.
func (r *checker) fill(b []byte) {
	for len(b) > 0 {
		b = b[copy(b, text[r.rng.IntN(1<<16):]):]
	}
}

var text = func() []byte {
	b := make([]byte, 1<<18)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}()

// A pair is the same key, expanded by the subject and by the reference.
type pair struct {
	Subject
	reference cipher.AEAD
}

func (r *checker) pair(key *[aead.KeySize]byte) *pair { return r.pairUpTo(key, math.MaxInt) }

func (r *checker) pairUpTo(key *[aead.KeySize]byte, longest int) *pair {
	return &pair{r.impl.New(key, longest), r.impl.Reference(key)}
}

func (r *checker) randomPair() *pair {
	return r.pair((*[aead.KeySize]byte)(r.bytes(aead.KeySize)))
}

// An entry is a pair of calls that seal and open.
type entry struct {
	name string
	// seal writes to dst, which has n bytes in front that must stay. It returns the
	// message with these bytes.
	seal func(k *pair, dst []byte, n int, nonce, plain, associated []byte) []byte
	// open is the opposite.
	open func(k *pair, dst []byte, n int, nonce, sealed, associated []byte) ([]byte, bool)
	fits func(plain, associated int) bool
}

var entries = []entry{{
	name: "Seal/Open",
	seal: func(k *pair, dst []byte, n int, nonce, plain, associated []byte) []byte {
		return k.Seal(dst[:n], nonce, plain, associated)
	},
	open: func(k *pair, dst []byte, n int, nonce, sealed, associated []byte) ([]byte, bool) {
		b, err := k.Open(dst[:n], nonce, sealed, associated)
		return b, err == nil
	},
	fits: func(int, int) bool { return true },
}, {
	name: "SealPackage/OpenPackage",
	seal: func(k *pair, dst []byte, n int, nonce, plain, associated []byte) []byte {
		k.SealPackage(dst[n:], plain, (*[aead.NonceSize]byte)(nonce), (*[4]byte)(associated))
		return dst
	},
	open: func(k *pair, dst []byte, n int, nonce, sealed, associated []byte) ([]byte, bool) {
		ok := k.OpenPackage(dst[n:], sealed, (*[aead.NonceSize]byte)(nonce), (*[4]byte)(associated))
		return dst, ok
	},
	fits: func(plain, associated int) bool { return plain <= maxPackage && associated == 4 },
}}

// caught calls f and returns what it panics with, if it does. An access to
// memory that is not there is a panic too.
func caught(f func()) (v any) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { v = recover() }()
	f()
	return nil
}

const (
	poison = 0xee // what a buffer holds before it is written to
	canary = 0xc5 // what lies around it

	// margin is how much of that there is: more than a kernel works on at once.
	margin = 2048
)

// An arena holds one buffer at a time, between canaries.
type arena struct {
	mem  []byte // begins at a multiple of 64
	from int    // where the buffer begins
	size int
}

var (
	poisons  = bytes.Repeat([]byte{poison}, 1<<21)
	canaries = bytes.Repeat([]byte{canary}, margin+64)
	zeros    = make([]byte, 1<<21)
)

// place returns a new buffer of n poisoned bytes, at a distance of align from a
// multiple of 64. Its capacity reaches into the canaries behind it.
func (a *arena) place(align, n int) []byte {
	need := 2*margin + 64 + n
	if len(a.mem) < need {
		a.mem = make([]byte, need+64+need/2)
		skip := -int(uintptr(unsafe.Pointer(&a.mem[0]))) & 63
		a.mem = a.mem[skip:]
	}
	a.from, a.size = margin+align, n
	copy(a.mem, canaries[:a.from])
	copy(a.mem[a.from:a.from+n], poisons)
	copy(a.mem[a.from+n:], canaries[:margin])
	return a.mem[a.from : a.from+n]
}

// intact reports whether the canaries live.
func (a *arena) intact() bool {
	return bytes.Equal(a.mem[:a.from], canaries[:a.from]) &&
		bytes.Equal(a.mem[a.from+a.size:][:margin], canaries[:margin])
}

// A shape tells where the buffers of a call lie.
type shape struct {
	src, dst, associated int  // from a multiple of 64
	before               int  // bytes that dst has in front, which Seal and Open append to
	inPlace              bool // the input is where the output goes
}

func (s shape) String() string {
	if s.inPlace {
		return fmt.Sprintf("in place at %d+%d, associated data at %d", s.dst, s.before, s.associated)
	}
	return fmt.Sprintf("from %d to %d+%d, associated data at %d", s.src, s.dst, s.before, s.associated)
}

// anyShapes returns two random shapes, the second in place.
func (r *checker) anyShapes() [2]shape {
	n := r.rng.IntN
	return [2]shape{
		{src: n(64), dst: n(64), associated: n(64), before: n(3) * n(20)},
		{dst: n(64), associated: n(64), before: n(3) * n(20), inPlace: true},
	}
}

// exchange seals plain and opens it again, through every entry that it fits.
// Both must be what the reference makes of it, and nothing else may change.
func (r *checker) exchange(k *pair, nonce, plain, associated []byte, shapes ...shape) {
	r.sealed = k.reference.Seal(r.sealed[:0], nonce, plain, associated)
	for _, s := range shapes {
		for i := range entries {
			if e := &entries[i]; e.fits(len(plain), len(associated)) {
				r.cross(e, e.seal, k, nonce, plain, r.sealed, associated, s)
				r.cross(e, func(k *pair, dst []byte, n int, nonce, in, associated []byte) []byte {
					out, ok := e.open(k, dst, n, nonce, in, associated)
					if !ok {
						r.failf("%s: does not open %d bytes with %d associated bytes, %v", e.name, len(plain), len(associated), s)
						return nil
					}
					return out
				}, k, nonce, r.sealed, plain, associated, s)
			}
		}
	}
}

// cross makes one call, that must turn in into want.
func (r *checker) cross(e *entry, call func(k *pair, dst []byte, n int, nonce, in, associated []byte) []byte, k *pair, nonce, in, want, associated []byte, s shape) {
	r.cases++
	what := "open"
	if len(in) < len(want) {
		what = "seal"
	}
	fail := func(format string, args ...any) {
		r.failf("%s: %s %d bytes with %d associated bytes, %v: %s", e.name, what, len(in), len(associated), s, fmt.Sprintf(format, args...))
	}

	dst, src := r.buffers(in, len(want), s)
	space := len(dst)
	var tail []byte // of the input, behind the output: the tag, when opened in place
	if s.inPlace && len(in) > len(want) {
		tail = dst[s.before+len(want):]
		space -= len(tail)
	}
	ad := r.assoc.place(s.associated, len(associated))
	copy(ad, associated)
	var iv [aead.NonceSize]byte
	copy(iv[:], nonce)

	var out []byte
	if v := caught(func() { out = call(k, dst[:space], s.before, iv[:], src, ad) }); v != nil {
		fail("panics: %v", v)
		return
	}
	if out == nil && space > 0 {
		return // said already
	}
	if len(out) != space || space > 0 && unsafe.SliceData(out) != unsafe.SliceData(dst) {
		fail("%d bytes, want %d in the space that there is", len(out), space)
		return
	}
	if i := difference(out[s.before:], want); i >= 0 {
		fail("wrong from byte %d", i)
	}
	if !bytes.Equal(out[:s.before], poisons[:s.before]) {
		fail("changes the bytes that it appends to")
	}
	if !r.dst.intact() || len(tail) > 0 && !bytes.Equal(tail, in[len(want):]) {
		fail("writes outside of dst")
	}
	if !s.inPlace && (!bytes.Equal(src, in) || !r.src.intact()) {
		fail("changes its input")
	}
	if !bytes.Equal(ad, associated) || !r.assoc.intact() || !bytes.Equal(iv[:], nonce) {
		fail("changes associated data or nonce")
	}
}

// buffers lays out a call: src holds in, and dst has s.before bytes and then
// room for size, or for what is in place.
func (r *checker) buffers(in []byte, size int, s shape) (dst, src []byte) {
	if s.inPlace {
		dst = r.dst.place(s.dst, s.before+max(size, len(in)))
		src = dst[s.before:][:len(in)]
	} else {
		dst = r.dst.place(s.dst, s.before+size)
		src = r.src.place(s.src, len(in))
	}
	copy(src, in)
	return dst, src
}

// refuse opens what is no message, or with what it was not sealed with. It must
// fail, leave no byte of plaintext, and change nothing else.
func (r *checker) refuse(k *pair, what string, nonce, sealed, associated []byte, s shape) {
	for i := range entries {
		e := &entries[i]
		size := len(sealed) - aead.TagSize
		if !e.fits(size, len(associated)) || size < 0 && e != &entries[0] {
			continue // as OpenPackage panics where sizes do not fit
		}
		r.cases++
		fail := func(failure string) {
			r.failf("%s: %d bytes with %d associated bytes, %v: %s: %s", e.name, len(sealed), len(associated), s, what, failure)
		}
		size = max(size, 0)
		dst, src := r.buffers(sealed, size, s)
		var out []byte
		var ok bool
		if v := caught(func() { out, ok = e.open(k, dst[:s.before+size], s.before, nonce, src, associated) }); v != nil {
			fail(fmt.Sprintf("panics: %v", v))
			continue
		}
		if ok {
			fail("is accepted")
		}
		if e == &entries[0] && out != nil {
			fail("bytes beside an error")
		}
		if i := difference(dst[s.before:][:size], zeros[:size]); i >= 0 {
			fail(fmt.Sprintf("byte %d of dst is not cleared", i))
		}
		if !bytes.Equal(dst[:s.before], poisons[:s.before]) || !r.dst.intact() {
			fail("writes outside of dst")
		}
		if s.inPlace && !bytes.Equal(dst[s.before+size:], sealed[size:]) {
			fail("changes its input behind dst")
		}
		if !s.inPlace && (!bytes.Equal(src, sealed) || !r.src.intact()) {
			fail("changes its input")
		}
	}
}

// difference returns where a and b differ first, or -1.
func difference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
