package stream

import "io"

// EncryptWriter takes plaintext and writes the stream that protects it. Use one
// from one goroutine at a time.
type EncryptWriter struct {
	state  hidden[encryptWriter]
	err    error // what Write and Close return when there is no state any more
	closed bool
}

var encryptWriters pool[encryptWriter]

// An encryptWriter is what an EncryptWriter needs up to its end.
type encryptWriter struct {
	sealer sealer
	dst    io.Writer
	src    source // of a ReadFrom
	buf    buffer
	n      int // plaintext bytes that wait at buf[HeaderSize:], up to PayloadSize; Overhead fits too
	err    error
}

// NewEncryptWriter returns a writer of the stream that protects what is written
// to it, under a 32-byte key, which is copied. Close writes the final package:
// without it the stream is truncated. It fails with ErrInvalidKey,
// ErrInvalidOptions or ErrFIPS.
func NewEncryptWriter(key []byte, dst io.Writer, o *Options) (*EncryptWriter, error) {
	state := encryptWriters.take()
	s := state.get()
	if err := s.sealer.begin(key, o, PayloadSize); err != nil {
		encryptWriters.give(state)
		return nil, err
	}
	s.dst = dst
	return &EncryptWriter{state: state}, nil
}

// Write implements io.Writer. Up to 64 KiB are held back until more comes or
// Close is called, as only then it is known whether they are the last. The
// count is of plaintext bytes that were sealed or are held.
func (w *EncryptWriter) Write(p []byte) (int, error) {
	s, err := w.enter()
	if err != nil {
		return 0, err
	}
	n := s.write(p)
	w.leave(s)
	return n, w.err
}

// ReadFrom implements io.ReaderFrom: it takes all that src has as one Write. If
// src fails the writer has failed, so that Close cannot end the stream as if
// it were whole.
func (w *EncryptWriter) ReadFrom(src io.Reader) (int64, error) {
	s, err := w.enter()
	if err != nil {
		return 0, err
	}
	n := s.readFrom(src)
	w.leave(s)
	return n, w.err
}

// Close writes the final package; it does not close the destination. A stream
// without plaintext is zero bytes. A second Close returns what the first did.
func (w *EncryptWriter) Close() error {
	if w.closed {
		return w.err
	}
	s, err := w.enter()
	w.closed = err != errInCall // that call goes on, and another Close comes
	if err != nil {
		return err
	}
	if s.err == nil && s.n > 0 {
		s.flush(s.buf.bytes()[HeaderSize:HeaderSize+s.n], true)
	}
	w.drop(s)
	return w.err
}

// enter begins a call, with the state of a writer that can go on.
func (w *EncryptWriter) enter() (*encryptWriter, error) {
	if w.closed {
		return nil, ErrClosed
	}
	return enter(w.state, &w.err)
}

// leave ends a call, and drops the state if the writer has failed.
func (w *EncryptWriter) leave(s *encryptWriter) {
	w.err = nil
	if s.err != nil {
		w.drop(s)
	}
}

func (w *EncryptWriter) drop(s *encryptWriter) {
	w.err = s.err
	s.stop(s.err) // it has not stopped if all went well
	encryptWriters.end(&w.state, encryptWriter{sealer: sealer{key: s.sealer.key}, buf: buffer{small: s.buf.small}})
}

func (w *encryptWriter) write(p []byte) int {
	taken := 0
	for w.err == nil && taken < len(p) {
		rest := p[taken:]
		switch {
		case w.n == PayloadSize:
			w.flush(w.buf.bytes()[HeaderSize:HeaderSize+PayloadSize], false)
		case w.n == 0 && len(rest) > PayloadSize: // straight from p
			if w.flush(rest[:PayloadSize], false); w.err == nil {
				taken += PayloadSize
			}
		default:
			n := min(len(rest), PayloadSize-w.n)
			b := w.buf.atLeast(w.n+n+Overhead, HeaderSize+w.n)
			copy(b[HeaderSize+w.n:], rest[:n])
			w.hold(w.n + n)
			taken += n
		}
	}
	return taken
}

func (w *encryptWriter) readFrom(src io.Reader) int64 {
	w.src.begin(src)
	first := w.sealer.next
	for w.err == nil {
		if w.n == 1 && w.sealer.spreads(first) {
			w.n = 0
			_, _, err := w.sealer.sealAll(&w.src, w.buf.bytes()[HeaderSize], w.dst, w.sealer.workers)
			if w.err = err; err != nil {
				w.stop(err)
				break
			}
		}
		b, n := fillPayload(&w.src, &w.buf, w.buf.atLeast(smallSize, HeaderSize+w.n), w.n)
		if n <= PayloadSize {
			w.hold(n)
			if w.src.err != io.EOF {
				w.stop(w.src.err)
			}
			break
		}
		ahead := b[HeaderSize+PayloadSize]
		if w.flush(b[HeaderSize:HeaderSize+PayloadSize], false); w.err == nil {
			b[HeaderSize] = ahead
			w.hold(1)
		}
	}
	n := w.src.n
	w.src = source{}
	return n
}

// hold notes that n bytes wait.
func (w *encryptWriter) hold(n int) {
	w.n = n
	w.buf.holds(HeaderSize, HeaderSize+n)
}

// flush seals the payload, which is that of the buffer or elsewhere while the
// buffer is empty, and writes the package.
func (w *encryptWriter) flush(payload []byte, final bool) {
	b := w.buf.atLeast(len(payload)+Overhead, 0)
	pkg, err := w.sealer.seal(b, payload, final)
	if err == nil {
		w.n = 0
		w.buf.isSealed() // what was held, in place
		_, err = writeAll(w.dst, pkg)
	}
	if err != nil {
		w.stop(err)
	}
}

