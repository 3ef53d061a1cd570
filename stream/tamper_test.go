package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/objseal/objseal/internal/aead/aeadtest"
	"github.com/objseal/objseal/stream"
)

// The tamper sweep: streams are changed in every way that fits, and each result
// goes through every way to open a stream. None may be accepted. Buffers
// are poisoned, and looked at after every call: what stands in them is poison,
// zero, or plaintext of packages that are authentic and in their place.

const poison = 0xee

// A forgery is a stream that must be refused.
type forgery struct {
	name   string
	sealed []byte
	// The plaintexts of which a prefix may be handed out: that of the stream it was made
	// of, and that of the stream whose first package it begins with.
	plain [2][]byte
	size  int // bytes of plaintext of the original
}

// sweep counts and checks.
type sweep struct {
	t          *testing.T
	buf        []byte // for the caller's side of every call
	cases      int
	attempts   int
	accepted   int
	unverified int
	kinds      map[error]int
}

// check looks at what an attempt handed out, in order, and at its error.
func (s *sweep) check(f *forgery, entry string, got []byte, err error) {
	s.attempts++
	switch {
	case err == nil || err == io.EOF:
		s.accepted++
		s.t.Errorf("%s: %s accepts it", f.name, entry)
	case errors.Is(err, stream.ErrTampered):
		s.kinds[stream.ErrTampered]++
	case errors.Is(err, stream.ErrTruncated):
		s.kinds[stream.ErrTruncated]++
	case errors.Is(err, stream.ErrUnsupported):
		s.kinds[stream.ErrUnsupported]++
	default:
		s.t.Errorf("%s: %s: error %v of no kind that fits", f.name, entry, err)
	}
	if !bytes.HasPrefix(f.plain[0], got) && !bytes.HasPrefix(f.plain[1], got) {
		s.unverified++
		s.t.Errorf("%s: %s hands out bytes that are not verified", f.name, entry)
	}
}

// poisoned fills the first n bytes of the caller's buffer.
func (s *sweep) poisoned(n int) []byte {
	p := s.buf[:n]
	copy(p, poisonPage)
	return p
}

var poisonPage = bytes.Repeat([]byte{poison}, 5*stream.PackageSize)

// clean checks that p holds nothing but poison and zeros.
func (s *sweep) clean(f *forgery, entry string, p []byte) {
	if bytes.Count(p, []byte{poison})+bytes.Count(p, []byte{0}) != len(p) {
		s.unverified++
		s.t.Errorf("%s: %s leaves bytes in the buffer that are not verified", f.name, entry)
	}
}

// read reads to the error, with a buffer of n bytes, and once more.
func (s *sweep) read(f *forgery, entry string, r io.Reader, n int) {
	var out []byte
	for {
		p := s.poisoned(n)
		m, err := r.Read(p)
		out = append(out, p[:m]...)
		s.clean(f, entry, p[m:])
		if err == nil {
			continue
		}
		s.check(f, entry, out, err)
		p = s.poisoned(n)
		if m, again := r.Read(p); m != 0 || again != err {
			s.t.Errorf("%s: %s: Read after the failure: %d, %v", f.name, entry, m, again)
		}
		s.clean(f, entry, p)
		return
	}
}

// workers are used for all but the first package.
var workers = &stream.Options{Workers: 3}

