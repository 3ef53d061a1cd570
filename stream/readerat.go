package stream

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// DecryptReaderAt gives random access to the plaintext of a stream. It may be
// used by several goroutines at once.
type DecryptReaderAt struct {
	src          io.ReaderAt
	sealed, size int64  // bytes of ciphertext and plaintext
	first        uint64 // number of the first package
	fresh        opener // before any package; calls work on copies

	// The opener that opened the last package: all others have its version,
	// cipher and stream nonce. nil before that.
	known atomic.Pointer[opener]
}

// NewDecryptReaderAt returns a reader of the stream in the first size bytes of
// src, under a 32-byte key, which is copied. It fails like [NewDecryptReader],
// and like [DecryptedSize] for a size that no stream has; 0 is ErrTruncated
// without o.AllowEmpty.
//
// The last package is authenticated before the first answer, once; so a size
// that is not that of the stream, and a stream that was cut, are seen by every
// ReadAt. A failure concerns the call that met it.
func NewDecryptReaderAt(key []byte, src io.ReaderAt, size int64, o *Options) (*DecryptReaderAt, error) {
	plain, err := DecryptedSize(size)
	if err != nil {
		return nil, err
	}
	var op opener
	if err := op.begin(key, o, PayloadSize); err != nil {
		return nil, err
	}
	op.suite.share()
	if size == 0 {
		if err := op.finish(); err != io.EOF {
			op.suite.drop()
			return nil, err
		}
	}
	r := &DecryptReaderAt{src: src, sealed: size, size: plain, first: op.next}
	if err := op.endAt(packages(size, PackageSize), true); err != nil {
		op.suite.drop()
		return nil, err
	}
	r.fresh = op
	return r, nil
}

// Size returns how many bytes of plaintext there are. It follows from the size of
// the ciphertext and is confirmed by the first ReadAt that does not fail.
func (r *DecryptReaderAt) Size() int64 { return r.size }

// ReadAt implements io.ReaderAt. Bytes of p behind the count are 0 or as they were.
func (r *DecryptReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("%w: offset %d", ErrInvalidRange, off)
	}
	var buf buffer
	defer buf.drop()
	o, err := r.opener(&buf, off, len(p))
	if err != nil {
		return 0, err
	}
	n := 0
	for ; n < len(p); off = (off/PayloadSize + 1) * PayloadSize {
		if off >= r.size {
			return n, io.EOF
		}
		skip := off % PayloadSize
		part, straight, err := r.open(o, &buf, off/PayloadSize, p[n:], skip, skip+int64(len(p)-n))
		if err != nil {
			return n, err
		}
		if !straight {
			copy(p[n:], part)
		}
		n += len(part)
	}
	return n, nil
}

// last returns the index of the last package.
func (r *DecryptReaderAt) last() int64 { return packages(r.sealed, PackageSize) - 1 }

// opener returns an opener to read n bytes from off with: one that knows the
// last package, unless that is what will be opened first.
func (r *DecryptReaderAt) opener(buf *buffer, off int64, n int) (*opener, error) {
	if known := r.known.Load(); known != nil {
		o := *known
		return &o, nil
	}
	o := r.fresh
	if r.last() > 0 {
		if err := r.begin(&o); err != nil {
			return nil, err
		}
	}
	if r.size == 0 || n > 0 && off < r.size && off/PayloadSize == r.last() {
		return &o, nil
	}
	_, _, err := r.open(&o, buf, r.last(), nil, 0, 0)
	return &o, err
}

// begin reads the header of the first package, which decides what the stream is:
// else a last package that is none would seem to be of an unknown version.
func (r *DecryptReaderAt) begin(o *opener) error {
	h := make(header, HeaderSize)
	if err := r.fetch(o, h, 0); err != nil {
		return err
	}
	if err := o.check(h); err != nil {
		return err
	}
	if h.payload() != PayloadSize {
		return o.fail(ErrUnsupported, notRandom)
	}
	o.follow(h)
	return nil
}

// fetch moves o to package k and fills b with its beginning.
func (r *DecryptReaderAt) fetch(o *opener, b []byte, k int64) error {
	off := k * PackageSize
	o.at(r.first+uint64(k), off)
	n, err := r.src.ReadAt(b, off)
	switch {
	case n >= len(b):
		return nil
	case err != nil && err != io.EOF:
		return err
	}
	return o.fail(ErrTruncated, "%d bytes of a package that has %d or more", max(n, 0), len(b))
}

