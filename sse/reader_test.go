package sse_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

// readable is an opened object of some form, with its plaintext.
type readable struct {
	sealed
	*sse.Object
	plain []byte
}

func (r readable) reader(t testing.TB, span sse.Range) *sse.Reader {
	t.Helper()
	rd, err := r.NewReader(background, sse.FetchReaderAt(bytes.NewReader(r.data)), span)
	if err != nil {
		t.Fatal(err)
	}
	return rd
}

// readables is an object of every form.
func readables(t testing.TB) map[string]readable {
	t.Helper()
	c, r := newClient(t), sse.Request{Method: sse.S3}
	plain := mixedBytes(200000)
	m, err := sse.NewMultipart(background, c, r, object)
	if err != nil {
		t.Fatal(err)
	}
	parts := [][]byte{plain[:65536], plain[65536:65540], plain[65540:]}
	var packed []compressedPart
	for _, p := range parts {
		packed = append(packed, compressedPart{compress(t, p), int64(len(p))})
	}
	all := map[string]readable{
		"single":               {sealed: seal(t, c, r, object, plain, nil)},
		"multipart":            {sealed: multipart(t, m, []int{2, 4, 9}, parts, nil).sealed},
		"compressed":           {sealed: sealCompressed(t, c, r, compress(t, plain), plain)},
		"compressed multipart": {sealed: sealCompressedParts(t, c, schemeS2, packed...).sealed},
	}
	for name, o := range all {
		all[name] = readable{o.sealed, o.mustOpen(t, c, object, nil), plain}
	}
	empty := seal(t, c, r, object, nil, nil)
	all["empty"] = readable{empty, empty.mustOpen(t, c, object, nil), nil}
	return all
}

// TestReaderContract holds Reader to io.Reader and io.WriterTo, for objects of
// every form, whole and in part.
func TestReaderContract(t *testing.T) {
	for name, o := range readables(t) {
		spans := map[string]sse.Range{"whole": sse.Whole}
		if o.Object.Size > 0 {
			spans["range"] = sse.Range{Offset: 65530, Length: 70000}
		}
		for span, r := range spans {
			want := o.plain
			if r != sse.Whole {
				want = want[r.Offset : r.Offset+r.Length]
			}
			t.Run(name+"/"+span, func(t *testing.T) {
				if err := iotest.TestReader(o.reader(t, r), want); err != nil {
					t.Error(err)
				}
				rd := o.reader(t, r)
				if rd.Size() != int64(len(want)) {
					t.Errorf("size %d", rd.Size())
				}
				if n, err := rd.Read(nil); n != 0 || err != nil && (err != io.EOF || len(want) > 0) {
					t.Errorf("Read of nothing: %d, %v", n, err)
				}
				head := make([]byte, min(70001, len(want)/2))
				if _, err := io.ReadFull(rd, head); err != nil {
					t.Fatal(err)
				}
				rest := bytes.NewBuffer(head)
				if n, err := rd.WriteTo(rest); err != nil || n != int64(len(want)-len(want[:min(70001, len(want)/2)])) || !bytes.Equal(rest.Bytes(), want) {
					t.Errorf("WriteTo behind Read: %d bytes, %v", n, err)
				}
				for range 2 {
					if n, err := rd.Read(make([]byte, 10)); n != 0 || err != io.EOF {
						t.Errorf("Read behind WriteTo: %d, %v", n, err)
					}
					if n, err := rd.WriteTo(rest); n != 0 || err != nil {
						t.Errorf("WriteTo behind WriteTo: %d, %v", n, err)
					}
				}
				if i := rd.Integrity(); i.Level == "" || i.Level == sse.Content && r != sse.Whole {
					t.Errorf("integrity %+v", i)
				}
			})
		}
	}
}

