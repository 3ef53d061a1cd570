package s3

import (
	"context"
	"errors"
	"io"
)

// The memory of all uploads together.
const (
	chunkSize  = 8 << 20
	chunkCount = 8
)

// buffers lends chunks. A borrower gets all it needs at once, and what it holds
// it gives back without needing more: so nobody waits for ever.
type buffers struct {
	chunk int64         // bytes of each
	size  int64         // of all: the largest part that is held
	turn  chan struct{} // held by the one that collects
	free  chan []byte
	spare int // chunks that were not made yet; for the one that collects
}

func newBuffers(chunk int64, count int) *buffers {
	return &buffers{chunk: chunk, size: chunk * int64(count), turn: make(chan struct{}, 1), free: make(chan []byte, count), spare: count}
}

// take returns a buffer for size bytes.
func (p *buffers) take(ctx context.Context, size int64) (*buffer, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	b := &buffer{pool: p}
	for n := int64(0); n < size; n += p.chunk {
		select {
		case chunk := <-p.free:
			b.chunks = append(b.chunks, chunk)
			continue
		default:
		}
		if p.spare > 0 {
			p.spare--
			b.chunks = append(b.chunks, make([]byte, p.chunk))
			continue
		}
		select {
		case chunk := <-p.free:
			b.chunks = append(b.chunks, chunk)
		case <-ctx.Done():
			b.giveBack()
			return nil, context.Cause(ctx)
		}
	}
	return b, nil
}

// A buffer holds one part.
type buffer struct {
	pool   *buffers
	chunks [][]byte
	size   int64
}

func (b *buffer) giveBack() {
	for _, chunk := range b.chunks {
		b.pool.free <- chunk
	}
	b.chunks = nil
}

// fill reads exactly size bytes of plaintext, and passes them to hash too.
func (b *buffer) fill(r io.Reader, size int64, hash io.Writer) error {
	b.size = size
	for n := int64(0); n < size; n += b.pool.chunk {
		part := b.chunks[n/b.pool.chunk][:min(b.pool.chunk, size-n)]
		if _, err := io.ReadFull(r, part); err != nil {
			return short(err)
		}
		hash.Write(part)
	}
	return nil
}

// short is the error of content that ends too early.
func short(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// reader returns a new reader over the part, which a request that is tried again
// can wind back.
func (b *buffer) reader() io.ReadSeeker { return &bufferReader{b: b} }

type bufferReader struct {
	b   *buffer
	off int64
}

func (r *bufferReader) Read(p []byte) (int, error) {
	if r.off == r.b.size {
		return 0, io.EOF
	}
	size := r.b.pool.chunk
	before := r.off / size * size
	chunk := r.b.chunks[r.off/size][:min(size, r.b.size-before)]
	n := copy(p, chunk[r.off-before:])
	r.off += int64(n)
	return n, nil
}

func (r *bufferReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.b.size
	}
	if offset < 0 || offset > r.b.size {
		return 0, errors.New("seek out of the part")
	}
	r.off = offset
	return offset, nil
}
