package stream

import (
	"bytes"
	"errors"
	"reflect"
	"unsafe"

	"github.com/objseal/objseal/internal/aead"
)

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
	if err := s.begin(key, &Options{Cipher: c, Sequence: number}, len(payload)); err != nil {
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

// BufferSize returns how many bytes of pooled memory each holds, beside its state.
func (r *EncryptReader) BufferSize() int {
	return held(r.state, func(s *encryptReader) *buffer { return &s.buf })
}
func (r *DecryptReader) BufferSize() int {
	return held(r.state, func(s *decryptReader) *buffer { return &s.in.buf })
}
func (w *EncryptWriter) BufferSize() int {
	return held(w.state, func(s *encryptWriter) *buffer { return &s.buf })
}
func (w *DecryptWriter) BufferSize() int {
	return held(w.state, func(s *decryptWriter) *buffer { return &s.in.buf })
}

func held[T any](state hidden[T], buf func(*T) *buffer) int {
	if state.isNone() {
		return 0
	}
	return len(buf(state.get()).bytes())
}

// TakePooled takes up to n buffers of each size out of the pools, and those that states
// have which are there.
func TakePooled(n int) [][]byte {
	var all [][]byte
	kept := func(b buffer) {
		if b.small != nil {
			all = append(all, b.small[:])
		}
	}
	for range n {
		all = append(all, smallBuffers.Get().(*[smallSize]byte)[:], largeBuffers.Get().(*[PackageSize]byte)[:])
		kept(encryptReaders.take().get().buf)
		kept(decryptReaders.take().get().in.buf)
		kept(encryptWriters.take().get().buf)
		kept(decryptWriters.take().get().in.buf)
	}
	return all
}

// TakeStates takes a state of each kind out of the pools, and tells whether that is empty
// but for a small buffer and memory for a key, in which there is none.
func TakeStates() map[string]bool {
	er, dr, ew, dw := encryptReaders.take().get(), decryptReaders.take().get(), encryptWriters.take().get(), decryptWriters.take().get()
	return map[string]bool{
		"EncryptReader": isCleared(er.sealer.key) && isEmpty(er, &er.buf, &er.sealer.key),
		"DecryptReader": isWiped(dr.in.opener.suite.key) && isEmpty(dr, &dr.in.buf, &dr.in.opener.suite.key),
		"EncryptWriter": isCleared(ew.sealer.key) && isEmpty(ew, &ew.buf, &ew.sealer.key),
		"DecryptWriter": isWiped(dw.in.opener.suite.key) && isEmpty(dw, &dw.in.buf, &dw.in.opener.suite.key),
	}
}

func isWiped(key hidden[openKey]) bool {
	return key.isNone() || key.get().key == [KeySize]byte{} && !key.get().ready && !key.get().shared
}

// isCleared tells whether hardly a byte of the memory for a key is not zero.
func isCleared(key hidden[aead.Key]) bool {
	if key.isNone() {
		return true
	}
	memory := unsafe.Slice((*byte)(unsafe.Pointer(key.get())), unsafe.Sizeof(aead.Key{}))
	return len(memory)-bytes.Count(memory, []byte{0}) <= 8 // which cipher, and the like
}

func isEmpty[T, K any](state *T, buf *buffer, key *hidden[K]) bool {
	buf.small, *key = nil, hidden[K]{}
	return reflect.ValueOf(*state).IsZero()
}

// UseCopies ends a sealer and an opener and goes on with copies of them. Each panics, or
// it works with a key that was wiped.
func UseCopies(key, pkg []byte) map[string]func() {
	var s sealer
	var o opener
	if err := errors.Join(s.begin(key, nil, 1), o.begin(key, nil, PayloadSize)); err != nil {
		panic(err)
	}
	s2, o2 := s, o
	s.end()
	o.suite.wipe()
	return map[string]func(){
		"sealer": func() { s2.seal(make([]byte, 1+Overhead), []byte{1}, true) },
		"opener": func() { o2.open(make([]byte, len(pkg)), pkg) },
	}
}

// HoldsSource tells whether each still knows what a ReadFrom read.
func (w *EncryptWriter) HoldsSource() bool { return w.state.get().src != source{} }
func (w *DecryptWriter) HoldsSource() bool { return w.state.get().src != source{} }

// HoldsKey tells whether each can still use a key.
func (r *EncryptReader) HoldsKey() bool { return !r.state.isNone() && r.state.get().sealer.holdsKey() }
func (r *DecryptReader) HoldsKey() bool { return !r.state.isNone() && r.state.get().in.holdsKey() }
func (w *EncryptWriter) HoldsKey() bool { return !w.state.isNone() && w.state.get().sealer.holdsKey() }
func (w *DecryptWriter) HoldsKey() bool { return !w.state.isNone() && w.state.get().in.holdsKey() }

func (s *sealer) holdsKey() bool { return s.live }

func (in *intake) holdsKey() bool {
	s := &in.opener.suite
	return s.live || !s.others[0].isNone() || !s.others[1].isNone()
}

// ParallelFrom makes several workers begin after n packages until restore is called.
func ParallelFrom(n int64) (restore func()) {
	old := parallelFrom
	parallelFrom.fast, parallelFrom.generic = n, n
	return func() { parallelFrom = old }
}

// HasKernel tells whether a cipher has a kernel of ours here.
func HasKernel(c Cipher) bool { return aead.Cipher(c.id()).Best() != aead.Generic }
