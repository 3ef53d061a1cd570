package stream

import (
	"bytes"
	"io"
)

// EncryptReader reads plaintext and gives the stream that protects it. Use one
// from one goroutine at a time.
type EncryptReader struct {
	state hidden[encryptReader]
	err   error // what Read returns when there is no state any more
}

var encryptReaders pool[encryptReader]

// An encryptReader is what an EncryptReader needs up to its end.
type encryptReader struct {
	sealer sealer
	src    source
	buf    buffer
	out    []byte // of buf: sealed, not yet handed out
	ahead  byte   // the plaintext byte that showed that the last package was not the final one
	more   bool   // whether there is one
	err    error  // what Read returns when out is empty
}

// NewEncryptReader returns a reader of the stream that protects what src holds
// up to its io.EOF, under a 32-byte key, which is copied. It fails with
// ErrInvalidKey, ErrInvalidOptions or ErrFIPS.
//
// An error of src is passed on, and the package that it interrupted is not
// given: a stream that is complete means that src was.
func NewEncryptReader(key []byte, src io.Reader, o *Options) (*EncryptReader, error) {
	state := encryptReaders.take()
	s := state.get()
	if err := s.sealer.begin(key, o, PayloadSize); err != nil {
		encryptReaders.give(state)
		return nil, err
	}
	s.src.begin(src)
	return &EncryptReader{state: state}, nil
}

// Read implements io.Reader. It gives one package a call at most; a p of
// PackageSize bytes or more saves a copy.
func (r *EncryptReader) Read(p []byte) (int, error) {
	s, err := enter(r.state, &r.err)
	if err != nil {
		return 0, err
	}
	n, err := s.read(p)
	r.leave(s)
	return n, err
}

// WriteTo implements io.WriterTo: it writes the rest of the stream to dst. After
// an error of dst the reader goes on behind what dst took.
func (r *EncryptReader) WriteTo(dst io.Writer) (int64, error) {
	s, err := enter(r.state, &r.err)
	if err != nil {
		return 0, eofIsNil(err)
	}
	n, err := s.writeTo(dst)
	r.leave(s)
	return n, err
}

// leave ends a call, and drops the state if nothing comes any more.
func (r *EncryptReader) leave(s *encryptReader) {
	r.err = nil
	if s.err != nil && len(s.out) == 0 {
		r.err = s.err
		encryptReaders.end(&r.state, encryptReader{sealer: sealer{key: s.sealer.key}, buf: buffer{small: s.buf.small}})
	}
}

func (r *encryptReader) read(p []byte) (int, error) {
	if len(r.out) == 0 && r.err == nil && len(p) > 0 {
		if len(p) >= PackageSize {
			if pkg := r.nextInto(p[:PackageSize]); len(pkg) > 0 {
				return len(pkg), nil
			}
		} else {
			r.out = r.next()
		}
	}
	if len(r.out) == 0 {
		return 0, r.err
	}
	n := copy(p, r.out)
	r.consume(n)
	return n, nil
}

