package sse

import (
	"errors"
	"fmt"

	"github.com/objseal/objseal/stream"
)

// A span is one DARE stream within the stored bytes: the whole object, or one
// part of it.
type span struct {
	part   int   // part number, 0 for the stream of a whole object
	stored int64 // ciphertext bytes
	packed int64 // bytes in its packages: plaintext, or its S2 stream
	actual int64 // plaintext bytes
}

// layout says which stored bytes hold which plaintext.
type layout struct {
	spans      []span
	compressed bool
	plain      bool  // no packages: stored bytes are those that packages would hold
	size       int64 // plaintext bytes
}

// maxActualSize bounds the plaintext of one part: a DARE stream holds no more,
// and the sum over all parts stays far from overflowing.
const maxActualSize = stream.MaxPackages * stream.PayloadSize

// layoutOf reads the sizes in metadata and part list (SSE spec section 6).
// None of them is authenticated, so everything must agree.
func layoutOf(s Stored) (l layout, err error) {
	if l.compressed, err = compressed(s.Metadata); err != nil {
		return layout{}, err
	}
	l.size, err = actualSize(s.Metadata)
	if err != nil {
		return layout{}, err
	}
	if _, flagged := s.Metadata[metaMultipart]; flagged && len(s.Metadata[metaETag]) != 32 {
		l.spans, err = partSpans(s, l.compressed)
	} else {
		// Without the flag a part list means the 10 MiB splits of old servers:
		// one stream across all of them.
		l.spans = []span{{stored: s.Size}}
	}
	if err != nil {
		return layout{}, err
	}
	var packed, actual int64
	for i := range l.spans {
		p := &l.spans[i]
		if p.packed, err = stream.DecryptedSize(p.stored); err != nil {
			if !errors.Is(err, stream.ErrTruncated) {
				err = fmt.Errorf("%w: %w", ErrTampered, err)
			}
			return layout{}, fmt.Errorf("%s: %w", p, err)
		}
		packed += p.packed
		if !l.compressed {
			p.actual = p.packed
		}
		actual += p.actual
	}
	switch {
	case !l.compressed:
		if l.size >= 0 && l.size != packed {
			return layout{}, tampered(metaActualSize, fmt.Sprintf("says %d bytes, the stored size says %d", l.size, packed))
		}
		l.size = packed
	case l.spans[0].part == 0: // only the metadata knows
		if l.size < 0 {
			return layout{}, tampered(metaActualSize, "is missing in a compressed object")
		}
		l.spans[0].actual = l.size
	default:
		if l.size >= 0 && l.size != actual {
			return layout{}, tampered(metaActualSize, fmt.Sprintf("says %d bytes, the parts say %d", l.size, actual))
		}
		// Nobody says that it is empty if no part has a size and the object has
		// lost its own.
		if l.size < 0 && actual == 0 && packed > 0 {
			return layout{}, fmt.Errorf("%w: no part has an actual size", ErrTampered)
		}
		l.size = actual
	}
	if l.size > 0 && packed == 0 {
		return layout{}, tampered(metaActualSize, fmt.Sprintf("says %d bytes, but nothing is stored", l.size))
	}
	return l, nil
}

func partSpans(s Stored, compressed bool) ([]span, error) {
	if len(s.Parts) == 0 {
		return nil, fmt.Errorf("%w: the list of parts of a multipart object is missing", ErrInvalidRequest)
	}
	spans := make([]span, len(s.Parts))
	left := s.Size
	for i, p := range s.Parts {
		if p.Number < 1 || p.Number > maxPartNumber || i > 0 && p.Number <= s.Parts[i-1].Number {
			return nil, fmt.Errorf("%w: part number %d is out of order", ErrTampered, p.Number)
		}
		if p.Size < 0 || p.Size > left {
			return nil, fmt.Errorf("%w: part %d does not fit into the %d stored bytes", ErrTampered, p.Number, s.Size)
		}
		if compressed && (p.ActualSize < 0 || p.ActualSize > maxActualSize) {
			return nil, fmt.Errorf("%w: part %d claims %d bytes of plaintext", ErrTampered, p.Number, p.ActualSize)
		}
		left -= p.Size
		spans[i] = span{part: p.Number, stored: p.Size, actual: p.ActualSize}
	}
	if left != 0 {
		return nil, fmt.Errorf("%w: %d stored bytes belong to no part", ErrTampered, left)
	}
	return spans, nil
}

func (p *span) String() string {
	if p.part == 0 {
		return "stored data"
	}
	return fmt.Sprintf("part %d", p.part)
}

// A Range is a run of plaintext bytes. Length -1 means to the end; a negative
// Offset with Length -1 means that many last bytes. A Length of 0 is refused, so
// that the zero Range is not mistaken for anything.
type Range struct{ Offset, Length int64 }

// Whole is the Range of a whole object.
var Whole = Range{0, -1}

// resolve returns the range within size bytes, as HTTP means it: a length that
// reaches beyond the end is cut, a start beyond the end is refused.
func (r Range) resolve(size int64) (off, n int64, err error) {
	switch {
	case r == Whole:
		return 0, size, nil
	case r.Length == 0 || r.Length < -1 || r.Offset < 0 && r.Length != -1:
		return 0, 0, fmt.Errorf("%w: offset %d, length %d", ErrRange, r.Offset, r.Length)
	case r.Offset < 0:
		r.Offset = max(0, size+r.Offset)
	}
	if r.Offset >= size {
		return 0, 0, fmt.Errorf("%w: it starts at byte %d of %d", ErrRange, r.Offset, size)
	}
	n = size - r.Offset
	if r.Length >= 0 {
		n = min(n, r.Length)
	}
	return r.Offset, n, nil
}

// A segment is what must be opened of one span.
type segment struct {
	part     int
	packages stream.Range

	// For the S2 stream in the packages: plaintext bytes to drop and to
	// deliver, and whether the stream must end behind them.
	skip, n int64
	toEnd   bool
}

// A window says what to fetch for a plaintext range and what to make of it
// (SSE spec section 8; for compressed objects section 7).
type window struct {
	offset, length int64 // stored bytes to fetch, across parts
	segments       []segment
}

// window finds the packages of the plaintext bytes [off, off+n). An S2 stream
// is read from its start. One that should be empty is read too where it lies
// in the range: what is fetched has no gaps, and nothing hides there.
func (l layout) window(off, n int64) (w window, err error) {
	var plain, stored int64 // before the span at hand
	for _, p := range l.spans {
		first, last := max(off-plain, 0), min(off+n-plain, p.actual)
		if first < last || first == last && p.actual == 0 && p.stored > 0 {
			s := segment{part: p.part, skip: first, n: last - first, toEnd: last == p.actual}
			if l.compressed {
				first, last = 0, p.packed
			}
			if l.plain {
				s.packages = stream.Range{Offset: first, Length: last - first}
			} else if s.packages, err = stream.PackageRange(p.packed, first, last-first); err != nil {
				return window{}, err
			}
			if w.segments == nil {
				w.offset = stored + s.packages.Offset
			}
			w.length += s.packages.Length
			w.segments = append(w.segments, s)
		}
		plain += p.actual
		stored += p.stored
	}
	return w, nil
}