// run takes f through every entry point.
func (s *sweep) run(f *forgery) {
	s.cases++
	var out bytes.Buffer
	// A large buffer is one that takes the plaintext of a package directly.
	small, large := 7, 300
	if len(f.sealed) > 1000 {
		small, large = 5000, stream.PackageSize
	}

	s.read(f, "Reader, small buffer", must(stream.NewDecryptReader(testKey, bytes.NewReader(f.sealed), nil)), small)
	s.read(f, "Reader, large buffer", must(stream.NewDecryptReader(testKey, bytes.NewReader(f.sealed), nil)), large)

	_, err := must(stream.NewDecryptReader(testKey, bytes.NewReader(f.sealed), nil)).WriteTo(&out)
	if err == nil {
		err = io.EOF
	}
	s.check(f, "Reader.WriteTo", out.Bytes(), err)

	out.Reset()
	if _, err = must(stream.NewDecryptReader(testKey, bytes.NewReader(f.sealed), workers)).WriteTo(&out); err == nil {
		err = io.EOF
	}
	s.check(f, "Reader.WriteTo, workers", out.Bytes(), err)

	for _, step := range []int{small, 1 << 20} {
		out.Reset()
		err := writeAll(must(stream.NewDecryptWriter(testKey, &out, nil)), f.sealed, step)
		s.check(f, "Writer", out.Bytes(), err)
	}

	out.Reset()
	w := must(stream.NewDecryptWriter(testKey, &out, nil))
	if _, err = w.ReadFrom(bytes.NewReader(f.sealed)); err == nil {
		err = w.Close()
	}
	s.check(f, "Writer.ReadFrom", out.Bytes(), err)

	for _, o := range []*stream.Options{nil, workers} {
		p := s.poisoned(len(f.sealed) + 100)
		got, err := stream.Open(p[:10], testKey, f.sealed, o)
		if got != nil {
			s.t.Errorf("%s: Open returns %d bytes with an error", f.name, len(got))
		}
		s.clean(f, "Open", p)
		s.check(f, "Open", nil, err)
	}

	at, err := stream.NewDecryptReaderAt(testKey, bytes.NewReader(f.sealed), int64(len(f.sealed)), nil)
	if err != nil {
		s.check(f, "ReaderAt", nil, err)
		s.check(f, "ReadSeeker", nil, err)
	} else {
		p := s.poisoned(f.size + 100)
		n, err := at.ReadAt(p, 0)
		s.clean(f, "ReaderAt", p[n:])
		s.check(f, "ReaderAt", p[:n], err)
		s.read(f, "ReadSeeker", at.ReadSeeker(), small)
	}

	// A range is of a stream whose size was stated: that of the original, or, for
	// forgeries that are longer, the size they pretend to.
	size := int64(f.size)
	if sealed, _ := stream.EncryptedSize(size); int64(len(f.sealed)) > sealed {
		if size, err = stream.DecryptedSize(int64(len(f.sealed))); err != nil {
			s.check(f, "RangeReader", nil, err)
			return
		}
	}
	r, err := stream.PackageRange(size, 0, size)
	if err != nil {
		s.check(f, "RangeReader", nil, err)
		return
	}
	for _, n := range []int{small, large} {
		s.read(f, "RangeReader", must(stream.NewRangeReader(testKey, bytes.NewReader(f.sealed), r, nil)), n)
	}
}

// A sample is a stream to forge from, with two others of the same size: one of
// the same key, one of another key, both with other plaintext.
type sample struct {
	cipher                 stream.Cipher
	plain, otherPlain      []byte
	sealed, sameKey, other []byte
}

func newSample(c stream.Cipher, size int) *sample {
	s := &sample{cipher: c, plain: plaintext(size), otherPlain: sha256ctr("other", size)}
	o := &stream.Options{Cipher: c}
	s.sealed = must(stream.Seal(nil, testKey, s.plain, o))
	s.sameKey = must(stream.Seal(nil, testKey, s.otherPlain, o))
	s.other = must(stream.Seal(nil, bytes.Repeat([]byte{0x43}, stream.KeySize), s.otherPlain, o))
	return s
}

func TestTamperSweep(t *testing.T) {
	defer stream.ParallelFrom(1)()
	s := &sweep{t: t, buf: make([]byte, len(poisonPage)), kinds: map[error]int{}}
	rnd := rand.New(rand.NewPCG(20, 2))
	sizes := []int{1, 2, 15, 16, 17, 33, 64, 100}
	if aeadtest.Race {
		sizes = []int{1, 17}
	}
	for _, c := range ciphers {
		for _, size := range sizes {
			sweepShort(s, newSample(c, size), rnd)
		}
		sweepLong(s, newSample(c, 2*stream.PayloadSize+100), rnd)
		sweepLong(s, newSample(c, 3*stream.PayloadSize), rnd)
	}
	t.Logf("tamper sweep: %d forgeries, %d attempts, %d accepted, %d with unverified bytes; refused as tampered %d, truncated %d, unsupported %d",
		s.cases, s.attempts, s.accepted, s.unverified, s.kinds[stream.ErrTampered], s.kinds[stream.ErrTruncated], s.kinds[stream.ErrUnsupported])
	if s.cases < 50_000 && !aeadtest.Race {
		t.Errorf("%d forgeries, want 50000 at least", s.cases)
	}
}