// TestReaderDestinationFails: whatever a destination does wrong is its own
// failure, not one of the object, and it stays.
func TestReaderDestinationFails(t *testing.T) {
	broken := errors.New("disk full")
	for name, o := range readables(t) {
		if o.Object.Size == 0 {
			continue
		}
		for _, test := range []struct {
			name string
			w    io.Writer
			want error
		}{
			{"fails", failingWriter{broken}, broken},
			{"fails with EOF", failingWriter{io.EOF}, io.EOF},
			{"short", shortWriter{}, io.ErrShortWrite},
			{"impossible count", greedyWriter{}, nil},
		} {
			rd := o.reader(t, sse.Whole)
			_, err := rd.WriteTo(test.w)
			if err == nil || err == io.EOF || sse.KindOf(err) != sse.KindNone || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%s, %s: %v", name, test.name, err)
			} else if text := err.Error(); strings.Contains(text, "part ") || !strings.Contains(text, object.Object) {
				t.Errorf("%s, %s: the message is misleading: %v", name, test.name, err)
			}
			if n, again := rd.Read(make([]byte, 1)); n != 0 || again != err {
				t.Errorf("%s, %s: then Read: %d, %v", name, test.name, n, again)
			}
		}
	}
}

// shortWriter and greedyWriter break the contract of io.Writer.
type (
	shortWriter  struct{}
	greedyWriter struct{}
)

func (shortWriter) Write(p []byte) (int, error)  { return len(p) / 2, nil }
func (greedyWriter) Write(p []byte) (int, error) { return len(p) + 1<<20, nil }

// closeCounter counts how often a source was closed.
type closeCounter struct {
	io.Reader
	n   int
	err error
}

func (c *closeCounter) Close() error { c.n++; return c.err }

func TestReaderClose(t *testing.T) {
	broken := errors.New("connection lost")
	for name, o := range readables(t) {
		if o.Object.Size == 0 {
			continue
		}
		for _, read := range []int{0, 10, len(o.plain), len(o.plain) + 1} {
			source := &closeCounter{Reader: bytes.NewReader(o.data), err: broken}
			fetch := func(_ context.Context, off, n int64) (io.ReadCloser, error) {
				if off != 0 || n != int64(len(o.data)) {
					t.Errorf("%s: fetch of %d bytes at %d", name, n, off)
				}
				return source, nil
			}
			rd, err := o.NewReader(background, fetch, sse.Whole)
			if err != nil {
				t.Fatal(err)
			}
			n, _ := io.ReadFull(rd, make([]byte, read))
			if n != min(read, len(o.plain)) || source.n != 0 {
				t.Errorf("%s: %d bytes read, closed %d times", name, n, source.n)
			}
			if err := rd.Close(); !errors.Is(err, broken) {
				t.Errorf("%s: Close: %v", name, err)
			}
			if err := rd.Close(); err != nil || source.n != 1 {
				t.Errorf("%s: Close again: %v, the source was closed %d times", name, err, source.n)
			}
			if n, err := rd.Read(make([]byte, 1)); n != 0 || err == nil || (err == io.EOF) != (read > len(o.plain)) {
				t.Errorf("%s: Read after Close behind %d bytes: %d, %v", name, read, n, err)
			}
		}
	}
}

// TestRangeFetchesOnlyItsPackages: a range of an object that is not compressed
// costs the packages that hold it and nothing more.
func TestRangeFetchesOnlyItsPackages(t *testing.T) {
	o := readables(t)["single"]
	for _, test := range []struct{ off, n, wantOff, wantN int64 }{
		{0, 1, 0, 65568}, {65535, 1, 0, 65568}, {65536, 1, 65568, 65568}, {65535, 2, 0, 2 * 65568}, {199999, 1, 3 * 65568, 200000 - 3*65536 + 32},
	} {
		calls := 0
		rd, err := o.NewReader(background, func(_ context.Context, off, n int64) (io.ReadCloser, error) {
			calls++
			if off != test.wantOff || n != test.wantN {
				t.Errorf("range %d+%d: fetch of %d bytes at %d", test.off, test.n, n, off)
			}
			return io.NopCloser(bytes.NewReader(o.data[off : off+n])), nil
		}, sse.Range{Offset: test.off, Length: test.n})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(rd); err != nil || int64(len(b)) != test.n || calls != 1 {
			t.Errorf("range %d+%d: %d bytes, %v, %d calls", test.off, test.n, len(b), err, calls)
		}
	}
}

