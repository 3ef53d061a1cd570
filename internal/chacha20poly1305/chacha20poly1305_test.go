//go:build amd64 && !purego

package chacha20poly1305

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/crypto/chacha20"
	xcrypto "golang.org/x/crypto/chacha20poly1305"

	"github.com/objseal/objseal/internal/cpu"
)

// needIFMA says that a test is not run where the processor cannot run it.
func needIFMA(t testing.TB) {
	t.Helper()
	if !cpu.Has(cpu.IFMA) {
		t.Skip("not run: this processor has no AVX-512 IFMA")
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// random is the same in each run.
func random(seed uint64) *rand.ChaCha8 {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	return rand.NewChaCha8(s)
}

func reference(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	a, err := xcrypto.New(key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// RFC 8439 section 2.8.2.
func TestVector(t *testing.T) {
	needIFMA(t)
	plaintext := []byte("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.")
	associated := unhex(t, "50515253c0c1c2c3c4c5c6c7")
	key := unhex(t, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")
	nonce := unhex(t, "070000004041424344454647")
	want := unhex(t, `
		d31a8d34648e60db7b86afbc53ef7ec2 a4aded51296e08fea9e2b5a736ee62d6
		3dbea45e8ca9671282fafb69da92728b 1a71de0a9e060b2905d6a5b67ecd3b36
		92ddbd7f2d778b8c9803aee328091b58 fab324e4fad675945585808b4831d7bc
		3ff4def08e4b7a9de576d26586cec64b 6116
		1ae10b594f09e26a7e902ecbd0600691`)

	var k Key
	k.Init((*[32]byte)(key))
	got := make([]byte, len(want))
	k.Seal(got, plaintext, (*[12]byte)(nonce), associated)
	if !bytes.Equal(got, want) {
		t.Errorf("Seal: got %x, want %x", got, want)
	}
	back := make([]byte, len(plaintext))
	if !k.Open(back, want, (*[12]byte)(nonce), associated) || !bytes.Equal(back, plaintext) {
		t.Error("Open does not give the plaintext back")
	}
}

// compare seals and opens a message, in place and not, and compares with x/crypto.
func compare(t *testing.T, k *Key, ref cipher.AEAD, nonce *[12]byte, plaintext, associated []byte, at int) {
	t.Helper()
	n := len(plaintext)
	want := ref.Seal(nil, nonce[:], plaintext, associated)

	// buffer has b at the given alignment, and nothing after it.
	buffer := func(n int, b []byte) []byte {
		buf := make([]byte, at+n)[at:]
		copy(buf, b)
		return buf
	}
	where := func() string { return fmt.Sprintf("len=%d,ad=%d,at=%d", n, len(associated), at) }

	src, dst := buffer(n, plaintext), buffer(n+TagSize, nil)
	k.Seal(dst, src, nonce, associated)
	if !bytes.Equal(dst, want) {
		t.Fatalf("%s: Seal differs", where())
	}
	if !bytes.Equal(src, plaintext) {
		t.Fatalf("%s: Seal changed its source", where())
	}
	inPlace := buffer(n+TagSize, plaintext)
	k.Seal(inPlace, inPlace[:n], nonce, associated)
	if !bytes.Equal(inPlace, want) {
		t.Fatalf("%s: Seal in place differs", where())
	}
	if !k.Open(src, dst, nonce, associated) || !bytes.Equal(src, plaintext) {
		t.Fatalf("%s: Open differs", where())
	}
	if !bytes.Equal(dst, want) {
		t.Fatalf("%s: Open changed its source", where())
	}
	if !k.Open(inPlace[:n], inPlace, nonce, associated) || !bytes.Equal(inPlace[:n], plaintext) {
		t.Fatalf("%s: Open in place differs", where())
	}
	if !bytes.Equal(inPlace[n:], want[n:]) {
		t.Fatalf("%s: Open in place changed the tag", where())
	}
}

func TestAllLengths(t *testing.T) {
	needIFMA(t)
	r := random(1)
	var key [32]byte
	var nonce [12]byte
	plaintext, associated := make([]byte, 5000), make([]byte, 64)
	for n := range len(plaintext) + 1 {
		r.Read(key[:])
		r.Read(nonce[:])
		r.Read(plaintext)
		r.Read(associated)
		var k Key
		k.Init(&key)
		compare(t, &k, reference(t, key[:]), &nonce, plaintext[:n], associated[:n*7%65], n%67)
	}
}

func TestAssociatedLengths(t *testing.T) {
	needIFMA(t)
	r := random(2)
	var key [32]byte
	var nonce [12]byte
	r.Read(key[:])
	associated := make([]byte, 3*piece)
	r.Read(associated)
	var k Key
	k.Init(&key)
	ref := reference(t, key[:])
	for n := range 65 {
		for _, size := range []int{0, 1, 64, 511, 512, 1500, 2048, 4097} {
			compare(t, &k, ref, &nonce, associated[1000:][:size], associated[:n], n)
		}
	}
	for _, n := range []int{piece - 1, piece, piece + 1, piece + 16, 2 * piece, 2*piece + 5} {
		for _, size := range []int{0, 1, 600, piece + 1} {
			compare(t, &k, ref, &nonce, associated[:size], associated[:n], 0)
		}
	}
}

// Messages of several pieces, whose counters must go on.
func TestPieces(t *testing.T) {
	needIFMA(t)
	r := random(3)
	var key [32]byte
	var nonce [12]byte
	r.Read(key[:])
	r.Read(nonce[:])
	plaintext, associated := make([]byte, 300<<10), make([]byte, 64)
	r.Read(plaintext)
	r.Read(associated)
	var k Key
	k.Init(&key)
	ref := reference(t, key[:])
	for _, n := range []int{1, 2, 3, 4} {
		for _, d := range []int{-2049, -2048, -2047, -65, -64, -63, -17, -16, -15, -1, 0, 1, 15, 16, 17, 63, 64, 65, 511, 512, 513, 2047, 2048, 2049} {
			compare(t, &k, ref, &nonce, plaintext[:n*piece+d], associated[:(n*16+d)&63], 0)
		}
	}
	pick := rand.New(r)
	for range 200 {
		r.Read(key[:])
		k.Init(&key)
		start, n := pick.IntN(100), pick.IntN(len(plaintext)-100)
		compare(t, &k, reference(t, key[:]), &nonce, plaintext[start:][:n], associated[:pick.IntN(65)], pick.IntN(200))
	}
}

func TestForgeries(t *testing.T) {
	needIFMA(t)
	r := random(4)
	var key [32]byte
	var nonce [12]byte
	r.Read(key[:])
	var k Key
	k.Init(&key)
	associated := make([]byte, 20)
	r.Read(associated)
	for _, n := range []int{0, 1, 15, 16, 17, 63, 64, 65, 300, 511, 512, 1024, 2047, 2048, 2049, 3000, 4096, 4500, piece + 2100} {
		plaintext := make([]byte, n)
		r.Read(plaintext)
		sealed := make([]byte, n+TagSize)
		k.Seal(sealed, plaintext, &nonce, associated)
		back := make([]byte, n)
		refused := func(what string, bit int, in []byte) {
			t.Helper()
			in[bit/8] ^= 1 << (bit % 8)
			if k.Open(back, sealed, &nonce, associated) {
				t.Errorf("len=%d: Open takes a message with bit %d of its %s changed", n, bit, what)
			}
			in[bit/8] ^= 1 << (bit % 8)
		}
		for bit := range 8 * TagSize {
			refused("tag", bit, sealed[n:])
		}
		step := 1 + n/97*8
		for bit := 0; bit < 8*n; bit += step {
			refused("ciphertext", bit, sealed[:n])
		}
		for bit := range 8 * len(associated) {
			refused("associated data", bit, associated)
		}
		for bit := range 8 * len(nonce) {
			refused("nonce", bit, nonce[:])
		}
		for _, other := range [][]byte{nil, associated[:19], append(associated[:20:20], 0)} {
			if k.Open(back, sealed, &nonce, other) {
				t.Errorf("len=%d: Open takes %d bytes of associated data for %d", n, len(other), len(associated))
			}
		}
		if !k.Open(back, sealed, &nonce, associated) || !bytes.Equal(back, plaintext) {
			t.Errorf("len=%d: Open refuses the message itself", n)
		}
	}
}

// poly1305 is RFC 8439 section 2.5.1, by the book.
func poly1305(r, s [2]uint64, message []byte) (tag [16]byte) {
	number := func(little []byte) *big.Int {
		b := bytes.Clone(little)
		for i := range len(b) / 2 {
			b[i], b[len(b)-1-i] = b[len(b)-1-i], b[i]
		}
		return new(big.Int).SetBytes(b)
	}
	words := func(w [2]uint64) *big.Int {
		return number(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, w[0]), w[1]))
	}
	p := new(big.Int).Lsh(big.NewInt(1), 130)
	p.Sub(p, big.NewInt(5))
	a := new(big.Int)
	for len(message) > 0 {
		n := min(16, len(message))
		a.Add(a, number(append(message[:n:n], 1)))
		a.Mul(a, words(r))
		a.Mod(a, p)
		message = message[n:]
	}
	a.Add(a, words(s))
	var b [17]byte
	a.FillBytes(b[:])
	for i := range tag {
		tag[i] = b[16-i]
	}
	return tag
}

// One-time keys and blocks where carries and the reduction are at their limits.
// The key of Poly1305 is given as if a piece had come before; what is hashed
// is the ciphertext, which can be chosen when opening.
func TestPoly1305(t *testing.T) {
	needIFMA(t)
	const all = ^uint64(0)
	rs := map[string][2]uint64{
		"zero":         {},
		"one":          {1, 0},
		"two":          {2, 0},
		"four":         {4, 0},
		"greatest":     {0x0ffffffc0fffffff, 0x0ffffffc0ffffffc},
		"low word":     {0x0ffffffc0fffffff, 0},
		"high word":    {0, 0x0ffffffc0ffffffc},
		"2^124-ish":    {0, 0x0800000000000000},
		"limb edges":   {0x00000ffc0fffffff, 0x0ffffffc000ffffc},
		"upper limb":   {0, 0x0ffffffc0f000000},
		"middle limb":  {0x0ffff00000000000, 0x0000000000fffffc},
		"single bit 4": {0, 4},
	}
	ss := [][2]uint64{{0, 0}, {all, all}, {all, 0}, {1, 0}, {5, 0}, {all - 4, all}}

	// Blocks that are near 2^129, near 2^128, or have all bits of some limbs.
	block := func(low, high uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, low), high)
	}
	repeated := func(b []byte) func(n int) []byte {
		return func(n int) []byte { return bytes.Repeat(b, n/len(b)+1)[:n] }
	}
	fill := random(5)
	messages := map[string]func(n int) []byte{
		"ff":         repeated(block(all, all)),
		"00":         repeated(block(0, 0)),
		"fb ff":      repeated(block(all-4, all)),
		"fa ff":      repeated(block(all-5, all)),
		"ff then 00": repeated(append(block(all, all), block(0, 0)...)),
		"44 bits":    repeated(block(1<<44-1, 0)),
		"42 bits":    repeated(block(0, 0xffffffffff000000)),
		"middle":     repeated(block(0xfffff00000000000, 1<<24-1)),
		"last ff": func(n int) []byte {
			b := make([]byte, n)
			copy(b[max(0, n-16):], block(all, all))
			return b
		},
		"counting": func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(i / 16)
			}
			return b
		},
		"random": func(n int) []byte {
			b := make([]byte, n)
			fill.Read(b)
			return b
		},
	}
	var key [32]byte
	var nonce [12]byte
	sizes := []int{0, 1, 15, 16, 17, 32, 48, 64, 80, 256, 496, 511, 512, 513, 528, 576, 577, 640, 1008, 1023, 1024, 1025, 2032, 2047, 2048, 2049, 2064, 2560, 3072, 4096, 6144, 8192 + 900}
	for rName, r := range rs {
		for _, s := range ss {
			for mName, message := range messages {
				for _, n := range sizes {
					m := message(n)
					associated := message(n % 33)
					authenticated := pad16(bytes.Clone(associated))
					authenticated = append(authenticated, pad16(bytes.Clone(m))...)
					authenticated = append(authenticated, block(uint64(len(associated)), uint64(n))...)
					want := poly1305(r, s, authenticated)
					st := state{r: r, s: s, started: true, open: true}
					st.run(&key, &nonce, make([]byte, n), m, associated)
					if st.tag != want {
						t.Fatalf("r=%s, s=%x, message=%s, len=%d: tag %x, want %x", rName, s, mName, n, st.tag, want)
					}
				}
			}
		}
	}
}

