package sse_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/objseal/objseal/internal/aead/aeadtest"
	"github.com/objseal/objseal/sse"
)

// compressIndexed returns an S2 stream and its index as MinIO stores it, not yet
// sealed.
func compressIndexed(t testing.TB, plain []byte) (packed, stripped []byte) {
	t.Helper()
	var b bytes.Buffer
	w := s2.NewWriter(&b, s2.WriterConcurrency(1))
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	index, err := w.CloseIndex()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), bytes.Clone(s2.RemoveIndexHeaders(index))
}

// TestIndex: with an index a range of a compressed object fetches the packages
// of the blocks that hold it, across parts too, and an index that is none, or that
// of another part, costs no more than the bytes it would have spared.
func TestIndex(t *testing.T) {
	c := newClient(t)
	const size = 10 << 20
	first, second := mixedBytes(size), append(someBytes(size-1<<20), compressible(1<<20+5)...)
	packed1, index1 := compressIndexed(t, first)
	packed2, index2 := compressIndexed(t, second)
	small := mixedBytes(100)
	parts := sealCompressedParts(t, c, schemeS2, compressedPart{packed1, size}, compressedPart{compress(t, small), 100}, compressedPart{packed2, int64(len(second))})
	key := parts.mustOpen(t, c, object, nil)
	seal1, seal2 := sse.SealIndex(key, index1), sse.SealIndex(key, index2)
	whole := bytes.Join([][]byte{first, small, second}, nil)
	single := sealCompressed(t, c, sse.Request{Method: sse.S3}, packed2, second)
	single.Indexes = map[int][]byte{1: sse.SealIndex(single.mustOpen(t, c, object, nil), index2)}
	plain := sealed{sse.Stored{Metadata: map[string]string{metaComp: schemeS2, metaActual: fmt.Sprint(len(second))}, Size: int64(len(packed2)), Indexes: map[int][]byte{1: index2}}, packed2, ""}
	for _, test := range []struct {
		name    string
		s       sealed
		want    []byte
		indexes map[int][]byte
		spared  bool
	}{
		{"single", single, second, single.Indexes, true},
		{"plain", plain, second, plain.Indexes, true},
		{"parts", parts.sealed, whole, map[int][]byte{1: seal1, 5: seal2}, true},
		{"no index", parts.sealed, whole, nil, false},
		{"not sealed", parts.sealed, whole, map[int][]byte{1: index1, 5: index2}, false},
		{"no such", parts.sealed, whole, map[int][]byte{1: sse.SealIndex(key, []byte("no index")), 5: make([]byte, 2<<20)}, false},
		{"of another part", parts.sealed, whole, map[int][]byte{1: seal2, 5: seal1}, false},
		{"of a small part", parts.sealed, whole, map[int][]byte{3: seal1}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.s.Indexes = test.indexes
			obj, err := sse.OpenAny(background, c, object, test.s.Stored, nil)
			if err != nil {
				t.Fatal(err)
			}
			n := int64(len(test.want))
			for _, off := range []int64{0, 1, 1 << 20, 3<<20 - 1, 6<<20 + 12345, size - 1, size, size + 50, size + 99, size + 100, size + 101, size + 5<<20, n - 1, n - 70000} {
				for _, length := range []int64{1, 100, 70_000, 2 << 20, n} {
					if off < 0 || off >= n || aeadtest.Race && length != 70_000 {
						continue
					}
					r := sse.Range{Offset: off, Length: length}
					want := test.want[off:min(off+length, n)]
					plan, err := obj.Plan(r)
					if err != nil {
						t.Fatal(err)
					}
					rd, err := obj.NewReader(background, func(_ context.Context, from, count int64) (io.ReadCloser, error) {
						if from != plan.Offset || count != plan.Length {
							t.Errorf("fetch of %d+%d, planned %+v", from, count, plan)
						}
						return io.NopCloser(bytes.NewReader(test.s.data[from : from+count])), nil
					}, r)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(rd)
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%+v: %d bytes, %v", r, len(got), err)
					}
					// A range within the incompressible second part: little more than its own
					// bytes, of blocks of 1 MiB and their neighbours.
					if begin := n - int64(len(second)); test.spared && off >= begin && int64(len(want)) < 1<<20 && plan.Length > 4<<20 {
						t.Errorf("%+v: %d bytes for %d", r, plan.Length, len(want))
					}
				}
			}
			if got, _, err := test.s.read(obj, sse.Whole); err != nil || !bytes.Equal(got, test.want) {
				t.Errorf("whole: %d bytes, %v", len(got), err)
			}
		})
	}
	single.Metadata[metaActual] = fmt.Sprint(len(second) - 1) // its index says otherwise: from the start, which shows
	if _, _, err := single.read(single.mustOpen(t, c, object, nil), sse.Range{Offset: 5 << 20, Length: -1}); sse.KindOf(err) != sse.KindTampered {
		t.Error(err)
	}
}