// TestObjectConcurrently: one Object serves many readers, and a Wipe between
// them ends nothing that was begun.
func TestObjectConcurrently(t *testing.T) {
	for name, o := range readables(t) {
		t.Run(name, func(t *testing.T) {
			begun := o.reader(t, sse.Whole)
			var group sync.WaitGroup
			for i := range 8 {
				group.Go(func() {
					rd, err := o.NewReader(background, sse.FetchReaderAt(bytes.NewReader(o.data)), sse.Whole)
					if err != nil {
						if !strings.Contains(err.Error(), "wiped") || sse.KindOf(err) != sse.KindNone {
							t.Error(err)
						}
						return
					}
					if got, err := io.ReadAll(rd); err != nil || !bytes.Equal(got, o.plain) {
						t.Errorf("read %d bytes, %v", len(got), err)
					}
					o.ETag()
					o.Checksums()
					if i%4 == 3 {
						o.Wipe()
					}
				})
			}
			group.Wait()
			if _, err := o.NewReader(background, sse.FetchReaderAt(bytes.NewReader(o.data)), sse.Whole); err == nil || !strings.Contains(err.Error(), "wiped") {
				t.Errorf("a new reader after Wipe: %v", err)
			}
			if got, err := io.ReadAll(begun); err != nil || !bytes.Equal(got, o.plain) {
				t.Errorf("a reader begun before Wipe: %d bytes, %v", len(got), err)
			}
			if o.Name() != object {
				t.Errorf("name %v", o.Name())
			}
		})
	}
}