func pad16(b []byte) []byte { return append(b, make([]byte, -len(b)&15)...) }

// Random one-time keys with many set or cleared bits.
func TestPoly1305Random(t *testing.T) {
	needIFMA(t)
	src := random(6)
	pick := rand.New(src)
	extreme := func() uint64 {
		a, b, c := pick.Uint64(), pick.Uint64(), pick.Uint64()
		switch pick.IntN(3) {
		case 0:
			return a & b & c
		case 1:
			return a | b | c
		}
		return a
	}
	var key [32]byte
	var nonce [12]byte
	for range 3000 {
		r := [2]uint64{extreme() & 0x0ffffffc0fffffff, extreme() & 0x0ffffffc0ffffffc}
		s := [2]uint64{extreme(), extreme()}
		m := make([]byte, pick.IntN(3000))
		src.Read(m)
		if pick.IntN(2) == 0 {
			for i := range m {
				m[i] |= byte(extreme())
			}
		}
		authenticated := binary.LittleEndian.AppendUint64(pad16(bytes.Clone(m)), 0)
		authenticated = binary.LittleEndian.AppendUint64(authenticated, uint64(len(m)))
		st := state{r: r, s: s, started: true, open: true}
		st.run(&key, &nonce, make([]byte, len(m)), m, nil)
		if want := poly1305(r, s, authenticated); st.tag != want {
			t.Fatalf("r=%x, s=%x, len=%d: tag %x, want %x", r, s, len(m), st.tag, want)
		}
	}
}

