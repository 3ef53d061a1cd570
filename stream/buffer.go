package stream

import (
	"errors"
	"io"
	"sync"
)

// smallSize is the size of the buffer that a stream starts with: enough for an
// object of 4 KiB, or to see that there is more.
const smallSize = 4<<10 + Overhead

// The pools hold pointers to arrays, which go in and out without an allocation.
var (
	smallBuffers = sync.Pool{New: func() any { return new([smallSize]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([PackageSize]byte) }}
)

// buffer is room for one package, taken from a pool when first needed; a small one may be
// left from the stream before. The zero buffer is empty.
type buffer struct {
	small    *[smallSize]byte
	large    *[PackageSize]byte
	from, to int // plaintext may stand between these; nowhere else
}

// atLeast returns the whole buffer, with n bytes or more. n is at most
// PackageSize. Growing keeps the first keep bytes.
func (b *buffer) atLeast(n, keep int) []byte {
	switch {
	case b.large != nil:
	case n > smallSize:
		large := largeBuffers.Get().(*[PackageSize]byte)
		if b.small != nil {
			copy(large[:keep], b.small[:])
			clear(b.small[b.from:b.to])
			smallBuffers.Put(b.small)
			b.small = nil
			b.from, b.to = min(b.from, keep), min(b.to, keep)
		}
		b.large = large
	default:
		if b.small == nil {
			b.small = smallBuffers.Get().(*[smallSize]byte)
		}
		return b.small[:]
	}
	return b.large[:]
}

// bytes returns the whole buffer as it is.
func (b *buffer) bytes() []byte {
	switch {
	case b.large != nil:
		return b.large[:]
	case b.small != nil:
		return b.small[:]
	}
	return nil
}

// holds notes that plaintext stands between two places.
func (b *buffer) holds(from, to int) {
	if b.to > 0 {
		from, to = min(b.from, from), max(b.to, to)
	}
	b.from, b.to = from, to
}

// isSealed notes that there is no plaintext any more.
func (b *buffer) isSealed() { b.from, b.to = 0, 0 }

// release clears the buffer and gives it back if it is large; a small one is kept for
// another stream. Only what held plaintext is cleared: clearing 64 KiB costs more than
// sealing a small object.
func (b *buffer) release() {
	clear(b.bytes()[b.from:b.to])
	b.from, b.to = 0, 0
	if b.large != nil {
		largeBuffers.Put(b.large)
		b.large = nil
	}
}

// drop is release, and keeps nothing.
func (b *buffer) drop() {
	b.release()
	if b.small != nil {
		smallBuffers.Put(b.small)
		b.small = nil
	}
}

var errInvalidRead = errors.New("stream: the source returned an impossible count from Read")

// source reads from an io.Reader and keeps the error it ended with, which may
// come together with bytes and need not come twice.
type source struct {
	r     io.Reader
	limit int64   // do not read more than that; negative: no limit
	n     int64   // bytes read so far
	back  *[]byte // of these, what was put back: it comes first; nil: nothing
	err   error   // of r, behind that
}

// begin makes s, which is nothing yet, a source of what r has. (To copy a new one to the
// heap would be a call to the collector while that is at work, which it mostly is with
// many small streams.)
func (s *source) begin(r io.Reader) { s.r, s.limit = r, -1 }

// fill reads to buf behind the have bytes that are there, until want bytes are
// there or s has ended. It returns how many are there; more than want if the
// source gave more at once.
func (s *source) fill(buf []byte, have, want int) int {
	if s.back != nil {
		n := copy(buf[have:], *s.back)
		clear((*s.back)[:n])
		have, *s.back = have+n, (*s.back)[n:]
		if len(*s.back) == 0 {
			s.back = nil // up to two megabytes, which the stream need not keep
		}
	}
	for idle := 0; have < want && s.err == nil; {
		room := buf[have:]
		if s.limit >= 0 {
			room = room[:min(int64(len(room)), s.limit-s.n)]
		}
		var n int
		var err error
		if len(room) > 0 {
			n, err = s.r.Read(room)
		}
		if n < 0 || n > len(room) {
			s.err = errInvalidRead
			break
		}
		have += n
		s.n += int64(n)
		s.err = err
		switch idle++; {
		case s.n == s.limit:
			s.err = io.EOF
		case n > 0:
			idle = 0
		case idle == 100 && err == nil:
			s.err = io.ErrNoProgress
		}
	}
	return have
}

// putBack makes b what is read next. It is the source's from then on.
func (s *source) putBack(b []byte) {
	if s.back != nil {
		b = append(b, *s.back...)
	}
	if len(b) > 0 {
		kept := b // b itself would be on the heap even if there is nothing to keep
		s.back = &kept
	}
}

// end returns the error that the source has ended with; nil if there is or may be
// more.
func (s *source) end() error {
	if s.back != nil {
		return nil
	}
	return s.err
}

// writeAll writes b to dst and makes a short write an error.
func writeAll(dst io.Writer, b []byte) (int, error) {
	n, err := dst.Write(b)
	if n < 0 || n > len(b) {
		return 0, errInvalidWrite
	}
	if n < len(b) && err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}

var errInvalidWrite = errors.New("stream: the destination returned an impossible count from Write")
