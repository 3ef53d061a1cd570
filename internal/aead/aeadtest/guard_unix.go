//go:build unix

package aeadtest

import (
	"bytes"
	"fmt"

	"github.com/objseal/objseal/internal/aead"
	"golang.org/x/sys/unix"
)

var guardChecks = []Check{{"guard pages", guardPages}}

// A guarded area is memory with a page on either side that is not there.
type guarded []byte

// guard returns at least n bytes, and release, which gives them back.
func guard(n int) (g guarded, release func()) {
	page := unix.Getpagesize()
	n = (n + page - 1) / page * page
	mem := must(unix.Mmap(-1, 0, n+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE))
	for _, edge := range [][]byte{mem[:page], mem[page+n:]} {
		if err := unix.Mprotect(edge, unix.PROT_NONE); err != nil {
			panic("aeadtest: internal error: " + err.Error())
		}
	}
	return mem[page : page+n : page+n], func() {
		if err := unix.Munmap(mem); err != nil {
			panic("aeadtest: internal error: " + err.Error())
		}
	}
}

// place returns n bytes that end where memory ends, or begin where it begins,
// with a copy of in.
func (g guarded) place(atEnd bool, n int, in []byte) []byte {
	b := g[:n:n]
	if atEnd {
		b = g[len(g)-n:]
	}
	copy(b, in)
	return b
}

// guardPages has each buffer of a call, the key also, end or begin where memory
// does: what reads or writes beyond one does not come back. That is so even for
// reads whose result is not used, and for writes of what was there.
func guardPages(r *checker) {
	const space = 80 << 10
	var areas [5]guarded
	for i := range areas {
		var release func()
		areas[i], release = guard(space)
		defer release()
	}
	src, dst, associated, iv, key := areas[0], areas[1], areas[2], areas[3], areas[4]

	var sizes []int
	for n := range 1101 {
		sizes = append(sizes, n)
	}
	most, step := 50, 1
	if few {
		most, step = 5, 11
	}
	for range most {
		sizes = append(sizes, 1101+r.rng.IntN(maxPackage-1200))
	}
	for n := maxPackage - 77; n <= maxPackage+77; n += step {
		sizes = append(sizes, n)
	}
	for _, keyAtEnd := range []bool{true, false} {
		secret := r.bytes(aead.KeySize)
		var k *pair
		if v := caught(func() {
			k = r.pair((*[aead.KeySize]byte)(key.place(keyAtEnd, aead.KeySize, secret)))
		}); v != nil {
			r.failf("key expansion, key at the end %v: panics: %v", keyAtEnd, v)
			return
		}
		for _, n := range sizes {
			for _, size := range []int{4, r.rng.IntN(80)} {
				nonce, plain, ad := r.bytes(aead.NonceSize), r.bytes(n), r.bytes(size)
				r.sealed = k.reference.Seal(r.sealed[:0], nonce, plain, ad)
				forged := bytes.Clone(r.sealed)
				forged[r.rng.IntN(len(forged))] ^= 1 << r.rng.IntN(8)
				for i := range entries {
					if e := &entries[i]; e.fits(n, size) {
						for _, inPlace := range []bool{false, true} {
							for ends := range 4 {
								if inPlace && ends&1 != 0 {
									continue // there is one buffer
								}
								g := guardedCall{r, k, src, dst, ends&1 != 0, ends&2 != 0, inPlace,
									iv.place(r.rng.IntN(2) == 0, len(nonce), nonce),
									associated.place(r.rng.IntN(2) == 0, size, ad)}
								g.call(e, plain, r.sealed, forged)
							}
						}
					}
				}
				if size == 4 && n <= maxPackage {
					from := r.rng.IntN(n + 1)
					for _, atEnd := range []bool{false, true} {
						r.cases++
						b := dst.place(atEnd, len(r.sealed), r.sealed)
						if v := caught(func() {
							if _, _, ok := k.OpenPackagePart(b, (*[aead.NonceSize]byte)(iv.place(atEnd, len(nonce), nonce)),
								(*[4]byte)(associated.place(atEnd, size, ad)), from, n); !ok || !bytes.Equal(b[from:n], plain[from:]) {
								r.failf("from byte %d of %d, at the end of memory %v: wrong", from, n, atEnd)
							}
						}); v != nil {
							r.failf("from byte %d of %d, at the end of memory %v: panics: %v", from, n, atEnd, v)
						}
					}
				}
			}
		}
	}
}

// A guardedCall is where the buffers of the next calls lie.
type guardedCall struct {
	*checker
	k                *pair
	src, dst         guarded
	srcEnds, dstEnds bool // where memory ends
	inPlace          bool
	nonce            []byte
	associated       []byte
}

func (g *guardedCall) call(e *entry, plain, sealed, forged []byte) {
	g.cross(e, "seal", plain, func(in, out []byte) {
		if got := e.seal(g.k, out, 0, g.nonce, in, g.associated); !bytes.Equal(got, sealed) {
			g.fail(e, "seal", len(plain), "wrong result")
		}
	}, len(sealed))
	g.cross(e, "open", sealed, func(in, out []byte) {
		if got, ok := e.open(g.k, out, 0, g.nonce, in, g.associated); !ok || !bytes.Equal(got, plain) {
			g.fail(e, "open", len(sealed), "wrong result")
		}
	}, len(plain))
	g.cross(e, "open a forgery", forged, func(in, out []byte) {
		if _, ok := e.open(g.k, out, 0, g.nonce, in, g.associated); ok || !bytes.Equal(out, zeros[:len(out)]) {
			g.fail(e, "open a forgery", len(sealed), "accepted, or not cleared")
		}
	}, len(plain))
}

// cross calls f with the two buffers.
func (g *guardedCall) cross(e *entry, what string, in []byte, f func(in, out []byte), size int) {
	g.cases++
	var from, to []byte
	if g.inPlace {
		both := g.dst.place(g.dstEnds, max(len(in), size), in)
		from, to = both[:len(in)], both[:size]
		if size < len(in) {
			to = both[:size:size]
		}
	} else {
		from = g.src.place(g.srcEnds, len(in), in)
		to = g.dst.place(g.dstEnds, size, poisons[:size])
	}
	failures := len(g.failures)
	if v := caught(func() { f(from, to) }); v != nil {
		if v == enough {
			panic(v)
		}
		g.fail(e, what, len(in), fmt.Sprintf("panics: %v", v))
	} else if !g.inPlace && len(g.failures) == failures && !bytes.Equal(from, in) {
		g.fail(e, what, len(in), "changes its input")
	}
}

func (g *guardedCall) fail(e *entry, what string, n int, failure string) {
	where := map[bool]string{false: "at the beginning", true: "at the end"}
	input := "input " + where[g.srcEnds]
	if g.inPlace {
		input = "in place"
	}
	g.failf("%s: %s %d bytes with %d associated bytes, %s, output %s of memory: %s",
		e.name, what, n, len(g.associated), input, where[g.dstEnds], failure)
}