// Sums of blocks, with r = 1, around 2^130-5 and its multiple: the last reduction.
func TestPoly1305Reduction(t *testing.T) {
	needIFMA(t)
	var key [32]byte
	var nonce [12]byte
	one := big.NewInt(1)
	reductions := 0
	for _, n := range []int{32, 96, 160, 528, 544, 2080, 2592} {
		blocks := int64(n/16) + 1 // and that of the lengths
		for e := int64(-7); e <= 7; e++ {
			for _, multiple := range []int64{(blocks + 1) / 4, (blocks+1)/4 + 1} {
				// blocks times 2^128, the lengths, and two blocks that make up for the rest
				want := new(big.Int).Lsh(one, 130)
				want.Sub(want, big.NewInt(5))
				want.Mul(want, big.NewInt(multiple))
				rest := new(big.Int).Add(want, big.NewInt(e))
				rest.Sub(rest, new(big.Int).Lsh(big.NewInt(blocks), 128))
				rest.Sub(rest, new(big.Int).Lsh(big.NewInt(int64(n)), 64))
				m := make([]byte, n)
				fill := new(big.Int).Sub(new(big.Int).Lsh(one, 128), one)
				for at := 0; at < n && rest.Sign() > 0; at += 16 {
					b := fill
					if rest.Cmp(fill) < 0 {
						b = rest
					}
					var word [16]byte
					b.FillBytes(word[:])
					for i := range word {
						m[at+i] = word[15-i]
					}
					rest = new(big.Int).Sub(rest, b)
				}
				if rest.Sign() != 0 {
					continue // no such message
				}
				lengths := binary.LittleEndian.AppendUint64(make([]byte, 8), uint64(n))
				st := state{r: [2]uint64{1, 0}, started: true, open: true}
				st.run(&key, &nonce, make([]byte, n), m, nil)
				if want := poly1305([2]uint64{1, 0}, [2]uint64{}, append(m, lengths...)); st.tag != want {
					t.Errorf("len=%d, %d times 2^130-5 and %d: tag %x, want %x", n, multiple, e, st.tag, want)
				}
				reductions++
			}
		}
	}
	if reductions < 50 {
		t.Errorf("only %d cases", reductions)
	}
}

