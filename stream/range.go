package stream

import (
	"fmt"
	"io"
)

// A Range tells which packages hold a part of a stream's plaintext:
// [PackageRange] makes it, [NewRangeReader] decrypts what was fetched by it.
type Range struct {
	Offset, Length int64  // ciphertext bytes to fetch
	Sequence       uint32 // number of the first package fetched

	// Plaintext of the fetched packages to drop, and to deliver behind that.
	Skip, N int64

	// Final tells that the fetched packages end with the stream's last one: it
	// must carry the final flag, and no other may.
	Final bool
}

// PackageRange returns which packages hold the n plaintext bytes from off of a
// stream that has size bytes of plaintext. With n = 0 there are none. It fails
// with ErrInvalidRange if the stream does not have these bytes, and with
// ErrTooLarge if no stream has that size.
//
// What says the size should be trusted as far as it matters: the size decides
// which package must be the final one. One that is too large or too small
// shows when a range that ends with the last package is read, or one that meets
// the real last package.
func PackageRange(size, off, n int64) (Range, error) {
	sealed, err := EncryptedSize(size)
	if err != nil {
		return Range{}, err
	}
	if off < 0 || n < 0 || off > size || n > size-off {
		return Range{}, fmt.Errorf("%w: %d bytes from %d of %d", ErrInvalidRange, n, off, size)
	}
	if n == 0 {
		return Range{}, nil
	}
	first, behind := off/PayloadSize, packages(off+n, PayloadSize)
	r := Range{
		Offset:   first * PackageSize,
		Sequence: uint32(first),
		Skip:     off % PayloadSize,
		N:        n,
		Final:    behind == packages(size, PayloadSize),
	}
	r.Length = min(behind*PackageSize, sealed) - r.Offset
	return r, nil
}

// NewRangeReader returns a reader of the r.N bytes of plaintext that r was made
// for. src gives the r.Length bytes of ciphertext from r.Offset; it is read up to
// there and no further. A source that is shorter is ErrTruncated.
//
// It fails like [NewDecryptReader], with ErrInvalidRange for an r that
// contradicts itself, and with ErrInvalidOptions if o.Sequence is not 0, for
// r.Sequence counts. With o.AllowLegacy and a stream of DARE 1.0, which has no
// final packages, r.Final is not looked at.
func NewRangeReader(key []byte, src io.Reader, r Range, o *Options) (*DecryptReader, error) {
	plain, err := DecryptedSize(r.Length)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: length %d", ErrInvalidRange, r.Length)
	case r.Offset < 0 || r.Skip < 0 || r.N < 0 || r.Skip > plain || r.N > plain-r.Skip:
		return nil, fmt.Errorf("%w: %d bytes behind %d of %d", ErrInvalidRange, r.N, r.Skip, plain)
	case !r.Final && r.Length%PackageSize != 0:
		return nil, fmt.Errorf("%w: %d bytes are not whole packages", ErrInvalidRange, r.Length)
	case o != nil && o.Sequence != 0:
		return nil, fmt.Errorf("%w: Sequence is that of the range", ErrInvalidOptions)
	}
	d, err := NewDecryptReader(key, src, o)
	if err != nil {
		return nil, err
	}
	s := d.state.get()
	op := &s.in.opener
	op.at(uint64(r.Sequence), r.Offset)
	if err := op.endAt(packages(r.Length, PackageSize), r.Final); err != nil {
		s.stop(err)
		d.leave(s)
		return nil, err
	}
	s.src.limit = r.Length
	s.skip, s.left = r.Skip, r.N
	if r.Length == 0 {
		s.stop(io.EOF)
		d.leave(s)
	}
	return d, nil
}
