package aeadtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/objseal/objseal/internal/aead"
)

// everyLength has lengths up to well beyond what a kernel works on at once.
func everyLength(r *checker) {
	k := r.randomPair()
	for n := range 5001 {
		plain, nonce := r.bytes(n), r.bytes(aead.NonceSize)
		shapes := r.anyShapes()
		r.exchange(k, nonce, plain, r.bytes(4), shapes[:]...)
		r.exchange(k, nonce, plain, r.bytes(r.rng.IntN(65)), shapes[:]...)
	}
}

// shortTexts has keys that were expanded for texts up to a length, and all texts up to it.
func shortTexts(r *checker) {
	for longest := range 131 {
		k := r.pairUpTo((*[aead.KeySize]byte)(r.bytes(aead.KeySize)), longest)
		for n := range longest + 1 {
			shapes := r.anyShapes()
			plain, nonce := r.bytes(n), r.bytes(aead.NonceSize)
			r.exchange(k, nonce, plain, r.bytes(4), shapes[:]...)
			r.exchange(k, nonce, plain, r.bytes(r.rng.IntN(100)), shapes[r.rng.IntN(len(shapes))])
		}
	}
}

// long has lengths around multiples of vectors, of groups of them and of the
// size of a package, and such that a call is cut into pieces.
func long(r *checker) {
	k := r.randomPair()
	try := func(n int) {
		shapes := r.anyShapes()
		r.exchange(k, r.bytes(aead.NonceSize), r.bytes(n), r.bytes(4), shapes[:]...)
	}
	most, step := 500, 1
	if few {
		most, step = 100, 11
	}
	for range most {
		try(r.rng.IntN(128<<10 + 1))
	}
	for n := 1024; n <= 128<<10; n += 1024 {
		if few && n%(16<<10) != 0 {
			continue
		}
		for _, near := range []int{-512, -257, -256, -255, -64, -17, -16, -15, -1, 0, 1, 15, 16, 17, 64, 256} {
			try(n + near)
		}
	}
	for n := maxPackage - 77; n <= maxPackage+77; n += step {
		try(n)
	}
	// Where a kernel for long messages takes over, and through all that may be left
	// behind its last group.
	for n := 16<<10 - 77; n <= 17<<10+77; n += step {
		try(n)
	}
	for _, n := range []int{1 << 18, 1<<19 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 3, 1<<20 + maxPackage + 17, 1<<21 - 16 - 60} {
		try(n)
	}
}

// alignment has every distance of both buffers, and of the associated data,
// from a multiple of the size of a vector.
func alignment(r *checker) {
	k := r.randomPair()
	for a := range 64 {
		for b := range 64 {
			// Each size class with some alignments, all alignments over a few runs.
			n := []int{r.rng.IntN(64), r.rng.IntN(600), 480 + r.rng.IntN(600), r.rng.IntN(5000), 16<<10 + r.rng.IntN(5000)}[(a+b)%5]
			nonce, plain := r.bytes(aead.NonceSize), r.bytes(n)
			r.exchange(k, nonce, plain, r.bytes(4), shape{src: a, dst: b, associated: r.rng.IntN(64)})
			r.exchange(k, nonce, plain, r.bytes(r.rng.IntN(300)), shape{dst: a, associated: b, inPlace: true})
		}
	}
}

// associatedData has every size up to 64, and others around those of vectors
// and of groups of them.
func associatedData(r *checker) {
	k := r.randomPair()
	sizes := make([]int, 65)
	for i := range sizes {
		sizes[i] = i
	}
	for n := 64; n <= 4096; n += 64 {
		sizes = append(sizes, n-1, n, n+1, n+15, n+16, n+17)
	}
	sizes = append(sizes, maxPackage-1, maxPackage, maxPackage+5, 100<<10, 1<<20+3)
	for _, size := range sizes {
		associated, nonce := r.bytes(size), r.bytes(aead.NonceSize)
		for _, n := range []int{0, 1, 15, 16, 17, 100, 255, 256, 257, 511, 512, 513, 1024, r.rng.IntN(5000)} {
			shapes := r.anyShapes()
			r.exchange(k, nonce, r.bytes(n), associated, shapes[:]...)
		}
	}
}

