package recovery

import (
	"fmt"
	"io"

	"github.com/objseal/objseal/sse"
)

// Body is the plaintext of an Item, exactly Item.Size bytes. Its last byte is
// handed out only when the content was verified to its end: who stores what ends
// too early, or with an error, as nothing at all never stores anything
// unverified. An empty Body fails at its first Read instead.
type Body struct {
	src  io.Reader
	size int64
	n    int64 // bytes handed out
	err  error // what every further Read returns
}

// NewBody returns a Body of size bytes from src, which confirms by io.EOF that
// they are the whole of it.
func NewBody(src io.Reader, size int64) *Body { return &Body{src: src, size: size} }

// Size is the number of bytes of the Body, all together.
func (b *Body) Size() int64 { return b.size }

// Read returns plaintext.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if left := b.size - 1 - b.n; left > 0 {
		n, err := b.src.Read(p[:min(int64(len(p)), left)])
		b.n += int64(n)
		b.err = early(err)
		return n, b.err
	}
	// One byte is left, or none, and the confirmation behind it.
	left := int(b.size - b.n)
	var tail [2]byte
	var n int
	var err error
	for err == nil && n <= left {
		var m int
		m, err = b.src.Read(tail[n:])
		n += m
	}
	switch {
	case n > left:
		b.err = errLongBody
	case err != io.EOF:
		b.err = err
	case n < left:
		b.err = io.ErrUnexpectedEOF
	default:
		b.err = io.EOF
		b.n += int64(n)
		if copy(p, tail[:n]) > 0 {
			return n, nil
		}
	}
	return 0, b.err
}

// WriteTo writes all that was not read yet to w, by the WriteTo of what it reads
// from if that has one. It fails like Read, and with the error of w.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	if b.err != nil {
		if b.err == io.EOF {
			return 0, nil
		}
		return 0, b.err
	}
	h := holder{w: w, left: b.size - b.n}
	_, err := io.Copy(&h, b.src)
	if err == nil {
		err = h.release()
	}
	b.n += h.n
	if b.err = err; err == nil {
		b.err = io.EOF
	}
	return h.n, err
}

// holder passes everything on but the last of left bytes, until release.
type holder struct {
	w    io.Writer
	n    int64 // passed on
	left int64 // to come
	last []byte
}

func (h *holder) Write(p []byte) (int, error) {
	if int64(len(p)) > h.left {
		return 0, errLongBody
	}
	pass := p
	if len(p) > 0 && int64(len(p)) == h.left {
		pass, h.last = p[:len(p)-1], []byte{p[len(p)-1]}
	}
	if len(pass) > 0 {
		n, err := h.w.Write(pass)
		h.n += int64(n)
		h.left -= int64(n)
		if err != nil {
			return n, err
		}
	}
	h.left -= int64(len(p) - len(pass))
	return len(p), nil
}

// release passes on the last byte: the source has confirmed the whole.
func (h *holder) release() error {
	if h.left > 0 {
		return io.ErrUnexpectedEOF
	}
	if h.last == nil {
		return nil
	}
	n, err := h.w.Write(h.last)
	h.n += int64(n)
	return err
}

var errLongBody = fmt.Errorf("%w: the content is longer than its metadata says", sse.ErrTampered)

// early is the error of a source in the middle of the content.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
