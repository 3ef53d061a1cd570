package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/objseal/objseal/stream"
)

// bruteRange is PackageRange by looking at every package.
func bruteRange(size, off, n int64) stream.Range {
	var r stream.Range
	for k := int64(0); k*stream.PayloadSize < size; k++ {
		from := k * stream.PayloadSize
		to := min(from+stream.PayloadSize, size)
		if n == 0 || to <= off || from >= off+n {
			continue
		}
		if r.Length == 0 {
			r = stream.Range{Offset: k * stream.PackageSize, Sequence: uint32(k), Skip: off - from, N: n}
		}
		r.Length += to - from + stream.Overhead
		r.Final = to == size
	}
	return r
}

var rangeSizes = []int64{0, 1, 100, 65535, 65536, 65537, 131071, 131072, 131073, 196608, 200000}

func TestPackageRange(t *testing.T) {
	for _, size := range rangeSizes {
		for _, off := range rangeSizes {
			for _, n := range rangeSizes {
				got, err := stream.PackageRange(size, off, n)
				if off+n > size {
					if !errors.Is(err, stream.ErrInvalidRange) {
						t.Errorf("PackageRange(%d, %d, %d): %v", size, off, n, err)
					}
					continue
				}
				if want := bruteRange(size, off, n); got != want || err != nil {
					t.Errorf("PackageRange(%d, %d, %d) = %+v, %v; want %+v", size, off, n, got, err, want)
				}
			}
		}
	}
	const max = 1 << 48
	want := stream.Range{Offset: max + 1<<37 - stream.PackageSize, Length: stream.PackageSize, Sequence: 1<<32 - 1, Skip: 65535, N: 1, Final: true}
	if got, err := stream.PackageRange(max, max-1, 1); got != want || err != nil {
		t.Errorf("last byte of the largest stream: %+v, %v", got, err)
	}
	for _, tt := range []struct {
		size, off, n int64
		want         error
	}{
		{-1, 0, 0, stream.ErrInvalidRange},
		{10, -1, 1, stream.ErrInvalidRange},
		{10, 0, -1, stream.ErrInvalidRange},
		{10, 11, 0, stream.ErrInvalidRange},
		{10, 10, 1, stream.ErrInvalidRange},
		{10, 1, 1<<63 - 1, stream.ErrInvalidRange},
		{10, 1<<63 - 1, 1<<63 - 1, stream.ErrInvalidRange},
		{max + 1, 0, 1, stream.ErrTooLarge},
	} {
		if got, err := stream.PackageRange(tt.size, tt.off, tt.n); !errors.Is(err, tt.want) || got != (stream.Range{}) {
			t.Errorf("PackageRange(%d, %d, %d) = %+v, %v; want %v", tt.size, tt.off, tt.n, got, err, tt.want)
		}
	}
}

// strictReader fails the test when asked for more than it may give.
type strictReader struct {
	t    *testing.T
	p    []byte
	read int
}

func (r *strictReader) Read(p []byte) (int, error) {
	if r.read+len(p) > len(r.p) {
		r.t.Errorf("the range reader asks for %d bytes where %d are left", len(p), len(r.p)-r.read)
	}
	n := copy(p, r.p[r.read:])
	r.read += n
	return n, nil // never io.EOF: who waits for it reads too far
}

