package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/objseal/objseal/stream"
)

// countingReaderAt counts calls and holds its caller to the size it stated.
type countingReaderAt struct {
	io.ReaderAt
	size  int64
	calls atomic.Int64
}

func (r *countingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	r.calls.Add(1)
	if off < 0 || off+int64(len(p)) > r.size {
		return 0, fmt.Errorf("read of %d bytes at %d of %d", len(p), off, r.size)
	}
	return r.ReaderAt.ReadAt(p, off)
}

func newReaderAt(t testing.TB, sealed []byte, o *stream.Options) (*stream.DecryptReaderAt, *countingReaderAt) {
	t.Helper()
	src := &countingReaderAt{ReaderAt: bytes.NewReader(sealed), size: int64(len(sealed))}
	r, err := stream.NewDecryptReaderAt(testKey, src, src.size, o)
	if err != nil {
		t.Fatal(err)
	}
	return r, src
}

func TestReaderAt(t *testing.T) {
	const p64 = stream.PayloadSize
	for _, size := range []int{0, 1, 100, p64 - 1, p64, p64 + 1, 2 * p64, 2*p64 + 1, 3*p64 - 1} {
		for _, seq := range []uint32{0, 7} {
			plain := plaintext(size)
			o := &stream.Options{Sequence: seq, AllowEmpty: true}
			sealed := seal(t, plain, o)
			for _, off := range []int{0, 50, 99, 100, p64 - 1, p64, p64 + 1, 2*p64 - 1, 2 * p64, 2*p64 + 1, 3 * p64, 1 << 30} {
				for _, n := range []int{0, 1, 100, p64 - 1, p64, p64 + 1, 2 * p64} {
					r, _ := newReaderAt(t, sealed, o) // each the first call, and again
					for range 2 {
						if seq > 0 && n != 100 {
							continue
						}
						p := bytes.Repeat([]byte{0xee}, n)
						want := plain[min(off, size):min(off+n, size)]
						got, err := r.ReadAt(p, int64(off))
						wantErr := error(nil)
						if off+n > size && n > 0 {
							wantErr = io.EOF
						}
						if got != len(want) || err != wantErr || !bytes.Equal(p[:got], want) {
							t.Fatalf("size=%d,seq=%d: ReadAt(%d bytes, %d) = %d, %v; want %d, %v", size, seq, n, off, got, err, len(want), wantErr)
						}
						if !poisoned(p[got:]) {
							t.Fatalf("size=%d: ReadAt(%d bytes, %d) wrote behind its %d bytes", size, n, off, got)
						}
					}
				}
			}
			r, _ := newReaderAt(t, sealed, o)
			if r.Size() != int64(size) {
				t.Errorf("Size() = %d, want %d", r.Size(), size)
			}
			for _, off := range []int64{-1, -1 << 62} {
				if n, err := r.ReadAt(make([]byte, 1), off); n != 0 || !errors.Is(err, stream.ErrInvalidRange) {
					t.Errorf("ReadAt(%d) = %d, %v", off, n, err)
				}
			}
			if n, err := r.ReadAt(make([]byte, 1), 1<<63-1); n != 0 || err != io.EOF {
				t.Errorf("ReadAt(max) = %d, %v", n, err)
			}
		}
	}
}

// poisoned reports whether p is as a test has left it, or zero.
func poisoned(p []byte) bool {
	return len(bytes.Trim(p, "\xee\x00")) == 0
}