// A tail, less than a block, around the end of a page, where it is taken by bytes.
func TestTailAtPageEnd(t *testing.T) {
	needIFMA(t)
	const page = 4096
	area := func() []byte {
		b := make([]byte, 4*page)
		return b[-uintptr(unsafe.Pointer(unsafe.SliceData(b)))%page:][:3*page]
	}
	from, to := area(), area()
	r := random(7)
	var key [32]byte
	var nonce [12]byte
	r.Read(key[:])
	var k Key
	k.Init(&key)
	ref := reference(t, key[:])
	for tail := 1; tail < 64; tail++ {
		n := 64 + tail
		for d := range 66 {
			src := from[page-64-d:][:n:n]
			r.Read(src)
			want := ref.Seal(nil, nonce[:], src, nil)
			for _, dst := range [][]byte{to[page-64-d:], to[page-64-(d+33)%66:], to[page/2:], from[page-64-d:]} {
				plaintext := bytes.Clone(src)
				dst = dst[: n+TagSize : n+TagSize]
				k.Seal(dst, src, &nonce, nil)
				if !bytes.Equal(dst, want) {
					t.Fatalf("len=%d, %d bytes before the end of a page: Seal differs", n, d)
				}
				if !k.Open(src, dst, &nonce, nil) || !bytes.Equal(src, plaintext) {
					t.Fatalf("len=%d, %d bytes before the end of a page: Open differs", n, d)
				}
			}
		}
	}
}