// keysAndContents has many keys, some of them with long runs of equal bits, and
// texts that are all the same byte before or after encryption: what is hashed
// then is where carries and reductions go furthest.
func keysAndContents(r *checker) {
	var keys [][aead.KeySize]byte
	for _, b := range []byte{0, 0xff, 0x80, 1, 0x7f} {
		keys = append(keys, [aead.KeySize]byte(bytes.Repeat([]byte{b}, aead.KeySize)))
	}
	for range 200 {
		keys = append(keys, [aead.KeySize]byte(r.bytes(aead.KeySize)))
	}
	for i := range keys {
		k := r.pair(&keys[i])
		nonce := r.bytes(aead.NonceSize)
		for _, b := range []byte{0, 0xff, 0x80, byte(r.rng.Uint32())} {
			n := []int{r.rng.IntN(64), r.rng.IntN(1200), r.rng.IntN(5000), 16<<10 + r.rng.IntN(5000)}[r.rng.IntN(4)]
			same := bytes.Repeat([]byte{b}, n)
			// Encryption is its own inverse, so this one's ciphertext is all b.
			inverse := k.reference.Seal(nil, nonce, same, nil)[:n]
			for _, associated := range [][]byte{same[:min(4, n)], same[:min(n, 100)]} {
				r.exchange(k, nonce, same, associated, shape{})
				r.exchange(k, nonce, inverse, associated, shape{})
			}
		}
	}
}

// nonces has bytes of 0xff at each place, next to the block counter above all.
func nonces(r *checker) {
	k := r.randomPair()
	var all [][]byte
	for i := range aead.NonceSize {
		one, upTo, from := make([]byte, aead.NonceSize), r.bytes(aead.NonceSize), r.bytes(aead.NonceSize)
		one[i] = 0xff
		for j := range aead.NonceSize {
			if j <= i {
				upTo[j] = 0xff
			}
			if j >= i {
				from[j] = 0xff
			}
		}
		all = append(all, one, upTo, from)
	}
	all = append(all, make([]byte, aead.NonceSize))
	for _, nonce := range all {
		for _, n := range []int{0, 16, 600, 4096, 4096 + r.rng.IntN(5000), 60000} {
			r.exchange(k, nonce, r.bytes(n), r.bytes(4), shape{dst: r.rng.IntN(64)})
		}
	}
}

// appending has dst without room: the result is elsewhere, with what dst held.
func appending(r *checker) {
	k := r.randomPair()
	for _, n := range []int{0, 1, 16, 100, 1000, 70000} {
		for _, before := range []int{0, 1, 16, 1000} {
			for _, room := range []int{0, 1, 15, n + aead.TagSize - 1} {
				r.cases += 2
				front, plain, nonce := r.bytes(before), r.bytes(n), r.bytes(aead.NonceSize)
				want := k.reference.Seal(bytes.Clone(front), nonce, plain, nil)
				dst := append(make([]byte, 0, before+room), front...)
				if got := k.Seal(dst, nonce, plain, nil); !bytes.Equal(got, want) || !bytes.Equal(dst, front) {
					r.failf("Seal of %d bytes appends wrong to %d bytes with room for %d", n, before, room)
				}
				sealed := want[before:]
				dst = append(make([]byte, 0, before+min(room, max(n-1, 0))), front...)
				got, err := k.Open(dst, nonce, sealed, nil)
				if err != nil || !bytes.Equal(got, slices.Concat(front, plain)) || !bytes.Equal(dst, front) {
					r.failf("Open of %d bytes appends wrong to %d bytes with room for %d: %v", n, before, room, err)
				}
			}
		}
	}
}

// empty has inputs that are nil, and others that are empty without being nil.
func empty(r *checker) {
	k := r.randomPair()
	nonce := r.bytes(aead.NonceSize)
	four := [4]byte(r.bytes(4))
	some := r.bytes(4)
	for _, plain := range [][]byte{nil, {}, some[:0], some[4:]} {
		for _, associated := range [][]byte{nil, {}, some[:0], some[4:]} {
			for _, dst := range [][]byte{nil, {}, make([]byte, 0, 16)} {
				r.cases += 2
				sealed := k.Seal(dst, nonce, plain, associated)
				if !bytes.Equal(sealed, k.reference.Seal(nil, nonce, nil, nil)) {
					r.failf("Seal of nothing: wrong")
				}
				if got, err := k.Open(dst, nonce, bytes.Clone(sealed), associated); err != nil || len(got) != 0 {
					r.failf("Open of nothing: %d bytes, %v", len(got), err)
				}
			}
		}
		r.cases += 3
		sealed := make([]byte, aead.TagSize)
		k.SealPackage(sealed, plain, (*[aead.NonceSize]byte)(nonce), &four)
		if !bytes.Equal(sealed, k.reference.Seal(nil, nonce, nil, four[:])) {
			r.failf("SealPackage of nothing: wrong")
		}
		if !k.OpenPackage(plain, sealed, (*[aead.NonceSize]byte)(nonce), &four) {
			r.failf("OpenPackage of nothing: refused")
		}
		sealed[r.rng.IntN(aead.TagSize)] ^= 1
		if k.OpenPackage(plain, sealed, (*[aead.NonceSize]byte)(nonce), &four) {
			r.failf("OpenPackage of nothing with a wrong tag: accepted")
		}
	}
	for _, dst := range [][]byte{nil, make([]byte, 0, 16), make([]byte, 3, 100)} {
		for n := range aead.TagSize {
			r.cases++
			if got, err := k.Open(dst, nonce, make([]byte, n), nil); err == nil || got != nil {
				r.failf("Open of %d bytes: %d bytes, %v", n, len(got), err)
			}
		}
	}
}