func TestReaderAtWrongSize(t *testing.T) {
	plain := plaintext(2*stream.PayloadSize + 100)
	sealed := seal(t, plain, nil)
	padded := append(bytes.Clone(sealed), make([]byte, 2*stream.PackageSize)...)
	for _, size := range []int64{1, 33, 100, 65568, 65601, 131136, int64(len(sealed)) - 1, int64(len(sealed)) + 1, 196704, 196704 + 33} {
		r, err := stream.NewDecryptReaderAt(testKey, bytes.NewReader(padded), size, nil)
		if err != nil {
			if !errors.Is(err, stream.ErrTruncated) {
				t.Errorf("size=%d: %v", size, err)
			}
			continue
		}
		for _, off := range []int64{0, 65536, 131072, r.Size() - 1, r.Size(), 1 << 40} {
			n, err := r.ReadAt(make([]byte, 10), off)
			if n != 0 || !errors.Is(err, stream.ErrTampered) && !errors.Is(err, stream.ErrTruncated) {
				t.Errorf("size=%d: ReadAt(%d) = %d, %v", size, off, n, err)
			}
		}
	}
	// The stream is shorter than stated.
	r := must(stream.NewDecryptReaderAt(testKey, bytes.NewReader(sealed[:100000]), int64(len(sealed)), nil))
	if n, err := r.ReadAt(make([]byte, 10), 0); n != 0 || !errors.Is(err, stream.ErrTruncated) {
		t.Errorf("short source: %d, %v", n, err)
	}
	for _, size := range []int64{-1, 1<<48 + 1<<37 + 1} {
		if _, err := stream.NewDecryptReaderAt(testKey, bytes.NewReader(sealed), size, nil); err == nil {
			t.Errorf("size=%d is accepted", size)
		}
	}
	o := &stream.Options{Sequence: 1<<32 - 2}
	if _, err := stream.NewDecryptReaderAt(testKey, bytes.NewReader(sealed), int64(len(sealed)), o); !errors.Is(err, stream.ErrTooLarge) {
		t.Errorf("three packages from number 2^32-2: %v", err)
	}
}

// All packages are held against one nonce, also those of different calls.
func TestReaderAtOneNonce(t *testing.T) {
	plain := plaintext(stream.PayloadSize)
	mixed := bytes.Join([][]byte{
		stream.SealPackage(testKey, stream.AES256GCM, [12]byte{1}, 0, false, plain),
		stream.SealPackage(testKey, stream.AES256GCM, [12]byte{2}, 1, false, plain),
		stream.SealPackage(testKey, stream.AES256GCM, [12]byte{1}, 2, true, plain[:10]),
	}, nil)
	r, _ := newReaderAt(t, mixed, nil)
	for _, tt := range []struct {
		off  int64
		want error
	}{{0, nil}, {2 * stream.PayloadSize, nil}, {stream.PayloadSize, stream.ErrTampered}} {
		if _, err := r.ReadAt(make([]byte, 10), tt.off); !errors.Is(err, tt.want) {
			t.Errorf("ReadAt(%d): %v, want %v", tt.off, err, tt.want)
		}
	}
	// What is in front of the bad package is counted, what is in it is not seen.
	p := bytes.Repeat([]byte{0xee}, 3*stream.PayloadSize)
	n, err := r.ReadAt(p, 10)
	if n != stream.PayloadSize-10 || !errors.Is(err, stream.ErrTampered) || !bytes.Equal(p[:n], plain[10:]) || !poisoned(p[n:]) {
		t.Errorf("ReadAt over a bad package: %d, %v", n, err)
	}
}

// A source whose last package changes while two calls read it.
func TestReaderAtSourceChanges(t *testing.T) {
	one := stream.SealPackage(testKey, stream.AES256GCM, [12]byte{1}, 0, true, []byte("old"))
	two := stream.SealPackage(testKey, stream.AES256GCM, [12]byte{2}, 0, true, []byte("new"))
	var r *stream.DecryptReaderAt
	calls := 0
	src := readerAtFunc(func(p []byte, off int64) (int, error) {
		if calls++; calls > 1 {
			return copy(p, two[off:]), nil
		}
		r.ReadAt(make([]byte, 3), 0) // meanwhile
		return copy(p, one[off:]), nil
	})
	r = must(stream.NewDecryptReaderAt(testKey, src, int64(len(one)), nil))
	p := []byte{0xee, 0xee, 0xee}
	if n, err := r.ReadAt(p, 0); n != 0 || !errors.Is(err, stream.ErrTampered) || !poisoned(p) {
		t.Errorf("ReadAt: %d, %v, %q", n, err, p)
	}
}

type readerAtFunc func(p []byte, off int64) (int, error)