// try runs a forgery of m, unless it is m or one of the same key, whole.
func (s *sweep) try(m *sample, sealed []byte, format string, args ...any) {
	if bytes.Equal(sealed, m.sealed) || bytes.Equal(sealed, m.sameKey) {
		return
	}
	f := &forgery{sealed: sealed, plain: [2][]byte{m.plain, nil}, size: len(m.plain)}
	if n := min(len(m.sealed), stream.PackageSize); len(sealed) >= n && bytes.Equal(sealed[:n], m.sameKey[:n]) {
		f.plain[1] = m.otherPlain
	}
	f.name = fmt.Sprintf("%v,size=%d: ", m.cipher, len(m.plain)) + fmt.Sprintf(format, args...)
	s.run(f)
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// sweepShort does everything everywhere, in a stream of one short package.
func sweepShort(s *sweep, m *sample, rnd *rand.Rand) {
	b := bytes.Clone(m.sealed)
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			s.try(m, b, "bit %d of byte %d", bit, i)
			b[i] ^= 1 << bit
		}
		for range 6 { // any other byte
			x := byte(1 + rnd.IntN(255))
			b[i] ^= x
			s.try(m, b, "byte %d ^ %#x", i, x)
			b[i] ^= x
		}
		for range 28 { // two places
			j, x, y := rnd.IntN(len(b)), byte(1+rnd.IntN(255)), byte(1+rnd.IntN(255))
			if i != j {
				b[i] ^= x
				b[j] ^= y
				s.try(m, b, "bytes %d ^ %#x, %d ^ %#x", i, x, j, y)
				b[i] ^= x
				b[j] ^= y
			}
		}
		s.try(m, b[:i], "cut to %d", i)
		s.try(m, b[i:], "cut off %d", i)
		s.try(m, concat(b[:i], b[i+1:]), "without byte %d", i)
		s.try(m, concat(b[:i], []byte{byte(i)}, b[i:]), "with a byte at %d", i)
		for name, other := range map[string][]byte{"same key": m.sameKey, "other key": m.other} {
			s.try(m, concat(b[:i], other[i:]), "%s from %d on", name, i)
			if i > 0 {
				s.try(m, concat(other[:i], b[i:]), "%s up to %d", name, i)
			}
			j := i + rnd.IntN(len(b)-i+1)
			s.try(m, concat(b[:i], other[i:j], b[j:]), "%s from %d to %d", name, i, j)
		}
	}
	s.try(m, m.other, "other key")
	for _, n := range []int{1, 2, 15, 16, 17, 31, 32, 33, 34, 64, 100} {
		s.try(m, concat(b, make([]byte, n)), "%d zeros behind", n)
		s.try(m, concat(b, m.sameKey[:min(n, len(b))]), "%d bytes of another stream behind", n)
		s.try(m, concat(b[:min(n, len(b))], b), "%d bytes twice", n)
		s.try(m, concat(make([]byte, n), b), "%d zeros in front", n)
	}
	s.try(m, concat(b, b), "twice")
	s.try(m, concat(b, m.sameKey), "another stream of the key behind")
	s.try(m, concat(m.sameKey, b), "another stream of the key in front")
}

