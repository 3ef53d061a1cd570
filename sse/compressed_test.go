package sse_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"strconv"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/s2"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

// Compressed objects (SSE spec section 7). This package writes none, so the
// tests compress, seal the S2 stream and say so in the metadata, as MinIO does.

const (
	schemeS2     = "klauspost/compress/s2"
	schemeSnappy = "golang/snappy/LZ77"

	s2Identifier = "\xff\x06\x00\x00S2sTwO"
)

// s2Writers are the forms of compressed parts that exist.
var s2Writers = []struct {
	name, scheme string
	options      []s2.WriterOption
}{
	{"unpadded", schemeS2, []s2.WriterOption{s2.WriterBlockSize(64 << 10)}},
	{"padded", schemeS2, []s2.WriterOption{s2.WriterPadding(256), s2.WriterBetterCompression()}},
	{"snappy", schemeSnappy, []s2.WriterOption{s2.WriterSnappyCompat()}},
}

func compress(t testing.TB, plain []byte, o ...s2.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := s2.NewWriter(&b, append(o, s2.WriterConcurrency(1))...)
	_, err := w.Write(plain)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// mixedBytes compress well in their first half and not at all in the second.
func mixedBytes(n int) []byte {
	b := someBytes(n)
	copy(b[:n/2], compressible(n/2))
	return b
}

// sealCompressed is an object in one piece whose packages hold packed.
func sealCompressed(t testing.TB, c *kms.Client, r sse.Request, packed, plain []byte) sealed {
	t.Helper()
	sum := md5.Sum(plain)
	s := seal(t, c, r, object, packed, &sse.EncryptOptions{Policy: sse.ETagSupplied, ETag: sum[:]})
	s.Metadata[metaComp] = schemeS2
	s.Metadata[metaActual] = strconv.Itoa(len(plain))
	return s
}

// compressedPart is a part before it is sealed.
type compressedPart struct {
	packed []byte
	actual int64
}

func sealCompressedParts(t testing.TB, c *kms.Client, scheme string, parts ...compressedPart) multipartSealed {
	t.Helper()
	m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	var packed [][]byte
	for i, p := range parts {
		numbers = append(numbers, 2*i+1)
		packed = append(packed, p.packed)
	}
	s := multipart(t, m, numbers, packed, nil)
	var total int64
	for i, p := range parts {
		s.Parts[i].ActualSize = p.actual
		total += p.actual
	}
	s.Metadata[metaComp] = scheme
	s.Metadata[metaActual] = strconv.FormatInt(total, 10)
	return s
}

func TestCompressed(t *testing.T) {
	c := newClient(t)
	for _, w := range s2Writers {
		for _, size := range []int{1, 4097, 65536, 300000} {
			for _, r := range []sse.Request{{Method: sse.S3}, {Method: sse.C, CustomerKey: customerKey(t, 1)}} {
				t.Run(fmt.Sprintf("%s/%s/size=%d", w.name, r.Method, size), func(t *testing.T) {
					plain := mixedBytes(size)
					s := sealCompressed(t, c, r, compress(t, plain, w.options...), plain)
					s.Metadata[metaComp] = w.scheme
					obj := s.mustOpen(t, c, object, openWith(r))
					if !obj.Compressed || obj.Size != int64(size) || obj.StoredSize != s.Size {
						t.Errorf("%+v", obj.Description)
					}
					if got, i, err := s.read(obj, sse.Whole); err != nil || !bytes.Equal(got, plain) || i.Level != sse.Content {
						t.Errorf("read %d bytes, %+v, %v", len(got), i, err)
					}
					s.checkRanges(t, obj, plain, 0, 1, int64(size)/2, 65536, int64(size))
				})
			}
		}
	}
}

// checkRanges compares ranges that begin and end within a byte of the edges
// with the plaintext, by Read and by WriteTo.
func (s sealed) checkRanges(t *testing.T, obj *sse.Object, plain []byte, edges ...int64) {
	t.Helper()
	size := int64(len(plain))
	for _, a := range edges {
		for _, b := range edges {
			for _, off := range []int64{a - 1, a, a + 1} {
				for _, end := range []int64{b - 1, b, b + 1} {
					if off < 0 || end > size || off >= end {
						continue
					}
					r := sse.Range{Offset: off, Length: end - off}
					got, i, err := s.read(obj, r)
					if err != nil || !bytes.Equal(got, plain[off:end]) {
						t.Fatalf("range %+v: %d bytes, %v", r, len(got), err)
					}
					if i.Level == "" || i.Level == sse.Content && r.Length != size {
						t.Errorf("range %+v: integrity %+v", r, i)
					}
					rd, err := obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(s.data)), r)
					if err != nil {
						t.Fatal(err)
					}
					var b bytes.Buffer
					if n, err := rd.WriteTo(&b); err != nil || n != r.Length || rd.Size() != n || !bytes.Equal(b.Bytes(), plain[off:end]) {
						t.Fatalf("range %+v: WriteTo: %d bytes, %v", r, n, err)
					}
				}
			}
		}
	}
}