// refusedCalls breaks the contract: each call must panic and write nothing.
func refusedCalls(r *checker) {
	k := r.randomPair()
	nonce := (*[aead.NonceSize]byte)(r.bytes(aead.NonceSize))
	four := (*[4]byte)(r.bytes(4))
	mem := r.bytes(3 * (maxPackage + 200))
	before := bytes.Clone(mem)
	refused := func(f func(), format string, args ...any) {
		r.cases++
		if caught(f) == nil {
			r.failf("%s: is done", fmt.Sprintf(format, args...))
		}
		if !bytes.Equal(mem, before) {
			r.failf("%s: writes", fmt.Sprintf(format, args...))
			copy(mem, before)
		}
	}

	// Buffers that share memory and do not begin at the same place.
	for _, n := range []int{1, 2, 15, 16, 17, 63, 64, 65, 512, 1000, 4096, maxPackage} {
		sealed := n + aead.TagSize
		at := maxPackage + 100
		overlaps := []int{1, 2, 8, 15, 16, 17, 32, 63, 64, 65, 256, 512, n - 1, n, sealed - 1}
		slices.Sort(overlaps)
		for _, d := range slices.Compact(overlaps) {
			if d <= 0 {
				continue
			}
			if d < n { // the output begins within the input
				in, out := mem[at:][:n], mem[at+d:]
				refused(func() { k.Seal(out[:0], nonce[:], in, nil) }, "Seal of %d bytes to %d bytes behind", n, d)
				refused(func() { k.SealPackage(out[:sealed], in, nonce, four) }, "SealPackage of %d bytes to %d bytes behind", n, d)
			}
			if d < sealed { // and the other way round
				in, out := mem[at+d:][:n], mem[at:]
				refused(func() { k.Seal(out[:0], nonce[:], in, nil) }, "Seal of %d bytes to %d bytes before", n, d)
				refused(func() { k.Seal(out[:7], nonce[:], mem[at+7+d:][:n], nil) }, "Seal of %d bytes to %d bytes before, appended", n, d)
				refused(func() { k.SealPackage(out[:sealed], in, nonce, four) }, "SealPackage of %d bytes to %d bytes before", n, d)

				in, out = mem[at:][:sealed], mem[at+d:]
				if d < n { // where only the tag is shared, x/crypto opens
					refused(func() { k.Open(out[:0], nonce[:], in, nil) }, "Open of %d bytes to %d bytes behind", n, d)
				}
				refused(func() { k.OpenPackage(out[:n], in, nonce, four) }, "OpenPackage of %d bytes to %d bytes behind", n, d)
			}
			if d < n {
				in, out := mem[at+d:][:sealed], mem[at:]
				refused(func() { k.Open(out[:0], nonce[:], in, nil) }, "Open of %d bytes to %d bytes before", n, d)
				refused(func() { k.OpenPackage(out[:n], in, nonce, four) }, "OpenPackage of %d bytes to %d bytes before", n, d)
			}
		}
		// Associated data where the output goes.
		in, out := mem[:n], mem[at:]
		for _, d := range []int{-3, 0, n / 2, n - 1} {
			associated := out[max(d, 0):][:4]
			if d < 0 {
				associated = mem[at+d:][:4]
			}
			refused(func() { k.Seal(out[:0], nonce[:], in, associated) }, "Seal of %d bytes, associated data at %d of it", n, d)
			refused(func() { k.Open(out[:0], nonce[:], mem[:sealed], associated) }, "Open of %d bytes, associated data at %d of it", n, d)
		}
	}

	// Sizes.
	for _, n := range []int{0, 1, 16, 1000, maxPackage} {
		for _, d := range []int{-aead.TagSize, -1, 1, aead.TagSize} {
			if size := n + aead.TagSize + d; size >= 0 {
				refused(func() { k.SealPackage(mem[2*maxPackage+400:][:size], mem[:n], nonce, four) }, "SealPackage of %d bytes to %d", n, size)
				refused(func() { k.OpenPackage(mem[2*maxPackage+400:][:n], mem[:size], nonce, four) }, "OpenPackage of %d bytes to %d", size, n)
			}
		}
	}
	n := maxPackage + 1
	refused(func() { k.SealPackage(mem[n:][:n+aead.TagSize], mem[:n], nonce, four) }, "SealPackage of more than a package")
	refused(func() { k.OpenPackage(mem[n+aead.TagSize:][:n], mem[:n+aead.TagSize], nonce, four) }, "OpenPackage of more than a package")
	for _, n := range []int{0, 1, 8, 11, 13, 16, 24} {
		refused(func() { k.Seal(nil, mem[:n], mem[100:200], nil) }, "Seal with a nonce of %d bytes", n)
		refused(func() { k.Open(nil, mem[:n], mem[100:200], nil) }, "Open with a nonce of %d bytes", n)
	}
}

