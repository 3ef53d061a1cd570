package sse

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/objseal/objseal/stream"
)

// OpenPlain is Open for an object that is not encrypted, for those who read both
// kinds: the same ranges and decompression, and the content compared with the ETag where
// that is an MD5, and with the stored checksum. Nothing of it is authentic.
//
// Errors: ErrTampered, ErrUnsupported; ErrInvalidRequest if the metadata has any trace
// of encryption.
func OpenPlain(n ObjectName, s Stored, o *OpenOptions) (*Object, error) {
	obj, err := openPlain(n, s, o)
	if err != nil {
		return nil, fmt.Errorf("failed to open %s: %w", n, err)
	}
	return obj, nil
}

func openPlain(n ObjectName, s Stored, o *OpenOptions) (*Object, error) {
	if _, err := methodOf(s.Metadata); !errors.Is(err, ErrNotEncrypted) {
		return nil, fmt.Errorf("%w: its metadata says that it is encrypted", ErrInvalidRequest)
	}
	obj := &Object{name: n, plain: true}
	if o != nil {
		obj.opts = OpenOptions{SkipContentCheck: o.SkipContentCheck}
	}
	var err error
	if obj.layout, err = plainLayout(s); err != nil {
		return nil, err
	}
	obj.Description = Description{Multipart: obj.layout.spans[0].part != 0, Compressed: obj.layout.compressed, Size: obj.layout.size, StoredSize: s.Size}
	if obj.stored, obj.etagErr = parseETag(s.Metadata); obj.etagErr != nil {
		obj.stored, obj.etagErr = storedETag{text: s.Metadata[metaETag]}, nil // of any form that a client gave
	}
	if text := obj.stored.text; len(text) == 32 && !obj.Multipart {
		obj.etag, _ = hex.DecodeString(text)
	}
	obj.sums = parseChecksums([]byte(s.Metadata[metaChecksum]))
	return obj, nil
}

// plainLayout is layoutOf for an object that is not encrypted. A multipart one is told by its ETag:
// old servers split large objects of one stream into parts too.
func plainLayout(s Stored) (l layout, err error) {
	if l.compressed, err = compressed(s.Metadata); err != nil {
		return layout{}, err
	}
	if l.size, err = actualSize(s.Metadata); err != nil {
		return layout{}, err
	}
	if e, err := parseETag(s.Metadata); err == nil && e.sealed == nil && len(e.text) > 32 && len(s.Parts) > 0 {
		if l.spans, err = partSpans(s, l.compressed); err != nil {
			return layout{}, err
		}
	} else {
		l.spans = []span{{stored: s.Size, actual: l.size, index: s.Indexes[1]}}
		if l.size < 0 && l.compressed { // only the parts can know
			l.spans[0].actual = 0
			for _, p := range s.Parts {
				l.spans[0].actual += max(min(p.ActualSize, maxActualSize), 0)
			}
		}
	}
	var actual int64
	for i := range l.spans {
		p := &l.spans[i]
		p.packed = p.stored
		if !l.compressed {
			p.actual = p.stored
		}
		actual += p.actual
	}
	switch {
	case l.size >= 0 && l.size != actual:
		return layout{}, tampered(metaActualSize, fmt.Sprintf("says %d bytes, the parts say %d", l.size, actual))
	case actual == 0 && s.Size > 0:
		return layout{}, fmt.Errorf("%w: the size of the compressed object stands nowhere", ErrTampered)
	case actual > 0 && s.Size == 0:
		return layout{}, tampered(metaActualSize, fmt.Sprintf("says %d bytes, but nothing is stored", actual))
	}
	l.size, l.plain = actual, true
	return l, nil
}

// plainReader is a segment without packages: so many bytes, or it was cut.
type plainReader struct {
	src  io.Reader
	left int64
}

func (r *plainReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.src.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err == io.EOF && r.left > 0 {
		return n, fmt.Errorf("%w: %d bytes are missing", stream.ErrTruncated, r.left)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// WriteTo implements io.WriterTo, with a buffer no larger than what is left.
func (r *plainReader) WriteTo(w io.Writer) (n int64, err error) {
	buf := make([]byte, min(r.left, stream.PayloadSize))
	for {
		m, err := r.Read(buf)
		if m > 0 {
			written, err := w.Write(buf[:m])
			n += int64(written)
			if err != nil {
				return n, err
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
