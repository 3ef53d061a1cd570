package sse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/objseal/objseal/stream"
)

// Fetch returns the n stored bytes from offset off on, counted across all
// parts; what it gives beyond them is not looked at. It is called once per
// Reader, with the context of that Reader, which closes what it returned.
type Fetch func(ctx context.Context, off, n int64) (io.ReadCloser, error)

// FetchReaderAt is the Fetch of an open file, or of anything like one. Closing
// the Reader leaves r open.
func FetchReaderAt(r io.ReaderAt) Fetch {
	return func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		return &section{*io.NewSectionReader(r, off, n)}, nil
	}
}

// section leaves what it reads open.
type section struct{ io.SectionReader }

func (*section) Close() error { return nil }

// A Reader yields verified plaintext of an Object: a byte leaves only after
// the package that holds it was authenticated. In a full read the content is
// compared with the sealed ETag or checksum before its last bytes are handed out; a
// difference is ErrTampered in their place. So whoever got Size bytes, or io.EOF,
// got what was sealed, also a client of a server that has announced that
// size. Errors stay. It is not safe for concurrent use.
type Reader struct {
	ctx    context.Context
	name   ObjectName
	source io.Closer // nil if nothing was fetched, or it was closed
	input  contextReader
	parts  partsReader
	size   int64 // plaintext bytes in all
	n      int64 // of them, read so far
	check  contentCheck
	err    error // sticky
}

// NewReader returns a Reader over a range of the plaintext. Only the packages
// that hold the range are fetched, in one call of fetch, as [Object.Plan] says; of
// a compressed object those from the start of the part that the range begins in,
// or from the block that its index names. A range that covers the whole object is
// a full read.
//
// Errors: ErrRange; those of fetch; for a full read ErrTampered if the sealed
// ETag or checksum does not open, or is that of another number of parts, unless the
// content is not to be checked.
func (o *Object) NewReader(ctx context.Context, fetch Fetch, r Range) (*Reader, error) {
	rd, err := o.newReader(ctx, fetch, r)
	if err != nil {
		return nil, fmt.Errorf("failed to read %s: %w", o.name, err)
	}
	return rd, nil
}

func (o *Object) newReader(ctx context.Context, fetch Fetch, r Range) (*Reader, error) {
	w, err := o.layout.plan(r, o.index)
	if err != nil {
		return nil, err
	}
	rd := &Reader{ctx: ctx, name: o.name, size: w.Size}
	if w.Size == o.layout.size && !o.opts.SkipContentCheck {
		if err := rd.check.begin(o); err != nil {
			return nil, err
		}
	}
	var key objectKey
	if !o.plain {
		if key, err = o.key.borrow(); err != nil {
			return nil, err
		}
	}
	rd.parts = partsReader{segments: w.Segments, key: key, opts: stream.Options{AllowLegacy: o.opts.AllowLegacyStream, Workers: o.opts.Workers}, compressed: o.layout.compressed, plain: o.plain}
	if len(w.Segments) == 0 {
		return rd, nil
	}
	source, err := fetch(ctx, w.Offset, w.Length)
	if err != nil {
		key.Wipe()
		return nil, fmt.Errorf("failed to fetch %d stored bytes at %d: %w", w.Length, w.Offset, err)
	}
	rd.source, rd.input = source, contextReader{ctx, source}
	rd.parts.src = &rd.input
	return rd, nil
}

// contextReader ends with its context between two reads, for sources that
// know nothing of it.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// Read returns verified plaintext. An error other than io.EOF says that the
// object is damaged (ErrTampered, or stream's ErrTampered, ErrTruncated,
// ErrUnsupported), is that of the source, or of the context.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err == nil {
		r.end(r.ctx.Err())
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.parts.Read(p)
	if err := r.pass(p[:n]); err != nil {
		clear(p[:n])
		r.fail(err)
		return 0, r.err
	}
	r.end(err)
	return n, r.err
}

// pass hashes bytes before they are handed out, and compares the content if they are
// the last.
func (r *Reader) pass(p []byte) error {
	r.check.Write(p)
	r.n += int64(len(p))
	switch {
	case r.n > r.size:
		return fmt.Errorf("%w: there is more of it than the %d bytes that its metadata says", ErrTampered, r.size)
	case r.n == r.size:
		return r.check.finish()
	}
	return nil
}

// WriteTo writes all that was not read yet to w, package by package without a
// buffer in between. It fails like Read, and with the error of w.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	sink := &verifiedSink{r: r, w: w}
	if r.err == nil {
		_, err := r.parts.WriteTo(sink)
		switch {
		case sink.err != nil:
			r.fail(sink.err)
		case err == nil:
			r.end(io.EOF)
		default:
			r.end(err)
		}
	}
	if r.err == io.EOF {
		return sink.n, nil
	}
	return sink.n, r.err
}

// verifiedSink is where WriteTo's bytes pass the hashes. It keeps the failure
// of the destination apart from those of the object.
type verifiedSink struct {
	r   *Reader
	w   io.Writer
	n   int64
	err error
}

func (s *verifiedSink) Write(p []byte) (n int, err error) {
	if s.err = s.r.ctx.Err(); s.err == nil {
		s.err = s.r.pass(p)
	}
	if s.err != nil {
		return 0, s.err
	}
	n, s.err = s.w.Write(p)
	switch {
	case n < 0 || n > len(p):
		n, s.err = 0, errInvalidWrite
	case n < len(p) && s.err == nil:
		s.err = io.ErrShortWrite
	}
	s.n += int64(n)
	return n, s.err
}

var errInvalidWrite = errors.New("the destination returned an impossible count from Write")

// end makes every error sticky. At the end of the plaintext it compares the
// content first.
func (r *Reader) end(err error) {
	if err == io.EOF {
		err = r.check.finish()
		if err == nil {
			r.err = io.EOF
			return
		}
	}
	if err != nil {
		r.fail(err)
	}
}

func (r *Reader) fail(err error) {
	r.parts.wipe()
	r.err = fmt.Errorf("failed to read %s: %w", r.name, err)
}

// Size is the number of plaintext bytes that the Reader yields in all.
func (r *Reader) Size() int64 { return r.size }

// Integrity says what was verified; valid once Read has returned io.EOF or
// WriteTo has returned nil.
func (r *Reader) Integrity() Integrity {
	if r.err != io.EOF {
		return Integrity{}
	}
	return r.check.result
}

// Close closes what Fetch returned, once, and returns the error of that. It may
// be called before the end; Read then fails with os.ErrClosed.
func (r *Reader) Close() error {
	if r.err == nil {
		r.fail(os.ErrClosed)
	}
	source := r.source
	r.source = nil
	if source == nil {
		return nil
	}
	return source.Close()
}