// parts opens a part of a package: it must be refused wherever a bit is changed, inside
// the part and outside.
func parts(r *checker) {
	k := r.randomPair()
	sizes := []int{0, 1, 16, 100, 511, 512, 1000, 4095, 4096, 4097, 5000, 1<<14 + 3, 1 << 15, maxPackage - 1, maxPackage}
	rounds := 400
	if few {
		rounds = 40
	}
	for range rounds {
		sizes = append(sizes, 4096+r.rng.IntN(maxPackage-4095))
	}
	for n := 4096 - 33; n < 4096+600; n++ {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		plain, nonce, associated := r.bytes(n), r.bytes(aead.NonceSize), r.bytes(4)
		sealed := k.reference.Seal(nil, nonce, plain, associated)
		from := r.rng.IntN(n + 1)
		for _, at := range [][2]int{
			{from, from + r.rng.IntN(n+1-from)},
			{from, min(n, from+r.rng.IntN(600))},
			{from, min(n, from+n/4)},
			{n / 2, n/2 + n/4},
			{0, min(n, r.rng.IntN(600))},
			{max(0, n-r.rng.IntN(600)), n},
			{from, from},
			{0, n},
		} {
			r.part(k, sealed, plain, nonce, associated, at[0], at[1], r.rng.IntN(64))
		}
	}
}

// part opens one part, and three forgeries.
func (r *checker) part(k *pair, sealed, plain, nonce, associated []byte, from, to, align int) {
	n := len(plain)
	iv, ad := (*[aead.NonceSize]byte)(nonce), (*[4]byte)(associated)
	open := func(forge int) (b []byte, begin, end int, ok bool) {
		r.cases++
		b = r.dst.place(align, len(sealed))
		copy(b, sealed)
		if forge >= 0 {
			b[forge] ^= 1 << r.rng.IntN(8)
		}
		if v := caught(func() { begin, end, ok = k.OpenPackagePart(b, iv, ad, from, to) }); v != nil {
			r.failf("part %d to %d of %d: panics: %v", from, to, n, v)
		}
		if !r.dst.intact() {
			r.failf("part %d to %d of %d: writes outside of the package", from, to, n)
		}
		return b, begin, end, ok
	}
	b, begin, end, ok := open(-1)
	switch {
	case !ok:
		r.failf("part %d to %d of %d: refused", from, to, n)
		return
	case begin < 0 || begin > from || end < to || end > n:
		r.failf("part %d to %d of %d: says %d to %d", from, to, n, begin, end)
		return
	}
	want := slices.Concat(sealed[:begin], plain[begin:end], sealed[end:])
	if i := difference(b, want); i >= 0 {
		r.failf("part %d to %d of %d, %d to %d opened: wrong from byte %d", from, to, n, begin, end, i)
	}
	for _, at := range []int{r.rng.IntN(len(sealed)), from, n + r.rng.IntN(aead.TagSize)} {
		b, _, _, ok := open(at)
		if ok {
			r.failf("part %d to %d of %d: accepted with a changed byte %d", from, to, n, at)
		}
		if i := difference(b[:n], zeros[:n]); i >= 0 {
			r.failf("part %d to %d of %d: byte %d is not cleared", from, to, n, i)
		}
	}
}

// goroutines has one key used by several at once.
func goroutines(r *checker) {
	k := r.randomPair()
	const users, rounds = 8, 200
	failures := make(chan string, users)
	var wait sync.WaitGroup
	for range users {
		rng := rand.New(rand.NewPCG(r.rng.Uint64(), 1))
		wait.Go(func() {
			for range rounds {
				n := rng.IntN(5000)
				at := rng.IntN(len(text) - n)
				plain, nonce, associated := text[at:at+n], text[rng.IntN(1<<16):][:aead.NonceSize], text[rng.IntN(1<<16):][:4]
				want := k.reference.Seal(nil, nonce, plain, associated)
				for i := range entries {
					e := &entries[i]
					sealed := e.seal(k, make([]byte, len(want)), 0, nonce, plain, associated)
					opened, ok := e.open(k, make([]byte, n), 0, nonce, want, associated)
					if !bytes.Equal(sealed, want) || !ok || !bytes.Equal(opened, plain) {
						failures <- fmt.Sprintf("%s: %d bytes: wrong where several goroutines share a key", e.name, n)
						return
					}
				}
			}
		})
	}
	wait.Wait()
	close(failures)
	for f := range failures {
		r.failf("%s", f)
	}
	r.cases += users * rounds * 2 * len(entries)
}