func TestRangeReader(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		for _, size := range rangeSizes[1:] {
			plain := plaintext(int(size))
			sealed := seal(t, plain, nil)
			if legacy {
				sealed = sealLegacy(stream.AES256GCM, plain, stream.PayloadSize, 0)
			}
			for _, off := range rangeSizes {
				for _, n := range rangeSizes {
					if off+n > size {
						continue
					}
					r := must(stream.PackageRange(size, off, n))
					for _, step := range []int{100, 65536, 1 << 20} {
						name := fmt.Sprintf("legacy=%v,size=%d,off=%d,n=%d,step=%d", legacy, size, off, n, step)
						src := &strictReader{t: t, p: sealed[r.Offset : r.Offset+r.Length]}
						d := must(stream.NewRangeReader(testKey, src, r, &stream.Options{AllowLegacy: legacy}))
						got, err := readAll(d, step)
						if err != nil {
							t.Fatalf("%s: %v", name, err)
						}
						equal(t, name, got, plain[off:off+n])
						if src.read != int(r.Length) {
							t.Errorf("%s: %d of %d bytes read", name, src.read, r.Length)
						}
						// Where the caller knows how much comes and stops there, all is
						// authenticated too.
						src = &strictReader{t: t, p: src.p}
						d = must(stream.NewRangeReader(testKey, src, r, &stream.Options{AllowLegacy: legacy}))
						var out bytes.Buffer
						if m, err := d.WriteTo(&out); m != n || err != nil {
							t.Fatalf("%s: WriteTo: %d, %v", name, m, err)
						}
						equal(t, name, out.Bytes(), plain[off:off+n])
					}
				}
			}
		}
	}
}

func TestRangeReaderRefuses(t *testing.T) {
	const p64, full = stream.PayloadSize, stream.PackageSize
	plain := plaintext(3*p64 + 100)
	sealed := seal(t, plain, nil)
	size := int64(len(plain))
	r := must(stream.PackageRange(size, p64+10, 2*p64)) // packages 1 to 3: the last is final
	if !r.Final || r.Sequence != 1 {
		t.Fatalf("%+v", r)
	}
	part := sealed[r.Offset : r.Offset+r.Length]
	change := func(f func(r *stream.Range)) stream.Range { r := r; f(&r); return r }
	flip := func(i int) []byte { b := bytes.Clone(part); b[i] ^= 1; return b }
	for _, tt := range []struct {
		name string
		src  []byte
		r    stream.Range
		want error
	}{
		{"short by a byte", part[:len(part)-1], r, stream.ErrTruncated},
		{"short by a package", part[:2*full], r, stream.ErrTruncated},
		{"empty", nil, r, stream.ErrTruncated},
		{"short by a package that is only checked", part[:full],
			stream.Range{Offset: full, Length: 2 * full, Sequence: 1, N: 10}, stream.ErrTruncated},
		{"number too low", part, change(func(r *stream.Range) { r.Sequence-- }), stream.ErrTampered},
		{"number too high", part, change(func(r *stream.Range) { r.Sequence++ }), stream.ErrTampered},
		{"first changed", flip(100), r, stream.ErrTampered},
		{"last changed", flip(len(part) - 1), r, stream.ErrTampered},

		// A size that is not that of the stream.
		{"final package is not the last", part[:2*full],
			must(stream.PackageRange(3*p64, p64+10, p64)), stream.ErrTruncated},
		{"stream ends early", part,
			stream.Range{Offset: full, Length: int64(len(part)) + full, Sequence: 1, N: 10, Final: true}, stream.ErrTampered},
		{"final package where none may be", sealOne(1, true), stream.Range{Offset: full, Length: full, Sequence: 1, N: p64}, stream.ErrTampered},
		{"no final package where one must be", sealOne(1, false), stream.Range{Offset: full, Length: full, Sequence: 1, N: p64, Final: true}, stream.ErrTruncated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, step := range []int{100, 65536, 1 << 20} {
				d := must(stream.NewRangeReader(testKey, bytes.NewReader(append(bytes.Clone(tt.src), make([]byte, 2*full)...)[:len(tt.src):len(tt.src)]), tt.r, nil))
				got, err := readAll(d, step)
				if !errors.Is(err, tt.want) {
					t.Errorf("step=%d: %d bytes, %v; want %v", step, len(got), err, tt.want)
				}
				if _, again := d.Read(make([]byte, step)); again != err {
					t.Errorf("step=%d: later Read: %v", step, again)
				}
			}
		})
	}

	for _, tt := range []struct {
		name string
		r    stream.Range
		o    *stream.Options
		want error
	}{
		{"Sequence", r, &stream.Options{Sequence: 1}, stream.ErrInvalidOptions},
		{"negative length", change(func(r *stream.Range) { r.Length = -1 }), nil, stream.ErrInvalidRange},
		{"impossible length", change(func(r *stream.Range) { r.Length = full + 32 }), nil, stream.ErrInvalidRange},
		{"negative offset", change(func(r *stream.Range) { r.Offset = -1 }), nil, stream.ErrInvalidRange},
		{"negative skip", change(func(r *stream.Range) { r.Skip = -1 }), nil, stream.ErrInvalidRange},
		{"negative N", change(func(r *stream.Range) { r.N = -1 }), nil, stream.ErrInvalidRange},
		{"N too large", change(func(r *stream.Range) { r.N = 3 * p64 }), nil, stream.ErrInvalidRange},
		{"N overflows", change(func(r *stream.Range) { r.N = 1<<63 - 1 }), nil, stream.ErrInvalidRange},
		{"skip too large", change(func(r *stream.Range) { r.Skip = 3 * p64 }), nil, stream.ErrInvalidRange},
		{"not final and short", change(func(r *stream.Range) { r.Final = false }), nil, stream.ErrInvalidRange},
		{"number too large", change(func(r *stream.Range) { r.Sequence = 1<<32 - 1 }), nil, stream.ErrTooLarge},
	} {
		if _, err := stream.NewRangeReader(testKey, bytes.NewReader(part), tt.r, tt.o); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	d := must(stream.NewRangeReader(testKey, nil, stream.Range{}, nil))
	if n, err := d.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("the empty range: %d, %v", n, err)
	}
}

