package sse

import (
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"

	"github.com/objseal/objseal/stream"
)

// partsReader yields the plaintext of the segments of a Plan, one after the
// other: each is opened under its own key, never sees the bytes of the next
// one, and yields exactly the bytes that the Plan says or fails.
type partsReader struct {
	src        io.Reader
	segments   []Segment // still to come
	key        objectKey // its own copy
	opts       stream.Options
	compressed bool
	plain      bool       // not encrypted
	inflater   *s2.Reader // of the segment at hand; its buffers serve all
	inside     bool       // which began within its S2 stream

	current io.Reader // plaintext of the segment at hand, nil between two
	part    int       // its number, 0 if the object is one stream
}

// next begins the next segment; io.EOF behind the last one.
func (p *partsReader) next() error {
	if len(p.segments) == 0 {
		p.wipe()
		return io.EOF
	}
	s := p.segments[0]
	p.segments, p.part = p.segments[1:], s.Part
	packages, err := p.open(s)
	if err != nil {
		return err
	}
	p.current = packages
	if p.compressed {
		below := &lastError{Reader: packages}
		switch {
		case s.inside:
			p.inflater = s2.NewReader(below, s2.ReaderAllocBlock(64<<10), s2.ReaderIgnoreStreamIdentifier())
		case p.inflater == nil || p.inside:
			p.inflater = s2.NewReader(below, s2.ReaderAllocBlock(64<<10))
		default:
			p.inflater.Reset(below)
		}
		p.inside = s.inside
		p.current = &inflatedReader{s2: p.inflater, below: below, skip: s.Skip, left: s.N, toEnd: s.toEnd}
	}
	return nil
}

// open returns what the packages of a segment hold.
func (p *partsReader) open(s Segment) (io.Reader, error) {
	if p.plain {
		return &plainReader{p.src, s.Packages.Length}, nil
	}
	key := p.key
	if s.Part != 0 {
		key = p.key.partKey(s.Part)
		defer key.Wipe()
	}
	return stream.NewRangeReader(key.Bytes(), p.src, s.Packages, &p.opts)
}

func (p *partsReader) Read(b []byte) (int, error) {
	for {
		if p.current == nil {
			if err := p.next(); err != nil {
				return 0, p.failed(err)
			}
		}
		n, err := p.current.Read(b)
		if err == io.EOF {
			p.current, err = nil, nil
			if n == 0 {
				continue
			}
		}
		return n, p.failed(err)
	}
}

// WriteTo implements io.WriterTo. Of an error of w only the caller knows that
// it is one.
func (p *partsReader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if p.current == nil {
			if err := p.next(); err == io.EOF {
				return n, nil
			} else if err != nil {
				return n, p.failed(err)
			}
		}
		m, err := io.Copy(w, p.current)
		n += m
		if err != nil {
			return n, p.failed(err)
		}
		p.current = nil
	}
}

// failed names the part in which err happened.
func (p *partsReader) failed(err error) error {
	if err == nil || err == io.EOF || p.part == 0 {
		return err
	}
	return fmt.Errorf("part %d: %w", p.part, err)
}

func (p *partsReader) wipe() { p.key.Wipe() }

// inflatedReader is the plaintext of one S2 stream: skip bytes are dropped, left
// are yielded. The stream is held to the size it should have: fewer bytes are an
// error, and more in place of the last ones if toEnd says that it ends there. One block of the stream, 4
// MiB at most, is decompressed at a time, and none far behind the bytes wanted.
type inflatedReader struct {
	s2         *s2.Reader
	below      *lastError // what s2 reads
	skip, left int64
	toEnd      bool
}

func (r *inflatedReader) Read(b []byte) (int, error) {
	if r.skip > 0 {
		if err := r.s2.Skip(r.skip); err != nil {
			return 0, r.cause(err)
		}
		r.skip = 0
	}
	if r.left == 0 {
		return 0, r.finish()
	}
	n, err := r.s2.Read(b[:min(int64(len(b)), r.left)])
	r.left -= int64(n)
	if err != nil {
		return n, r.cause(err)
	}
	if r.left == 0 && n > 0 {
		if err := r.finish(); err != io.EOF {
			clear(b[:n])
			return 0, err
		}
		r.toEnd = false // it was there
	}
	return n, nil
}

// finish returns io.EOF if nothing follows that must not.
func (r *inflatedReader) finish() error {
	if !r.toEnd {
		return io.EOF
	}
	switch n, err := io.ReadFull(r.s2, make([]byte, 1)); {
	case n > 0:
		return fmt.Errorf("%w: it holds more plaintext than its size says", ErrTampered)
	case err == io.EOF:
		return io.EOF
	default:
		return r.cause(err)
	}
}

// cause tells whose failure err is: that of the packages and what lies below
// them, or of the S2 stream, which is authentic and wrong.
func (r *inflatedReader) cause(err error) error {
	switch r.below.err {
	case nil:
		return fmt.Errorf("%w: the compressed stream is damaged: %w", ErrTampered, err)
	case io.EOF:
		return fmt.Errorf("%w: it holds less plaintext than its size says", ErrTampered)
	default:
		return r.below.err
	}
}

// lastError remembers the error that its Reader ended with: s2 replaces some by
// its own.
type lastError struct {
	io.Reader
	err error
}

func (r *lastError) Read(p []byte) (n int, err error) {
	n, r.err = r.Reader.Read(p)
	return n, r.err
}
