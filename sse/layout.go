package sse

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/klauspost/compress/s2"

	"github.com/objseal/objseal/stream"
)

// A span is one DARE stream within the stored bytes: the whole object, or one
// part of it.
type span struct {
	part   int   // part number, 0 for the stream of a whole object
	stored int64 // ciphertext bytes
	packed int64 // bytes in its packages: plaintext, or its S2 stream
	actual int64 // plaintext bytes
	index  []byte
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
		l.spans = []span{{stored: s.Size, index: s.Indexes[1]}}
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
		spans[i] = span{part: p.Number, stored: p.Size, actual: p.ActualSize, index: s.Indexes[p.Number]}
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

// A Plan says which stored bytes a read of a range fetches, and what is made of
// them (SSE spec section 8; for compressed objects section 7).
type Plan struct {
	Offset, Length int64     // stored bytes to fetch, counted across all parts: one run
	Start, Size    int64     // plaintext bytes that the read yields, within the object
	Segments       []Segment // in order, one for each part with bytes in the run
}

// A Segment is what is opened of one stream: of the object, or of one part.
type Segment struct {
	Part     int          // number, 0 if the object is one stream
	Packages stream.Range // counted within the stream; of an object without encryption just bytes

	// For the S2 stream in the packages of a compressed object: plaintext bytes to
	// drop and to deliver. Else Packages tells them, and Skip is 0.
	Skip, N int64

	toEnd  bool // the S2 stream must end behind them
	inside bool // the packages begin within the S2 stream
}

// plan finds the packages of r. An S2 stream is read from its start, unless index,
// which may be nil, returns that of its part. One that should be empty is read
// too where it lies in the range: what is fetched has no gaps, and nothing hides
// there.
func (l layout) plan(r Range, index func(*span) *s2.Index) (w Plan, err error) {
	off, n, err := r.resolve(l.size)
	if err != nil {
		return Plan{}, err
	}
	w.Start, w.Size = off, n
	var plain, stored int64 // before the span at hand
	for i := range l.spans {
		p := &l.spans[i]
		first, last := max(off-plain, 0), min(off+n-plain, p.actual)
		if first < last || first == last && p.actual == 0 && p.stored > 0 {
			s := Segment{Part: p.part, N: last - first, toEnd: last == p.actual}
			if l.compressed {
				from, to := int64(0), p.packed
				s.Skip = first
				if index != nil && (first > 0 || last < p.actual) {
					from, to, s.Skip = p.blocks(index(p), first, last)
				}
				s.inside, first, last = from > 0, from, to
			}
			if l.plain {
				s.Packages = stream.Range{Offset: first, Length: last - first, N: last - first}
			} else if s.Packages, err = stream.PackageRange(p.packed, first, last-first); err != nil {
				return Plan{}, err
			}
			if w.Segments == nil {
				w.Offset = stored + s.Packages.Offset
			}
			w.Length += s.Packages.Length
			w.Segments = append(w.Segments, s)
		}
		plain += p.actual
		stored += p.stored
	}
	return w, nil
}

// PlanRange is [Object.Plan] for an encrypted object, from its metadata alone:
// it needs no key and calls nobody, so that the bytes can be on their way while
// the key server is asked. The errors are those of Describe, and ErrRange.
func PlanRange(s Stored, r Range) (Plan, error) {
	if _, err := parseEnvelope(s.Metadata); err != nil {
		return Plan{}, err
	}
	l, err := layoutOf(s)
	if err != nil {
		return Plan{}, err
	}
	return l.plan(r, nil)
}

// Plan says what a Reader over r fetches. A package without a byte of r is not
// in it, except for compressed objects: their streams are read from their start,
// or from where the index of the part says that the block begins.
func (o *Object) Plan(r Range) (Plan, error) {
	p, err := o.layout.plan(r, o.index)
	if err != nil {
		return Plan{}, fmt.Errorf("failed to plan a read of %s: %w", o.name, err)
	}
	return p, nil
}

// PartCount is the number of parts of a multipart object, else 0: what
// x-amz-mp-parts-count shows.
func (o *Object) PartCount() int {
	if !o.Multipart {
		return 0
	}
	return len(o.layout.spans)
}

// errPartNumber is S3's answer to a partNumber that an object does not have.
var errPartNumber = &RequestError{Response: Response{http.StatusRequestedRangeNotSatisfiable, "InvalidPartNumber", "The requested partnumber is not satisfiable"}}

// PartRange is the range of the plaintext that was sent as part number, for a
// GET or HEAD with partNumber; an object in one stream is its own part 1. Where a
// part is all there is it is Whole. Plan tells where the range begins. A
// *RequestError says that there is no such part; an empty one among others
// has a Length of 0, which no Reader takes. Where numbers have gaps MinIO serves
// another part: the third of 1, 3, 7 for partNumber=3 (seen at a server).
func (o *Object) PartRange(number int) (Range, error) {
	var off int64
	for _, p := range o.layout.spans {
		if max(p.part, 1) == number {
			if len(o.layout.spans) == 1 {
				return Whole, nil
			}
			return Range{off, p.actual}, nil
		}
		off += p.actual
	}
	return Range{}, fmt.Errorf("object %s: %w", o.name, errPartNumber)
}