// The state has nothing of the one-time key left after a message.
func TestStateCleared(t *testing.T) {
	needIFMA(t)
	var key [32]byte
	var nonce [12]byte
	for _, n := range []int{0, 100, 1000, 5000, piece + 1} {
		var s state
		s.run(&key, &nonce, make([]byte, n), make([]byte, n), nil)
		if s.r != [2]uint64{} || s.s != [2]uint64{} || s.h != [3]uint64{} {
			t.Errorf("len=%d: the state still has the one-time key or the accumulator", n)
		}
	}
}

// The frame of the assembly has nothing of key and key stream left. That memory
// is below the frame of the function that looks.
func TestFrameCleared(t *testing.T) {
	needIFMA(t)
	r := random(8)
	var key [32]byte
	var nonce [12]byte
	r.Read(key[:])
	r.Read(nonce[:])
	var k Key
	k.Init(&key)
	for _, n := range []int{0, 1, 64, 200, 448, 449, 511, 512, 1000, 1216, 1217, 2000, 2047, 2048, 2500, 5000, piece + 3000} {
		zeros := make([]byte, 64+n)
		stream := make([]byte, len(zeros))
		c, err := chacha20.NewUnauthenticatedCipher(key[:], nonce[:])
		if err != nil {
			t.Fatal(err)
		}
		c.XORKeyStream(stream, zeros)
		secret := map[uint64]string{}
		for i := 0; i+8 <= len(stream); i++ {
			if i%4 == 0 {
				secret[binary.LittleEndian.Uint64(stream[i:])] = "key stream"
			}
		}
		for i := 0; i < 32; i += 8 {
			secret[binary.LittleEndian.Uint64(key[i:])] = "key"
		}
		r0, r1 := binary.LittleEndian.Uint64(stream), binary.LittleEndian.Uint64(stream[8:])
		secret[r0&0x0ffffffc0fffffff] = "r"
		secret[r1&0x0ffffffc0ffffffc] = "r"
		secret[r0&0x0ffffffc0fffffff&(1<<44-1)] = "limb of r"
		dst := make([]byte, n+TagSize)
		var below [7 << 10]byte
		k.Seal(dst, zeros[64:], &nonce, nil)
		copyBelow(&below)
		for i := 0; i+8 <= len(below); i += 4 {
			if what, ok := secret[binary.LittleEndian.Uint64(below[i:])]; ok {
				t.Errorf("len=%d: part of the %s is left on the stack", n, what)
				break
			}
		}
	}
}

