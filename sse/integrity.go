package sse

import (
	"bytes"
	"crypto/fips140"
	"crypto/md5"
	"fmt"
	"hash"
	"io"
)

// Level says how much of an object a read has verified.
type Level string

const (
	// Packages: every byte and its place within its part. What the format
	// cannot show at this level: whole parts dropped or doubled, an object
	// replaced by an empty one.
	Packages Level = "packages"
	// Content: the whole plaintext against a digest sealed by the writer.
	Content Level = "content"
)

// Integrity is the outcome of a read.
type Integrity struct {
	Level    Level  // empty before the end
	Evidence string // what Content rests on: "MD5 ETag", "CRC32C checksum" …
	// Warning tells of a stored digest that does not fit although the content
	// is proven otherwise: some MinIO versions store such a CRC64NVME when
	// they copy into a compressed object (SSE spec section 5).
	Warning string
}

// digest is one expectation about the plaintext.
type digest struct {
	name string
	want []byte
	sum  summer
}

type summer interface {
	io.Writer
	Sum(b []byte) []byte
}

// compositeHash hashes every part by itself, and the digests of the parts
// together (SSE spec section 5).
type compositeHash struct {
	part, total hash.Hash
	left        int64   // plaintext bytes of the part at hand
	sizes       []int64 // of the parts after it
}

func newCompositeHash(t ChecksumType, spans []span) *compositeHash {
	c := &compositeHash{part: checksums[t].new(), total: checksums[t].new(), left: spans[0].actual}
	for _, p := range spans[1:] {
		c.sizes = append(c.sizes, p.actual)
	}
	return c
}

func (c *compositeHash) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		for c.left == 0 && len(c.sizes) > 0 {
			c.endPart()
		}
		n := min(int64(len(p)), max(c.left, 1)) // bytes beyond the last part spoil its digest
		c.part.Write(p[:n])
		c.left, p = c.left-n, p[n:]
	}
	return written, nil
}

func (c *compositeHash) endPart() {
	c.total.Write(c.part.Sum(nil))
	c.part.Reset()
	c.left, c.sizes = c.sizes[0], c.sizes[1:]
}

func (c *compositeHash) Sum(b []byte) []byte {
	for len(c.sizes) > 0 {
		c.endPart()
	}
	c.total.Write(c.part.Sum(nil))
	return c.total.Sum(b)
}

// contentCheck hashes a full read against whatever digests were sealed. Its
// zero value checks nothing.
type contentCheck struct {
	digests  []*digest
	tolerant bool // one proof is enough
	result   Integrity
	err      error // with a result: that of finish
}

// begin picks the digests that can prove the content of o.
// One is enough, so the first alone is computed, a checksum before the MD5;
// compressed objects get all, because of the fault that Integrity.Warning tells
// of. In FIPS 140-only mode MD5 and SHA-1 prove nothing.
func (c *contentCheck) begin(o *Object) error {
	if o.etagErr != nil {
		return o.etagErr
	}
	if o.sumsErr != nil {
		return o.sumsErr
	}
	c.tolerant = o.Compressed
	for _, s := range o.sums {
		if s.Type == SHA1 && fips140.Enforced() {
			continue
		}
		d := &digest{name: s.Type.String() + " checksum", want: s.Value, sum: checksums[s.Type].new()}
		if s.Composite {
			if o.layout.spans[0].part == 0 {
				continue // copied from a multipart object into a single stream
			}
			if s.PartCount != len(o.layout.spans) {
				return fmt.Errorf("%w: the stored %s checksum is one of %d parts, the object has %d", ErrTampered, s.Type, s.PartCount, len(o.layout.spans))
			}
			d.sum = newCompositeHash(s.Type, o.layout.spans)
		}
		c.digests = append(c.digests, d)
	}
	// Under SSE-S3, and for compressed objects, the sealed ETag is an MD5. For
	// the others it is mostly random: one that looks so is not worth the MD5 of
	// everything.
	if len(o.etag) == md5.Size && !fips140.Enforced() && (o.Method == S3 || o.plain || o.Compressed || !looksRandom(o.etag)) {
		c.digests = append(c.digests, &digest{name: "MD5 ETag", want: o.etag, sum: md5.New()})
	}
	if len(c.digests) > 1 && !c.tolerant {
		c.digests = c.digests[:1]
	}
	return nil
}

func (c *contentCheck) Write(p []byte) {
	for _, d := range c.digests {
		d.sum.Write(p)
	}
}

// finish compares, once, and sets the result.
func (c *contentCheck) finish() error {
	if c.result.Level == "" {
		c.err = c.compare()
	}
	return c.err
}

func (c *contentCheck) compare() error {
	c.result = Integrity{Level: Packages}
	var differ []string
	for _, d := range c.digests {
		switch {
		case bytes.Equal(d.sum.Sum(nil), d.want):
			c.result.Level, c.result.Evidence = Content, d.name
		case d.name == "MD5 ETag" && looksRandom(d.want):
			// a writer that seals random ETags under SSE-S3: no evidence
		default:
			differ = append(differ, d.name)
		}
	}
	switch {
	case len(differ) == 0:
		return nil
	case c.tolerant && c.result.Level == Content:
		c.result.Warning = fmt.Sprintf("the stored %s does not fit the content", differ[0])
		return nil
	default:
		return fmt.Errorf("%w: the content does not fit the sealed %s", ErrTampered, differ[0])
	}
}