// TestCompressedMultipart: every part is an S2 stream of its own, also an empty
// one, which may hold a stream identifier and padding.
func TestCompressedMultipart(t *testing.T) {
	c := newClient(t)
	for _, w := range s2Writers {
		for _, sizes := range [][]int{{1}, {70000, 1, 200000}, {65536, 65536}, {0, 100}, {100, 0, 100}, {100, 0}, {0, 0, 1, 0}} {
			for _, empty := range []string{"", s2Identifier, s2Identifier + "\xfe\x03\x00\x00abc"} {
				t.Run(fmt.Sprintf("%s/sizes=%v/empty=%d", w.name, sizes, len(empty)), func(t *testing.T) {
					var parts []compressedPart
					var whole []byte
					edges := []int64{0}
					for _, n := range sizes {
						plain := mixedBytes(len(whole) + n)[len(whole):]
						packed := compress(t, plain, w.options...)
						if n == 0 {
							packed = []byte(empty)
						}
						parts = append(parts, compressedPart{packed, int64(n)})
						whole = append(whole, plain...)
						edges = append(edges, int64(len(whole)))
					}
					s := sealCompressedParts(t, c, w.scheme, parts...)
					obj := s.mustOpen(t, c, object, nil)
					if !obj.Multipart || !obj.Compressed || obj.Size != int64(len(whole)) {
						t.Fatalf("%+v", obj.Description)
					}
					s.checkRanges(t, obj, whole, append(edges, int64(len(whole)/2))...)
					// The parts know their sizes where the object has lost its own.
					delete(s.Metadata, metaActual)
					if got, _, err := s.read(s.mustOpen(t, c, object, nil), sse.Whole); err != nil || !bytes.Equal(got, whole) {
						t.Errorf("without %s: %d bytes, %v", metaActual, len(got), err)
					}
				})
			}
		}
	}
}

// TestCompressedEmpty: an object may be empty and its S2 stream not.
func TestCompressedEmpty(t *testing.T) {
	c := newClient(t)
	for name, packed := range map[string]string{"nothing": "", "identifier": s2Identifier, "padding": s2Identifier + "\xfe\x03\x00\x00abc"} {
		s := sealCompressed(t, c, sse.Request{Method: sse.S3}, []byte(packed), nil)
		if got, i, err := s.read(s.mustOpen(t, c, object, nil), sse.Whole); err != nil || len(got) != 0 || i.Level != sse.Content {
			t.Errorf("%s: read %q, %+v, %v", name, got, i, err)
		}
		m := sealCompressedParts(t, c, schemeS2, compressedPart{[]byte(packed), 0})
		if got, _, err := m.read(m.mustOpen(t, c, object, nil), sse.Whole); err != nil || len(got) != 0 {
			t.Errorf("%s: one part: read %q, %v", name, got, err)
		}
	}
	// Nobody says that it is empty: not even the actual size.
	m := sealCompressedParts(t, c, schemeS2, compressedPart{[]byte(s2Identifier), 0})
	delete(m.Metadata, metaActual)
	if _, err := m.open(c, object, nil); sse.KindOf(err) != sse.KindTampered {
		t.Errorf("no size at all: %v", err)
	}
	s := sealCompressed(t, c, sse.Request{Method: sse.S3}, nil, nil)
	s.Metadata[metaActual] = "1"
	if _, err := s.open(c, object, nil); sse.KindOf(err) != sse.KindTampered {
		t.Errorf("a byte in no package: %v", err)
	}
}

