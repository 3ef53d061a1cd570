package stream

import (
	"io"
	"slices"

	"github.com/objseal/objseal/internal/overlap"
)

// Seal appends to dst the stream that protects plaintext, under a 32-byte key,
// and returns the extended slice. A dst with room for [EncryptedSize] more bytes
// is not reallocated, unless plaintext is in that room. It fails with
// ErrInvalidKey, ErrInvalidOptions, ErrFIPS or ErrTooLarge.
func Seal(dst, key, plaintext []byte, o *Options) ([]byte, error) {
	s, err := newSealer(key, o)
	if err != nil {
		return nil, err
	}
	defer s.end()
	size, err := EncryptedSize(int64(len(plaintext)))
	if err != nil {
		return nil, err
	}
	dst = extend(dst, int(size), plaintext)
	for len(plaintext) > 0 {
		n := min(len(plaintext), PayloadSize)
		pkg, err := s.seal(dst[len(dst):cap(dst)], plaintext[:n], n == len(plaintext))
		if err != nil {
			return nil, err
		}
		dst, plaintext = dst[:len(dst)+len(pkg)], plaintext[n:]
	}
	return dst, nil
}

// Open appends to dst the plaintext of the stream that is the whole of
// ciphertext, under a 32-byte key, and returns the extended slice. A dst with
// room for len(ciphertext) more bytes is not reallocated, unless ciphertext is
// in that room. It fails like [NewDecryptReader] and its Read; then it returns
// nil, and what it has written behind dst is cleared.
func Open(dst, key, ciphertext []byte, o *Options) ([]byte, error) {
	op, err := newOpener(key, o)
	if err != nil {
		return nil, err
	}
	defer op.suite.wipe()
	full, rest := len(ciphertext)/PackageSize, len(ciphertext)%PackageSize
	out := extend(dst, full*PayloadSize+max(0, rest-Overhead), ciphertext)
	for {
		n, err := op.cut(ciphertext, true)
		if err == io.EOF {
			return out, nil
		}
		if err == nil {
			end := len(out) + n - Overhead
			err = op.open(out[len(out):end], ciphertext[:n])
			if err == nil {
				out, ciphertext = out[:end], ciphertext[n:]
				continue
			}
		}
		clear(out[len(dst):])
		return nil, err
	}
}

// extend returns dst with room for n more bytes that is not part of in: that
// of dst, or else that of a copy.
func extend(dst []byte, n int, in []byte) []byte {
	if room := dst[len(dst):cap(dst)]; len(room) >= n && !overlap.Any(room[:n], in) {
		return dst
	}
	return slices.Grow(slices.Clip(dst), n)
}