// sweepLong does what needs several packages.
func sweepLong(s *sweep, m *sample, rnd *rand.Rand) {
	const full = stream.PackageSize
	b := bytes.Clone(m.sealed)
	pkgs := func(b []byte) [3][]byte { return [3][]byte{b[:full], b[full : 2*full], b[2*full:]} }
	own, same, other := pkgs(bytes.Clone(m.sealed)), pkgs(m.sameKey), pkgs(m.other)

	for k := range 3 { // every bit of every header, some of every payload and tag
		places := make([]int, 0, 40)
		for i := range stream.HeaderSize {
			places = append(places, i)
		}
		end := len(own[k])
		places = append(places, 16, 17, end-17, end-16, end-1, 16+rnd.IntN(end-32), 16+rnd.IntN(end-32))
		for _, i := range places {
			bits := 8
			if i >= stream.HeaderSize {
				bits = 2
			}
			for bit := range bits {
				i := k*full + i
				b[i] ^= 1 << bit
				s.try(m, b, "package %d, bit %d of byte %d", k, bit, i)
				b[i] ^= 1 << bit
			}
		}
	}
	// All arrangements of up to four packages of the stream, but the right one.
	var arrange func(have []int, sealed []byte)
	arrange = func(have []int, sealed []byte) {
		s.try(m, sealed, "packages %v", have)
		for k := range 3 {
			if len(have) < 3 || len(have) == 3 && k == 2 {
				arrange(append(have[:len(have):len(have)], k), concat(sealed, own[k]))
			}
		}
	}
	arrange(nil, nil)
	// Packages of other streams among them.
	for pick := 1; pick < 27; pick++ {
		src := [3][3][]byte{own, same, other}
		x, y, z := pick%3, pick/3%3, pick/9
		s.try(m, concat(src[x][0], src[y][1], src[z][2]), "packages of streams %d, %d, %d", x, y, z)
	}
	for _, cut := range []int{1, 15, 16, 17, 31, 32, 33, full - 33, full - 17, full - 1, full, full + 1, full + 16, full + 32, full + 33, 2*full - 1, 2 * full, 2*full + 1, 2*full + 16, 2*full + 32, 2*full + 33, len(b) - 16, len(b) - 1} {
		s.try(m, b[:cut], "cut to %d", cut)
		s.try(m, b[cut:], "cut off %d", cut)
		s.try(m, concat(b[:cut], same[0], b[cut:]), "a package of the key at %d", cut)
		s.try(m, concat(b[:cut], m.sameKey[cut:]), "same key from %d on", cut)
		s.try(m, concat(b[:cut], m.other[cut:]), "other key from %d on", cut)
	}
	for _, n := range []int{1, 15, 16, 32, 33, full} {
		s.try(m, concat(b, make([]byte, n)), "%d zeros behind", n)
		s.try(m, concat(b, b[:n]), "its first %d bytes behind", n)
	}
	// What only the key's owner could make: the rules of the format still hold.
	nonce := [12]byte{1}
	mk := func(c stream.Cipher, nonce [12]byte, n uint32, final bool, payload int) []byte {
		return stream.SealPackage(testKey, c, nonce, n, final, m.plain[:payload])
	}
	twin := stream.AES256GCM + stream.ChaCha20Poly1305 - m.cipher
	const p64 = stream.PayloadSize
	for name, sealed := range map[string][]byte{
		"short package not final":   concat(mk(m.cipher, nonce, 0, false, p64-1), mk(m.cipher, nonce, 1, true, 9)),
		"short package at the end":  concat(mk(m.cipher, nonce, 0, false, 10)),
		"two final packages":        concat(mk(m.cipher, nonce, 0, true, p64), mk(m.cipher, nonce, 1, true, 9)),
		"no final package":          concat(mk(m.cipher, nonce, 0, false, p64)),
		"two nonces":                concat(mk(m.cipher, nonce, 0, false, p64), mk(m.cipher, [12]byte{2}, 1, true, 9)),
		"two ciphers":               concat(mk(m.cipher, nonce, 0, false, p64), mk(twin, nonce, 1, true, 9)),
		"begins with number 1":      concat(mk(m.cipher, nonce, 1, false, p64), mk(m.cipher, nonce, 2, true, 9)),
		"number 1 left out":         concat(mk(m.cipher, nonce, 0, false, p64), mk(m.cipher, nonce, 2, true, 9)),
		"final package of number 0": concat(mk(m.cipher, nonce, 0, false, p64), mk(m.cipher, nonce, 0, true, 9)),
	} {
		f := &forgery{name: name, sealed: sealed, plain: [2][]byte{m.plain, nil}, size: p64 + 9}
		if size, err := stream.DecryptedSize(int64(len(sealed))); err == nil {
			f.size = int(size)
		}
		s.run(f)
	}
}