// copyBelow copies what is on the stack below its frame, which the callees of
// its caller have left.
//
//go:noinline
//go:nosplit
func copyBelow(to *[7 << 10]byte) {
	var here [8]byte
	top := unsafe.Pointer(&here)
	for i := range to {
		to[i] = *(*byte)(unsafe.Add(top, i-len(to)))
	}
}

func TestNoAllocations(t *testing.T) {
	needIFMA(t)
	for _, n := range []int{0, 64, 1024, 64 << 10, 200 << 10} {
		dst, src := make([]byte, n+TagSize), make([]byte, n)
		allocs := testing.AllocsPerRun(10, func() {
			var k Key
			var key [32]byte
			var nonce [12]byte
			var associated [4]byte
			k.Init(&key)
			k.Seal(dst, src, &nonce, associated[:])
			if !k.Open(src, dst, &nonce, associated[:]) {
				t.Error("Open fails")
			}
			k.Wipe()
		})
		if allocs != 0 {
			t.Errorf("len=%d: %v allocations", n, allocs)
		}
	}
}

func sizeName(n int) string {
	if n >= 1024 {
		return fmt.Sprintf("%dKiB", n/1024)
	}
	return fmt.Sprintf("%dB", n)
}

var benchSizes = []int{16, 64, 256, 512, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10}

func BenchmarkSeal(b *testing.B) {
	needIFMA(b)
	var key [32]byte
	var nonce [12]byte
	associated := make([]byte, 4)
	for _, n := range benchSizes {
		dst, src := make([]byte, n+TagSize), make([]byte, n)
		b.Run(fmt.Sprintf("size=%s/impl=avx512", sizeName(n)), func(b *testing.B) {
			var k Key
			k.Init(&key)
			b.SetBytes(int64(n))
			for b.Loop() {
				k.Seal(dst, src, &nonce, associated)
			}
		})
		b.Run(fmt.Sprintf("size=%s/impl=x-crypto", sizeName(n)), func(b *testing.B) {
			ref := reference(b, key[:])
			b.SetBytes(int64(n))
			for b.Loop() {
				ref.Seal(dst[:0], nonce[:], src, associated)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	needIFMA(b)
	var key [32]byte
	var nonce [12]byte
	associated := make([]byte, 4)
	for _, n := range benchSizes {
		ref := reference(b, key[:])
		src := ref.Seal(nil, nonce[:], make([]byte, n), associated)
		dst := make([]byte, n)
		b.Run(fmt.Sprintf("size=%s/impl=avx512", sizeName(n)), func(b *testing.B) {
			var k Key
			k.Init(&key)
			b.SetBytes(int64(n))
			for b.Loop() {
				if !k.Open(dst, src, &nonce, associated) {
					b.Fatal("Open fails")
				}
			}
		})
		b.Run(fmt.Sprintf("size=%s/impl=x-crypto", sizeName(n)), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				if _, err := ref.Open(dst[:0], nonce[:], src, associated); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