// A 1.0 stream has no end mark, but a range of it knows how much must come.
func TestLegacyRangeTruncated(t *testing.T) {
	size := int64(3 * stream.PayloadSize)
	sealed := sealLegacy(stream.AES256GCM, plaintext(int(size)), stream.PayloadSize, 0)
	r := must(stream.PackageRange(size, 10, size-20))
	for k := range 3 {
		d := must(stream.NewRangeReader(testKey, bytes.NewReader(sealed[:k*stream.PackageSize]), r, &stream.Options{AllowLegacy: true}))
		if got, err := readAll(d, 1000); !errors.Is(err, stream.ErrTruncated) {
			t.Errorf("%d of 3 packages: %d bytes, %v", k, len(got), err)
		}
	}
}

// sealOne makes one full package.
func sealOne(number uint32, final bool) []byte {
	return stream.SealPackage(testKey, stream.AES256GCM, [12]byte{5}, number, final, plaintext(stream.PayloadSize))
}

// A range error names the package and its place in the whole stream.
func TestRangeErrorOffset(t *testing.T) {
	sealed := seal(t, plaintext(3*stream.PayloadSize), nil)
	sealed[2*stream.PackageSize+50] ^= 1
	r := must(stream.PackageRange(3*stream.PayloadSize, stream.PayloadSize, 2*stream.PayloadSize))
	d := must(stream.NewRangeReader(testKey, bytes.NewReader(sealed[r.Offset:]), r, nil))
	_, err := readAll(d, 1000)
	var e *stream.Error
	if !errors.As(err, &e) || e.Package != 2 || e.Offset != 2*stream.PackageSize {
		t.Errorf("%v; want package 2 at %d", err, 2*stream.PackageSize)
	}
}

// DARE section 10, case 11: a stream read from its package k on.
func TestSequenceStart(t *testing.T) {
	plain := plaintext(2*stream.PayloadSize + 100)
	sealed := seal(t, plain, nil)
	for k := range 3 {
		for start := range 4 {
			for _, d := range decrypters {
				got, err := d.run(testKey, sealed[k*stream.PackageSize:], &stream.Options{Sequence: uint32(start)}, 1000)
				if k != start {
					if !errors.Is(err, stream.ErrTampered) || len(got) > 0 {
						t.Errorf("%s from package %d as %d: %d bytes, %v", d.name, k, start, len(got), err)
					}
					continue
				}
				if err != nil {
					t.Errorf("%s from package %d: %v", d.name, k, err)
				}
				equal(t, d.name, got, plain[k*stream.PayloadSize:])
			}
		}
	}
}