// TestCompressedSizesLie: what a compressed part holds is held to the size that
// its metadata claims, and no byte beyond it is delivered.
func TestCompressedSizesLie(t *testing.T) {
	c := newClient(t)
	plain := mixedBytes(1000)
	packed := compress(t, plain)
	bomb := compress(t, make([]byte, 16<<20))
	if len(bomb) > 4096 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	for _, test := range []struct {
		name   string
		packed []byte
		claims int64
		r      sse.Range
		want   []byte // at most
	}{
		{"bomb", bomb, 10, sse.Whole, make([]byte, 10)},
		{"bomb that claims to be empty", bomb, 0, sse.Whole, nil},
		{"one byte more", packed, 999, sse.Whole, plain[:999]},
		{"one byte more, range to the end", packed, 999, sse.Range{Offset: 990, Length: -1}, plain[990:999]},
		{"one byte less", packed, 1001, sse.Whole, plain},
		{"one byte less, range to the end", packed, 1001, sse.Range{Offset: -1, Length: -1}, nil},
		{"huge", packed, math.MaxInt64, sse.Whole, plain},
		{"huge, far range", packed, math.MaxInt64, sse.Range{Offset: 1 << 40, Length: 5}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := sealCompressed(t, c, sse.Request{Method: sse.S3}, test.packed, plain)
			s.Metadata[metaActual] = strconv.FormatInt(test.claims, 10)
			s.checkRefused(t, c, test.r, test.want, sse.KindTampered)
			m := sealCompressedParts(t, c, schemeS2, compressedPart{test.packed, test.claims})
			m.checkRefused(t, c, test.r, test.want, sse.KindTampered)
		})
	}
	two := func(first, second int64) multipartSealed {
		s := sealCompressedParts(t, c, schemeS2, compressedPart{packed, first}, compressedPart{packed, second})
		delete(s.Metadata, metaActual)
		return s
	}
	for _, total := range []string{"1999", "2001", "0"} {
		s := two(1000, 1000)
		s.Metadata[metaActual] = total
		if _, err := s.open(c, object, nil); sse.KindOf(err) != sse.KindTampered {
			t.Errorf("a total of %s: %v", total, err)
		}
	}
	// The sum is right, so only the end of the first part tells.
	for _, off := range []int64{-1, 1} {
		s := two(1000+off, 1000-off)
		s.checkRefused(t, c, sse.Whole, plain, sse.KindTampered)
		s.checkRefused(t, c, sse.Range{Offset: 990, Length: 20}, plain[990:], sse.KindTampered)
	}
	for _, sizes := range [][2]int64{{math.MaxInt64, math.MaxInt64}, {math.MaxInt64, 1}, {1 << 62, 1 << 62}, {-1, 1001}, {1<<48 + 1, 1}} {
		if obj, err := two(sizes[0], sizes[1]).open(c, object, nil); sse.KindOf(err) != sse.KindTampered {
			t.Errorf("parts of %d bytes: %+v, %v", sizes, obj, err)
		}
	}
}

// checkRefused expects a failure at Open or while reading, after no other bytes
// than the front of most.
func (s sealed) checkRefused(t *testing.T, c *kms.Client, r sse.Range, most []byte, kind sse.Kind) {
	t.Helper()
	for _, read := range []func(*sse.Reader) ([]byte, error){
		func(r *sse.Reader) ([]byte, error) { return io.ReadAll(r) },
		func(r *sse.Reader) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) },
		func(r *sse.Reader) ([]byte, error) {
			var b bytes.Buffer
			_, err := r.WriteTo(&b)
			return b.Bytes(), err
		},
	} {
		var got []byte
		obj, err := s.open(c, object, nil)
		if err == nil {
			var rd *sse.Reader
			if rd, err = obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(s.data)), r); err == nil {
				got, err = read(rd)
				if rd.Size() > 0 && int64(len(got)) >= rd.Size() {
					t.Errorf("range %+v: all of its %d bytes came before %v", r, len(got), err)
				}
				if rd.Integrity().Level != "" {
					t.Errorf("integrity %+v after %v", rd.Integrity(), err)
				}
			}
		}
		if sse.KindOf(err) != kind || !bytes.HasPrefix(most, got) {
			t.Errorf("range %+v: %d bytes, kind %q, want %q: %v", r, len(got), sse.KindOf(err), kind, err)
		}
	}
}

