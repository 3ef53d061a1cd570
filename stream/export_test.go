package stream

import "github.com/objseal/objseal/internal/aead"

// FixNonce makes every stream begun until restore is called use this nonce.
func FixNonce(nonce [nonceSize]byte) (restore func()) {
	old := randomNonce
	randomNonce = func() [nonceSize]byte { return nonce }
	return func() { randomNonce = old }
}

// SealPackage makes one DARE 2.0 package, which need not be one that a writer
// may make.
func SealPackage(key []byte, c Cipher, nonce [nonceSize]byte, number uint32, final bool, payload []byte) []byte {
	var s sealer
	if err := s.begin(key, &Options{Cipher: c, Sequence: number}); err != nil {
		panic(err)
	}
	copy(s.header[4:], nonce[:])
	s.header[4] &^= finalFlag
	pkg, err := s.seal(make([]byte, len(payload)+Overhead), payload, final)
	if err != nil {
		panic(err)
	}
	return pkg
}

// BufferSize returns how many bytes of pooled memory each holds.
func (r *EncryptReader) BufferSize() int { return len(r.buf.bytes()) }
func (r *DecryptReader) BufferSize() int { return len(r.in.buf.bytes()) }
func (w *EncryptWriter) BufferSize() int { return len(w.buf.bytes()) }
func (w *DecryptWriter) BufferSize() int { return len(w.in.buf.bytes()) }

// TakePooled takes up to n buffers of each size out of the pools.
func TakePooled(n int) [][]byte {
	var all [][]byte
	for range n {
		all = append(all, smallBuffers.Get().(*[smallSize]byte)[:], largeBuffers.Get().(*[PackageSize]byte)[:])
	}
	return all
}

func (r *DecryptReader) HoldsKey() bool { return r.in.holdsKey() }
func (w *DecryptWriter) HoldsKey() bool { return w.in.holdsKey() }

func (r *EncryptReader) HoldsKey() bool { return !r.sealer.key.isNone() }
func (w *EncryptWriter) HoldsKey() bool { return !w.sealer.key.isNone() }

func (in *intake) holdsKey() bool {
	s := &in.opener.suite
	return !s.key.isNone() || !s.others[0].isNone() || !s.others[1].isNone()
}

// ParallelFrom makes several workers begin after n packages until restore is called.
func ParallelFrom(n int64) (restore func()) {
	old := parallelFrom
	parallelFrom.fast, parallelFrom.generic = n, n
	return func() { parallelFrom = old }
}

// HasKernel tells whether a cipher has a kernel of ours here.
func HasKernel(c Cipher) bool { return aead.Cipher(c.id()).Best() != aead.Generic }