// TestMultipartConcurrently encrypts parts side by side.
func TestMultipartConcurrently(t *testing.T) {
	c := newClient(t)
	m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
	if err != nil {
		t.Fatal(err)
	}
	const parts = 8
	plain := someBytes(parts * 70000)
	data := make([][]byte, parts)
	done := make([]sse.CompletedPart, parts)
	var group sync.WaitGroup
	for i := range parts {
		group.Go(func() {
			u, err := m.Part(background, i+1, bytes.NewReader(plain[i*70000:][:70000]), nil)
			if err == nil {
				data[i], err = io.ReadAll(u)
			}
			if err != nil {
				t.Error(err)
				return
			}
			done[i] = sse.CompletedPart{Number: i + 1, ETag: u.ETag(), ActualSize: u.Size()}
			m.Metadata()
		})
	}
	group.Wait()
	var s sealed
	if s.Metadata, err = m.Complete(done); err != nil {
		t.Fatal(err)
	}
	for i, d := range data {
		s.data = append(s.data, d...)
		s.Parts = append(s.Parts, sse.Part{Number: i + 1, Size: int64(len(d))})
	}
	s.Size = int64(len(s.data))
	if got, _, err := s.read(s.mustOpen(t, c, object, nil), sse.Whole); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

// TestKeysAreWiped: who is done with an object key has none.
func TestKeysAreWiped(t *testing.T) {
	wiped := make([]byte, 32)
	for name, o := range readables(t) {
		for how, end := range map[string]func(*sse.Reader){
			"Read":    func(r *sse.Reader) { io.ReadAll(r) },
			"WriteTo": func(r *sse.Reader) { r.WriteTo(io.Discard) },
			"Close":   func(r *sse.Reader) { r.Close() },
			"failure": func(r *sse.Reader) { r.WriteTo(failingWriter{io.EOF}) },
		} {
			rd := o.reader(t, sse.Whole)
			if bytes.Equal(sse.ObjectKeyOf(rd), wiped) {
				t.Errorf("%s: a new reader has no key", name)
			}
			if end(rd); !bytes.Equal(sse.ObjectKeyOf(rd), wiped) {
				t.Errorf("%s: the reader has its key after %s", name, how)
			}
		}
		if o.Wipe(); sse.ObjectKeyOf(o.Object) != nil {
			t.Errorf("%s: the object has its key after Wipe", name)
		}
	}
	for how, w := range map[string]io.Writer{"success": io.Discard, "failure": failingWriter{io.EOF}} {
		u, err := sse.Encrypt(background, newClient(t), sse.Request{Method: sse.S3}, object, strings.NewReader("data"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(sse.ObjectKeyOf(u), wiped) {
			t.Error("a new upload has no key")
		}
		if u.WriteTo(w); !bytes.Equal(sse.ObjectKeyOf(u), wiped) {
			t.Errorf("the upload has its key after %s", how)
		}
	}
}

// TestCancelledWriteTo: a package may hold a thousand times its size, and a
// caller who is gone gets none of the rest.
func TestCancelledWriteTo(t *testing.T) {
	plain := make([]byte, 16<<20)
	c := newClient(t)
	s := sealCompressed(t, c, sse.Request{Method: sse.S3}, compress(t, plain), plain)
	ctx, cancel := context.WithCancel(background)
	rd, err := s.mustOpen(t, c, object, nil).NewReader(ctx, sse.FetchReaderAt(bytes.NewReader(s.data)), sse.Whole)
	if err != nil {
		t.Fatal(err)
	}
	writes := 0
	_, err = rd.WriteTo(writerFunc(func(p []byte) (int, error) {
		cancel()
		writes++
		return len(p), nil
	}))
	if !errors.Is(err, context.Canceled) || writes != 1 {
		t.Errorf("%d writes, %v", writes, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestEmptyFetchesNothing: there is nothing to fetch of zero stored bytes.
func TestEmptyFetchesNothing(t *testing.T) {
	o := readables(t)["empty"]
	rd, err := o.NewReader(background, func(context.Context, int64, int64) (io.ReadCloser, error) {
		t.Error("fetched")
		return nil, io.EOF
	}, sse.Whole)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(rd); err != nil || len(b) != 0 || rd.Integrity().Level != sse.Content || rd.Close() != nil {
		t.Errorf("read %q, %+v, %v", b, rd.Integrity(), err)
	}
}

// TestCancelledSkip: a compressed range that begins far inside is not read to
// its beginning for a caller who is gone.
func TestCancelledSkip(t *testing.T) {
	for name, o := range readables(t) {
		if o.Object.Size == 0 {
			continue
		}
		ctx, cancel := context.WithCancel(background)
		read := 0
		fetch := func(_ context.Context, off, n int64) (io.ReadCloser, error) {
			return io.NopCloser(readerFunc(func(p []byte) (int, error) {
				cancel()
				n := copy(p[:min(len(p), 1000)], o.data[int(off)+read:])
				read += n
				return n, nil
			})), nil
		}
		rd, err := o.NewReader(ctx, fetch, sse.Range{Offset: o.Object.Size - 10, Length: 5})
		if err == nil {
			_, err = rd.Read(make([]byte, 5))
		}
		if !errors.Is(err, context.Canceled) || read != 1000 {
			t.Errorf("%s: %d bytes of the source were read, %v", name, read, err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestRanges is every way to ask for a run of bytes.
func TestRanges(t *testing.T) {
	all := readables(t)
	one := all["single"]
	const size = 200000
	for _, test := range []struct {
		r      sse.Range
		off, n int64 // n 0: refused
	}{
		{sse.Whole, 0, size}, {sse.Range{0, size}, 0, size}, {sse.Range{0, size + 1}, 0, size}, {sse.Range{0, 1<<63 - 1}, 0, size},
		{sse.Range{1, 1<<63 - 1}, 1, size - 1}, {sse.Range{size - 1, -1}, size - 1, 1}, {sse.Range{size - 1, 1}, size - 1, 1},
		{sse.Range{-1, -1}, size - 1, 1}, {sse.Range{-size, -1}, 0, size}, {sse.Range{-size - 1, -1}, 0, size}, {sse.Range{-1 << 63, -1}, 0, size},
		{sse.Range{}, 0, 0}, {sse.Range{5, 0}, 0, 0}, {sse.Range{size, 1}, 0, 0}, {sse.Range{size, -1}, 0, 0}, {sse.Range{1<<63 - 1, 1<<63 - 1}, 0, 0},
		{sse.Range{0, -2}, 0, 0}, {sse.Range{-5, 3}, 0, 0}, {sse.Range{-5, -2}, 0, 0}, {sse.Range{0, -1 << 63}, 0, 0},
	} {
		got, i, err := one.read(one.Object, test.r)
		if test.n == 0 {
			if !errors.Is(err, sse.ErrRange) {
				t.Errorf("range %+v: %v, want ErrRange", test.r, err)
			}
			continue
		}
		if err != nil || !bytes.Equal(got, one.plain[test.off:test.off+test.n]) || (i.Level == sse.Content) != (test.n == size) {
			t.Errorf("range %+v: %d bytes, %+v, %v", test.r, len(got), i, err)
		}
	}
	empty := all["empty"]
	for _, r := range []sse.Range{{}, {0, 1}, {-1, -1}, {1, -1}} {
		if _, _, err := empty.read(empty.Object, r); !errors.Is(err, sse.ErrRange) {
			t.Errorf("range %+v of an empty object: %v", r, err)
		}
	}
}

// TestTruncatedAnywhere: whatever is missing at the end is missed, whole and by
// range, and so is whatever is too much inside.
func TestTruncatedAnywhere(t *testing.T) {
	for name, o := range readables(t) {
		if o.Object.Size == 0 {
			continue
		}
		for _, cut := range []int{0, 1, 16, 32, 33, stream.PackageSize - 1, stream.PackageSize, stream.PackageSize + 1, len(o.data) - 33, len(o.data) - 1} {
			s := o.sealed
			s.data = o.data[:cut]
			for _, r := range []sse.Range{sse.Whole, {Offset: -1, Length: -1}} {
				got, i, err := s.read(o.Object, r)
				if err == nil || i.Level != "" || sse.KindOf(err) != sse.KindTruncated || r == sse.Whole && !bytes.HasPrefix(o.plain, got) {
					t.Errorf("%s, cut to %d, range %+v: %d bytes, %+v, %v", name, cut, r, len(got), i, err)
				}
			}
		}
	}
}

// TestEmptied: an object that someone replaced by an empty one shows where its
// ETag or checksum is a digest of the content.
func TestEmptied(t *testing.T) {
	c := newClient(t)
	for name, r := range requests(t) {
		for _, o := range []*sse.EncryptOptions{nil, {Policy: sse.ETagRandom, Checksum: sse.CRC32C}} {
			s := seal(t, c, r, object, []byte("data"), o)
			s.Size, s.data = 0, nil
			if _, _, err := s.read(s.mustOpen(t, c, object, openWith(r)), sse.Whole); !errors.Is(err, sse.ErrTampered) {
				t.Errorf("%s %+v: %v", name, o, err)
			}
		}
	}
}

// TestPoisonedPackages: a reader hands out nothing of a package that fails,
// whichever one it is.
func TestPoisonedPackages(t *testing.T) {
	for name, o := range readables(t) {
		for at := stream.HeaderSize; at < len(o.data); at += 30011 {
			s := o.sealed
			s.data = bytes.Clone(o.data)
			s.data[at] ^= 0x40
			got, i, err := s.read(o.Object, sse.Whole)
			if sse.KindOf(err) != sse.KindTampered || i.Level != "" || !bytes.HasPrefix(o.plain, got) {
				t.Errorf("%s, byte %d changed: %d bytes, %+v, %v", name, at, len(got), i, err)
			}
			if text := fmt.Sprint(err); strings.Contains(name, "multipart") != strings.Contains(text, "part ") {
				t.Errorf("%s: the message does not name the part, or names one: %v", name, err)
			}
		}
	}
}