// open opens package k and returns its plaintext between two places, or up to its end.
// That is straight in p if it is all of the package's and p is large enough, else in buf.
func (r *DecryptReaderAt) open(o *opener, buf *buffer, k int64, p []byte, from, to int64) (part []byte, straight bool, err error) {
	size := int(min(PackageSize, r.sealed-k*PackageSize))
	pkg := buf.atLeast(size, 0)[:size]
	if err := r.fetch(o, pkg, k); err != nil {
		return nil, false, err
	}
	n, err := o.cut(pkg, true)
	if err != nil {
		return nil, false, err
	}
	n -= Overhead
	from, to = min(from, int64(n)), min(to, int64(n))
	if from == 0 && to == int64(n) && n <= len(p) {
		part, straight = p[:n], true
		err = o.open(part, pkg[:n+Overhead])
	} else {
		var begin, end int
		part, begin, end, err = o.openPart(pkg[:n+Overhead], int(from), int(to))
		buf.holds(begin, end)
	}
	if err != nil {
		return nil, false, err
	}
	if n+Overhead < size { // DARE 1.0: cut does not allow it in 2.0
		clear(part)
		if _, err := o.cut(pkg[n+Overhead:], k == r.last()); err != nil {
			return nil, false, err
		}
		return nil, false, o.fail(ErrUnsupported, notRandom)
	}
	if k == r.last() && !r.know(o) {
		clear(part)
		return nil, false, o.fail(ErrTampered, "the last package is not the one it was")
	}
	return part, straight, nil
}

// The packages of DARE 1.0 may be short anywhere; there is no telling where those
// behind them begin.
const notRandom = "random access to DARE 1.0 packages that are not full"

// know keeps what o learned from the last package. It returns false if another
// call learned something else at the same time.
func (r *DecryptReaderAt) know(o *opener) bool {
	o2 := *o
	if r.known.CompareAndSwap(nil, &o2) {
		return true
	}
	return r.known.Load().streamNonce == o.streamNonce
}

// ReadSeeker returns an io.ReadSeeker of the plaintext, from its beginning. It
// keeps the package it is in, so that reading on in small pieces opens each
// once, and works with [net/http.ServeContent]. It is for one goroutine; a
// DecryptReaderAt gives any number.
func (r *DecryptReaderAt) ReadSeeker() io.ReadSeeker {
	return &readSeeker{r: r}
}

type readSeeker struct {
	r     *DecryptReaderAt
	off   int64
	o     *opener
	buf   buffer
	plain []byte // of buf: the package that begins at start; nil if none
	start int64
	err   error
}

func (s *readSeeker) Read(p []byte) (int, error) {
	switch {
	case s.err != nil:
		return 0, s.err
	case len(p) == 0:
		return 0, nil
	}
	n, err := s.read(p)
	if err != nil && err != io.EOF { // the end is no failure: Seek leads away from it
		s.err = err
	}
	if err != nil {
		s.drop()
	}
	return n, err
}

func (s *readSeeker) read(p []byte) (int, error) {
	if s.o == nil {
		o, err := s.r.opener(&s.buf, s.off, len(p))
		if err != nil {
			return 0, err
		}
		s.o = o
	}
	if s.off >= s.r.size {
		return 0, io.EOF
	}
	k, skip := s.off/PayloadSize, s.off%PayloadSize
	if s.plain == nil || s.start != k*PayloadSize {
		s.plain = nil
		if rest := min(PayloadSize, s.r.size-s.off); skip == 0 && int64(len(p)) >= rest {
			plain, _, err := s.r.open(s.o, &s.buf, k, p, 0, PayloadSize)
			s.off += int64(len(plain))
			return len(plain), err
		}
		plain, _, err := s.r.open(s.o, &s.buf, k, nil, 0, PayloadSize)
		if err != nil {
			return 0, err
		}
		s.plain, s.start = plain, k*PayloadSize
	}
	n := copy(p, s.plain[skip:])
	s.off += int64(n)
	return n, nil
}

// drop gives the buffer back. The next Read takes another one.
func (s *readSeeker) drop() {
	s.plain = nil
	s.buf.drop()
}

var errWhence = errors.New("stream: invalid whence")

func (s *readSeeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += s.off
	case io.SeekEnd:
		offset += s.r.size
	default:
		return 0, errWhence
	}
	if offset < 0 {
		return 0, fmt.Errorf("%w: seek to %d", ErrInvalidRange, offset)
	}
	s.off = offset
	return offset, nil
}