// TestCompressedDamaged: S2 streams that no compressor made, under authentic
// packages, and packages that are not authentic under an S2 stream.
func TestCompressedDamaged(t *testing.T) {
	c := newClient(t)
	plain := mixedBytes(400000)
	packed := compress(t, plain, s2.WriterBlockSize(64<<10))
	changed := func(at int, b ...byte) []byte {
		p := bytes.Clone(packed)
		copy(p[at:], b)
		return p
	}
	for name, packed := range map[string][]byte{
		"no stream identifier": packed[len(s2Identifier):],
		"cut":                  packed[:len(packed)-1],
		"cut in a header":      packed[:len(s2Identifier)+3],
		"another CRC":          changed(len(s2Identifier)+4, packed[len(s2Identifier)+4]^1),
		"unskippable chunk":    changed(len(s2Identifier), 0x02),
		"plain bytes":          plain,
		"chunk behind the end": append(bytes.Clone(packed), 0x02, 0, 0, 0),
		"huge block":           append([]byte(s2Identifier+"\x00\x0e\x00\x00"+"\x00\x00\x00\x00"+"\xff\xff\xff\xff\x0f"), make([]byte, 5)...),
	} {
		t.Run(name, func(t *testing.T) {
			s := sealCompressed(t, c, sse.Request{Method: sse.S3}, packed, plain)
			s.checkRefused(t, c, sse.Whole, plain, sse.KindTampered)
			s.checkRefused(t, c, sse.Range{Offset: 1, Length: -1}, plain[1:], sse.KindTampered)
		})
	}
	s := sealCompressed(t, c, sse.Request{Method: sse.S3}, packed, plain)
	if len(s.data) < 2*stream.PackageSize {
		t.Fatalf("only %d bytes", len(s.data))
	}
	good := s.data
	s.data = good[:stream.PackageSize]
	s.checkRefused(t, c, sse.Whole, plain, sse.KindTruncated)
	s.data = bytes.Clone(good)
	s.data[len(s.data)-1] ^= 1
	s.checkRefused(t, c, sse.Whole, plain, sse.KindTampered)

	// Failures of others are not the S2 stream's fault.
	s.data = good
	broken := errors.New("disk on fire")
	obj := s.mustOpen(t, c, object, nil)
	for _, r := range []sse.Range{sse.Whole, {Offset: 350000, Length: 10}} {
		fetch := func(context.Context, int64, int64) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(good[:70000]), iotest.ErrReader(broken))), nil
		}
		rd, err := obj.NewReader(background, fetch, r)
		if err == nil {
			_, err = io.ReadAll(rd)
		}
		if !errors.Is(err, broken) || sse.KindOf(err) != sse.KindNone {
			t.Errorf("source fails: %v", err)
		}
		rd, err = obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(good)), r)
		if err == nil {
			_, err = rd.WriteTo(failingWriter{broken})
		}
		if !errors.Is(err, broken) || sse.KindOf(err) != sse.KindNone {
			t.Errorf("writer fails: %v", err)
		}
		rd, err = obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(good)), r)
		if err == nil {
			_, err = rd.WriteTo(shortWriter{})
		}
		if !errors.Is(err, io.ErrShortWrite) || sse.KindOf(err) != sse.KindNone {
			t.Errorf("short writes: %v", err)
		}
	}
}

// TestCompressedWarning: a CRC64NVME that does not fit is tolerated where the
// MD5 proves the content, also if that MD5 has the look of a random ETag (SSE
// spec section 5).
func TestCompressedWarning(t *testing.T) {
	c := newClient(t)
	for _, shaped := range []bool{false, true} {
		plain := mixedBytes(5000)
		for i := 0; ; i++ {
			plain[0], plain[1] = byte(i), byte(i>>8)
			if sum := md5.Sum(plain); uuidShaped(sum[:]) == shaped {
				break
			}
		}
		for name, r := range requests(t) {
			s := sealCompressed(t, c, r, compress(t, plain), plain)
			obj := s.mustOpen(t, c, object, openWith(r))
			record := append([]byte{0x80, 0x02}, 1, 2, 3, 4, 5, 6, 7, 8) // CRC64NVME
			s.Metadata = maps.Clone(s.Metadata)
			s.Metadata[metaCRC] = sse.SealChecksums(obj, record)
			obj = s.mustOpen(t, c, object, openWith(r))
			got, i, err := s.read(obj, sse.Whole)
			if err != nil || !bytes.Equal(got, plain) || i.Level != sse.Content || i.Evidence != "MD5 ETag" || i.Warning == "" {
				t.Errorf("%s, shaped %v: read %d bytes, %+v, %v", name, shaped, len(got), i, err)
			}
			delete(s.Metadata, "etag") // no proof, no tolerance
			if _, _, err := s.read(s.mustOpen(t, c, object, openWith(r)), sse.Whole); sse.KindOf(err) != sse.KindTampered {
				t.Errorf("%s: without the ETag: %v", name, err)
			}
		}
	}
}