func (f readerAtFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

// An error of the source is of one call: it says nothing of the stream.
func TestReaderAtSourceError(t *testing.T) {
	plain := plaintext(stream.PayloadSize + 10)
	sealed := seal(t, plain, nil)
	broken := true
	r := must(stream.NewDecryptReaderAt(testKey, readerAtFunc(func(p []byte, off int64) (int, error) {
		if broken {
			return len(p) - 1, errIO
		}
		return copy(p, sealed[off:]), nil
	}), int64(len(sealed)), nil))
	s := r.ReadSeeker()
	p := make([]byte, 10)
	if n, err := r.ReadAt(p, 0); n != 0 || err != errIO {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	if n, err := s.Read(p); n != 0 || err != errIO {
		t.Errorf("Read: %d, %v", n, err)
	}
	broken = false
	if n, err := r.ReadAt(p, 0); n != 10 || err != nil {
		t.Errorf("ReadAt afterwards: %d, %v", n, err)
	}
	if n, err := s.Read(p); n != 0 || err != errIO { // a reader's errors stay
		t.Errorf("Read afterwards: %d, %v", n, err)
	}
}

func TestReaderAtConcurrently(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		plain := plaintext(5*stream.PayloadSize + 100)
		sealed := seal(t, plain, nil)
		if legacy {
			sealed = sealLegacy(stream.AES256GCM, plain, stream.PayloadSize, 0)
		}
		r, _ := newReaderAt(t, sealed, &stream.Options{AllowLegacy: legacy})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(1, uint64(i)))
				for range 20 {
					off, n := rnd.IntN(len(plain)), rnd.IntN(100000)
					p := make([]byte, n)
					got, err := r.ReadAt(p, int64(off))
					want := plain[off:min(off+n, len(plain))]
					if got != len(want) || !bytes.Equal(p[:got], want) || (err == io.EOF) != (got < n) {
						t.Errorf("ReadAt(%d bytes, %d) = %d, %v", n, off, got, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// Small sequential reads fetch each package once; the first header and the last
// package are looked at once more, at the beginning.
func TestReadSeekerOpensEachPackageOnce(t *testing.T) {
	plain := plaintext(4*stream.PayloadSize + 100)
	r, src := newReaderAt(t, seal(t, plain, nil), nil)
	got, err := readAll(r.ReadSeeker(), 777)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ReadSeeker", got, plain)
	if n := src.calls.Load(); n != 5+2 {
		t.Errorf("%d reads of the source for 5 packages", n)
	}
	src.calls.Store(0)
	must(readAll(r.ReadSeeker(), 65536))
	if n := src.calls.Load(); n != 5 {
		t.Errorf("%d reads of the source for 5 packages the second time", n)
	}
}

func TestReadSeeker(t *testing.T) {
	plain := plaintext(2*stream.PayloadSize + 100)
	r, _ := newReaderAt(t, seal(t, plain, nil), nil)
	s, want := r.ReadSeeker(), bytes.NewReader(plain)
	rnd := rand.New(rand.NewPCG(2, 3))
	for i := range 300 {
		whence := rnd.IntN(4)
		off := rnd.Int64N(2*int64(len(plain))) - int64(len(plain))/2
		got, err := s.Seek(off, whence)
		exp, expErr := want.Seek(off, whence)
		if got != exp || (err == nil) != (expErr == nil) {
			t.Fatalf("Seek(%d, %d) = %d, %v; want %d, %v", off, whence, got, err, exp, expErr)
		}
		p := make([]byte, rnd.IntN(70000)*(i%2)+rnd.IntN(100))
		n, err := io.ReadFull(s, p)
		q := make([]byte, len(p))
		m, expErr := io.ReadFull(want, q)
		if n != m || err != expErr || !bytes.Equal(p, q) {
			t.Fatalf("after Seek(%d, %d), %d bytes: %d, %v; want %d, %v", off, whence, len(p), n, err, m, expErr)
		}
	}
}

func TestServeContent(t *testing.T) {
	plain := plaintext(2*stream.PayloadSize + 100)
	r, _ := newReaderAt(t, seal(t, plain, nil), nil)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.ServeContent(w, req, "object.bin", time.Time{}, r.ReadSeeker())
	}))
	defer srv.Close()
	for _, tt := range []struct {
		ranges   string
		from, to int
	}{
		{"", 0, len(plain)},
		{"bytes=0-0", 0, 1},
		{"bytes=65530-70000", 65530, 70001},
		{"bytes=131072-", 131072, len(plain)},
		{"bytes=-50", len(plain) - 50, len(plain)},
	} {
		req := must(http.NewRequest("GET", srv.URL, nil))
		if tt.ranges != "" {
			req.Header.Set("Range", tt.ranges)
		}
		resp := must(srv.Client().Do(req))
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, tt.ranges, body, plain[tt.from:tt.to])
	}
}