// stop ends the writer with err, and the use of key and buffer.
func (w *encryptWriter) stop(err error) {
	w.err = err
	w.n = 0
	w.sealer.end()
	w.buf.release()
}

// DecryptWriter takes a stream and writes its plaintext. Use one from one
// goroutine at a time.
type DecryptWriter struct {
	state  hidden[decryptWriter]
	err    error // what Write and Close return when there is no state any more
	closed bool
}

var decryptWriters pool[decryptWriter]

// A decryptWriter is what a DecryptWriter needs up to its end.
type decryptWriter struct {
	in  intake
	dst io.Writer
	src source // of a ReadFrom
	err error
}

// NewDecryptWriter returns a writer of the plaintext of the stream that is
// written to it, under a 32-byte key, which is copied. Close tells whether the
// stream was whole: its error must not be ignored. It fails with ErrInvalidKey
// or ErrInvalidOptions.
func NewDecryptWriter(key []byte, dst io.Writer, o *Options) (*DecryptWriter, error) {
	state := decryptWriters.take()
	s := state.get()
	if err := s.in.opener.begin(key, o, PayloadSize); err != nil {
		decryptWriters.give(state)
		return nil, err
	}
	s.dst = dst
	return &DecryptWriter{state: state}, nil
}

// Write implements io.Writer. The plaintext of a package is written when the
// package is whole; the count is of ciphertext bytes that were opened or
// are held.
func (w *DecryptWriter) Write(p []byte) (int, error) {
	s, err := w.enter()
	if err != nil {
		return 0, err
	}
	n := s.write(p)
	w.leave(s)
	return n, w.err
}

// ReadFrom implements io.ReaderFrom: it takes all that src has as one Write. If
// src fails the writer has failed.
func (w *DecryptWriter) ReadFrom(src io.Reader) (int64, error) {
	s, err := w.enter()
	if err != nil {
		return 0, err
	}
	n := s.readFrom(src)
	w.leave(s)
	return n, w.err
}

// Close fails with ErrTruncated if the stream has not come to its end, and with
// the writer's error if it has failed before. It does not close the
// destination. A second Close returns what the first did.
func (w *DecryptWriter) Close() error {
	if w.closed {
		return w.err
	}
	s, err := w.enter()
	w.closed = err != errInCall // that call goes on, and another Close comes
	if err != nil {
		return err
	}
	if s.err == nil {
		// No whole package waits, so cut has only the end to judge.
		_, err := s.in.opener.cut(s.in.waiting(), true)
		s.err = eofIsNil(err)
	}
	w.drop(s)
	return w.err
}

// enter begins a call, with the state of a writer that can go on.
func (w *DecryptWriter) enter() (*decryptWriter, error) {
	if w.closed {
		return nil, ErrClosed
	}
	return enter(w.state, &w.err)
}

// leave ends a call, and drops the state if the writer has failed.
func (w *DecryptWriter) leave(s *decryptWriter) {
	w.err = nil
	if s.err != nil {
		w.drop(s)
	}
}

func (w *DecryptWriter) drop(s *decryptWriter) {
	w.err = s.err
	s.stop(s.err) // it has not stopped if all went well
	decryptWriters.end(&w.state, decryptWriter{in: s.in.empty()})
}

func (w *decryptWriter) write(p []byte) int {
	taken := 0
	for w.err == nil {
		rest := p[taken:]
		b := w.in.waiting()
		straight := len(b) == 0
		if straight {
			if b = rest; len(b) == 0 {
				break
			}
		}
		n, err := w.in.opener.cut(b, false)
		switch {
		case err != nil:
			w.stop(err)
		case n > len(b): // wait for the rest of the package
			if len(rest) == 0 {
				return taken
			}
			have := len(w.in.waiting())
			more := min(len(rest), n-have)
			copy(w.in.room(have + more)[have:], rest[:more])
			w.in.end += more
			taken += more
		case straight:
			plain := w.in.buf.atLeast(n, 0)[:n-Overhead]
			w.in.buf.holds(0, len(plain))
			if w.emit(plain, w.in.opener.open(plain, b[:n])); w.err == nil {
				taken += n
			}
		default:
			w.in.start += n
			w.emit(w.in.openInPlace(b[:n]))
		}
	}
	return taken
}

func (w *decryptWriter) readFrom(src io.Reader) int64 {
	w.src.begin(src)
	first := w.in.opener.next
	for w.err == nil {
		if w.in.opener.spreads(first) {
			_, _, err, tampered := w.in.openAll(&w.src, MaxPackages, w.dst)
			if err == nil {
				err = tampered
			}
			if w.err = err; err != nil {
				w.stop(err)
				break
			}
		}
		pkg, err := w.in.fetch(&w.src, false)
		if err == io.EOF {
			break
		}
		if err != nil {
			w.stop(err)
			break
		}
		w.emit(w.in.openInPlace(pkg))
	}
	n := w.src.n
	w.src = source{}
	return n
}

// emit writes what was opened, if err does not tell that it was not.
func (w *decryptWriter) emit(plain []byte, err error) {
	if err == nil {
		_, err = writeAll(w.dst, plain)
	}
	if err != nil {
		w.stop(err)
	}
}

// stop ends the writer with err.
func (w *decryptWriter) stop(err error) {
	w.err = err
	w.in.release()
}
