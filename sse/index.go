package sse

import (
	"github.com/klauspost/compress/s2"

	"github.com/objseal/objseal/stream"
)

const (
	// indexedFrom is the size above which an index means something: some MinIO
	// versions of 2023 and 2024 stored bogus ones with smaller parts (SSE spec section
	// 7).
	indexedFrom = 8 << 20
	// An index has 65536 entries at most, of some bytes each.
	maxIndex = 1<<20 + stream.Overhead
)

// index opens the S2 index of a part; nil if there is none that can be used, and the
// part is read from its start. The seal is the same for all parts of an object:
// an index of another part leads to bytes that are no block, or to another size,
// and the read fails.
func (o *Object) index(p *span) *s2.Index {
	if len(p.index) == 0 || len(p.index) > maxIndex || p.actual <= indexedFrom {
		return nil
	}
	stripped := p.index
	if !o.plain {
		key, err := o.key.borrow()
		if err != nil {
			return nil
		}
		defer key.Wipe()
		if stripped, err = key.openValue(labelIndex, p.index, o.opts.AllowLegacyStream); err != nil {
			return nil
		}
	}
	x := new(s2.Index)
	if _, err := x.Load(s2.RestoreIndexHeaders(stripped)); err != nil || x.TotalUncompressed != p.actual || x.TotalCompressed > p.packed {
		return nil
	}
	return x
}

// blocks returns where in the S2 stream of p the blocks begin and end that hold
// the plaintext [first, last), and how much plaintext to drop from there.
func (p *span) blocks(x *s2.Index, first, last int64) (from, to, skip int64) {
	to, skip = p.packed, first
	if x == nil {
		return
	}
	if at, plain, err := x.Find(first); err == nil && 0 < at && at < p.packed && 0 <= plain && plain <= first {
		from, skip = at, first-plain
	}
	// Entries are 1 MiB apart, or a little more: the first behind the range.
	const step, most = 1 << 20, 16
	for at, n := last, 0; at < p.actual && n < most; at, n = at+step, n+1 {
		if end, plain, err := x.Find(at); err == nil && plain >= last && from < end && end <= p.packed {
			return from, end, skip
		}
	}
	return
}