func (r *encryptReader) writeTo(dst io.Writer) (int64, error) {
	var written int64
	first := r.sealer.next
	for {
		if len(r.out) == 0 && r.more && r.sealer.spreads(first) {
			r.more = false
			n, rest, err := r.sealer.sealAll(&r.src, r.ahead, dst, r.sealer.workers)
			r.out = rest
			written += n
			if err != nil {
				return written, err
			}
		}
		if len(r.out) == 0 && r.err == nil {
			r.out = r.next()
		}
		if len(r.out) == 0 {
			return written, eofIsNil(r.err)
		}
		n, err := writeAll(dst, r.out)
		r.consume(n)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}

// consume drops n bytes of out, and releases the buffer with the stream's last one.
func (r *encryptReader) consume(n int) {
	r.out = r.out[n:]
	if len(r.out) == 0 && r.err != nil {
		r.buf.release()
	}
}

// next seals the next package in the pooled buffer. Without one it returns nil and
// r.err is set; r.err is also set with the final one.
func (r *encryptReader) next() []byte {
	b := r.buf.atLeast(smallSize, 0)
	b, n := fillPayload(&r.src, &r.buf, b, r.begin(b))
	r.buf.holds(HeaderSize, HeaderSize+n)
	pkg := r.sealFront(b, n)
	if pkg == nil {
		r.buf.release()
	}
	r.buf.isSealed()
	return pkg
}

// nextInto is next for a buffer of the caller, of PackageSize bytes.
func (r *encryptReader) nextInto(b []byte) []byte {
	r.buf.release()
	b, n := fillPayload(&r.src, nil, b, r.begin(b))
	pkg := r.sealFront(b, n)
	if pkg == nil {
		clear(b[:min(HeaderSize+n, len(b))])
	}
	return pkg
}

// begin puts the byte read ahead to its place in the next package.
func (r *encryptReader) begin(b []byte) int {
	if !r.more {
		return 0
	}
	b[HeaderSize] = r.ahead
	r.more = false
	return 1
}

// sealFront seals in place the payload that stands in b, of n bytes, the last
// of which is the one read ahead if n > PayloadSize.
func (r *encryptReader) sealFront(b []byte, n int) []byte {
	final := n <= PayloadSize
	if final {
		if r.err = r.src.end(); n == 0 || r.err != io.EOF {
			r.end()
			return nil
		}
	} else {
		n = PayloadSize
		r.ahead, r.more = b[HeaderSize+n], true
	}
	pkg, err := r.sealer.seal(b, b[HeaderSize:HeaderSize+n], final)
	if err != nil {
		r.err = err
	}
	if r.err != nil {
		r.end()
	}
	return pkg
}

// end drops the key.
func (r *encryptReader) end() {
	r.sealer.end()
	r.ahead = 0
}

// fillPayload reads plaintext from src to the payload of a package in b, where n
// bytes of it stand, until src ends or one byte more than a package holds is
// there: that byte tells that the package is not the stream's final one. It
// stands where the tag will, so that no copy is needed to make room for it. A
// b of the pool grows when src has more than it holds.
func fillPayload(src *source, pool *buffer, b []byte, n int) ([]byte, int) {
	for {
		room := b[HeaderSize : len(b)-TagSize+1]
		n = src.fill(room, n, len(room))
		if n < len(room) || len(b) == PackageSize {
			return b, n
		}
		pool.holds(HeaderSize, HeaderSize+n)
		b = pool.atLeast(PackageSize, HeaderSize+n)
	}
}

// intake finds the packages in ciphertext that arrives in pieces.
type intake struct {
	opener     opener
	buf        buffer
	start, end int // of buf: ciphertext that was not opened yet
}

func (in *intake) waiting() []byte { return in.buf.bytes()[in.start:in.end] }

// room returns the buffer with the waiting bytes at its front and n bytes in all
// or more.
func (in *intake) room(n int) []byte {
	if in.start > 0 {
		b := in.buf.bytes()
		in.end = copy(b, b[in.start:in.end])
		in.start = 0
	}
	return in.buf.atLeast(n, in.end)
}

// fetch returns the next whole package, in the buffer, reading from src as
// needed. Otherwise the error is that of src, or of the engine. endsHere tells
// that the stream ends where src does.
func (in *intake) fetch(src *source, endsHere bool) ([]byte, error) {
	for {
		b := in.waiting()
		n, err := in.opener.cut(b, endsHere && src.end() == io.EOF)
		switch {
		case err != nil:
			return nil, err
		case n <= len(b):
			in.start += n
			return b[:n], nil
		case src.end() != nil:
			return nil, src.err
		}
		b = in.room(max(n, smallSize))
		in.end = src.fill(b, in.end, n)
	}
}

// openAll is that of the opener, for the waiting bytes and what src gives.
func (in *intake) openAll(src *source, most int64, dst io.Writer) (written int64, rest []byte, err, tampered error) {
	src.putBack(bytes.Clone(in.waiting()))
	in.start, in.end = 0, 0
	return in.opener.openAll(src, most, dst, int(in.opener.workers))
}

// openInPlace opens a package of the buffer where it stands.
func (in *intake) openInPlace(pkg []byte) ([]byte, error) {
	plain := pkg[HeaderSize : len(pkg)-TagSize]
	in.buf.holds(in.start-len(pkg), in.start)
	return plain, in.opener.open(plain, pkg)
}

// openPart is openInPlace where a part of the plaintext is wanted.
func (in *intake) openPart(pkg []byte, from, to int) ([]byte, error) {
	part, begin, end, err := in.opener.openPart(pkg, from, to)
	at := in.start - len(pkg)
	in.buf.holds(at+begin, at+end)
	return part, err
}

// clearPart clears what is left of a small part, all of which was handed out. At the end
// all that lies between two parts would be cleared.
func (in *intake) clearPart() {
	if n := in.buf.to - in.buf.from; n > 0 && n <= PayloadSize/4 {
		clear(in.buf.bytes()[in.buf.from:in.buf.to])
		in.buf.isSealed()
	}
}

// release ends the use of the key and releases the buffer.
func (in *intake) release() {
	in.opener.suite.wipe()
	in.buf.release()
	in.start, in.end = 0, 0
}

// empty returns an intake for another stream, with the memory of in, which was released.
func (in *intake) empty() intake {
	return intake{opener: opener{suite: suite{key: in.opener.suite.key}}, buf: buffer{small: in.buf.small}}
}

// DecryptReader reads a stream and gives its plaintext. Use one from one
// goroutine at a time.
type DecryptReader struct {
	state hidden[decryptReader]
	err   error // what Read returns when there is no state any more
}

var decryptReaders pool[decryptReader]

// A decryptReader is what a DecryptReader needs up to its end.
type decryptReader struct {
	in    intake
	src   source
	plain []byte // of in.buf: authentic, not yet handed out
	err   error  // what Read returns when plain is empty

	// For a range: plaintext to drop, then to hand out. Negative: all.
	skip, left int64
}

// NewDecryptReader returns a reader of the plaintext of the stream that src
// holds up to its io.EOF, under a 32-byte key, which is copied. It fails with
// ErrInvalidKey or ErrInvalidOptions.
//
// Reading fails with an [*Error] if the stream is not whole and authentic;
// the packages in front of the bad one have been given by then. Only io.EOF
// confirms the whole.
func NewDecryptReader(key []byte, src io.Reader, o *Options) (*DecryptReader, error) {
	state := decryptReaders.take()
	s := state.get()
	if err := s.in.opener.begin(key, o, PayloadSize); err != nil {
		decryptReaders.give(state)
		return nil, err
	}
	s.src.begin(src)
	s.left = -1
	return &DecryptReader{state: state}, nil
}

// Read implements io.Reader. It gives one package a call at most; a p of
// PayloadSize bytes or more saves a copy.
func (r *DecryptReader) Read(p []byte) (int, error) {
	s, err := enter(r.state, &r.err)
	if err != nil {
		return 0, err
	}
	n, err := s.read(p)
	r.leave(s)
	return n, err
}

// WriteTo implements io.WriterTo: it writes the rest of the plaintext to dst.
// After an error of dst the reader goes on behind what dst took.
func (r *DecryptReader) WriteTo(dst io.Writer) (int64, error) {
	s, err := enter(r.state, &r.err)
	if err != nil {
		return 0, eofIsNil(err)
	}
	n, err := s.writeTo(dst)
	r.leave(s)
	return n, err
}

// leave ends a call, and drops the state if nothing comes any more.
func (r *DecryptReader) leave(s *decryptReader) {
	r.err = nil
	if s.err != nil && len(s.plain) == 0 {
		r.err = s.err
		decryptReaders.end(&r.state, decryptReader{in: s.in.empty()})
	}
}

func (r *decryptReader) read(p []byte) (int, error) {
	for len(r.plain) == 0 {
		if r.err != nil || len(p) == 0 {
			return 0, r.err
		}
		if n := r.next(p); n > 0 {
			return n, nil
		}
	}
	n := copy(p, r.plain)
	r.consume(n)
	return n, nil
}

func (r *decryptReader) writeTo(dst io.Writer) (int64, error) {
	var written int64
	first := r.in.opener.next
	for {
		for len(r.plain) == 0 {
			if r.err != nil {
				return written, eofIsNil(r.err)
			}
			if most := r.wholePackages(); most > 0 && r.in.opener.spreads(first) {
				n, rest, err, tampered := r.in.openAll(&r.src, most, dst)
				written += n
				if r.left > 0 {
					r.left -= n
				}
				r.plain = rest
				if tampered != nil {
					r.stop(tampered)
				}
				if err != nil {
					return written, err
				}
				if r.err != nil || len(r.plain) > 0 {
					continue
				}
			}
			r.next(nil)
		}
		n, err := writeAll(dst, r.plain)
		r.consume(n)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
}

// wholePackages returns how many of the packages to come are wanted whole, at most.
func (r *decryptReader) wholePackages() int64 {
	switch {
	case r.skip > 0:
		return 0
	case r.left < 0:
		return MaxPackages
	}
	return r.left / PayloadSize
}

// next opens the next package: straight into p, if all of its plaintext is
// wanted and fits there, else in place. It returns how many bytes p got. If
// there is no package, r.err is set.
func (r *decryptReader) next(p []byte) int {
	r.in.clearPart()
	pkg, err := r.in.fetch(&r.src, true)
	if err != nil {
		if err == io.EOF && r.left > 0 {
			err = r.in.opener.fail(ErrTruncated, "%d bytes of plaintext are missing", r.left)
		}
		r.stop(err)
		return 0
	}
	n := len(pkg) - Overhead
	from, to := int(min(r.skip, int64(n))), n
	if r.left >= 0 {
		to = int(min(int64(from)+r.left, int64(n)))
	}
	all := from == 0 && to == n
	if all && n <= len(p) {
		if err := r.in.opener.open(p[:n], pkg); err != nil {
			r.stop(err)
			return 0
		}
		r.took(n)
		return n
	}
	if all {
		r.plain, err = r.in.openInPlace(pkg)
	} else {
		r.plain, err = r.in.openPart(pkg, from, to)
	}
	if err != nil {
		r.plain = nil
		r.stop(err)
		return 0
	}
	r.skip -= int64(from)
	return 0
}

// consume drops n bytes of plain.
func (r *decryptReader) consume(n int) {
	r.plain = r.plain[n:]
	r.took(n)
}

// took counts n bytes handed out. If the source has nothing more and all is
// handed out, the verdict is asked for at once, so that the buffer goes back
// without a Read that may never come.
func (r *decryptReader) took(n int) {
	if r.left > 0 {
		r.left -= int64(n)
	}
	if len(r.plain) == 0 && r.err == nil && r.src.end() != nil && len(r.in.waiting()) == 0 {
		r.next(nil)
	}
}

// stop ends the reader with err.
func (r *decryptReader) stop(err error) {
	r.err = err
	r.in.release()
}

func eofIsNil(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
