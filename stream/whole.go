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
	var s sealer
	defer s.drop()
	if err := s.begin(key, o, len(plaintext)); err != nil {
		return nil, err
	}
	size, err := EncryptedSize(int64(len(plaintext)))
	if err != nil {
		return nil, err
	}
	dst = extend(dst, int(size), plaintext)
	out := dst[len(dst) : len(dst)+int(size)]
	if n := uint64(packages(int64(len(plaintext)), PayloadSize)); s.workers > 1 && pays(int64(n), s.key.get()) && s.next+n <= MaxPackages {
		err = s.sealSpread(out, plaintext)
	} else {
		err = s.sealRow(out, plaintext, true)
	}
	if err != nil {
		return nil, err
	}
	return dst[:len(dst)+len(out)], nil
}

// sealRow seals plaintext, whole packages or the end of the stream, to dst.
func (s *sealer) sealRow(dst, plaintext []byte, last bool) error {
	for len(plaintext) > 0 {
		n := min(len(plaintext), PayloadSize)
		pkg, err := s.seal(dst, plaintext[:n], last && n == len(plaintext))
		if err != nil {
			return err
		}
		dst, plaintext = dst[len(pkg):], plaintext[n:]
	}
	return nil
}

// sealSpread is sealRow for a whole stream on several cores.
func (s sealer) sealSpread(dst, plaintext []byte) error {
	const plain, sealed = batchPackages * PayloadSize, batchPackages * PackageSize
	return each(s.workers, packages(int64(len(plaintext)), plain), func(i int64) error {
		part := s
		part.skip(int(i) * batchPackages)
		end := min(int(i+1)*plain, len(plaintext))
		return part.sealRow(dst[i*sealed:], plaintext[i*plain:end], end == len(plaintext))
	})
}

// Open appends to dst the plaintext of the stream that is the whole of
// ciphertext, under a 32-byte key, and returns the extended slice. A dst with
// room for len(ciphertext) more bytes is not reallocated, unless ciphertext is
// in that room. It fails like [NewDecryptReader] and its Read; then it returns
// nil, and what it has written behind dst is cleared.
func Open(dst, key, ciphertext []byte, o *Options) ([]byte, error) {
	var op opener
	if err := op.begin(key, o, max(0, len(ciphertext)-Overhead)); err != nil {
		return nil, err
	}
	defer op.suite.drop()
	full, rest := len(ciphertext)/PackageSize, len(ciphertext)%PackageSize
	size := full*PayloadSize + max(0, rest-Overhead)
	dst = extend(dst, size, ciphertext)
	out := dst[len(dst) : len(dst)+size]

	// The first package tells what the stream is. DARE 1.0 may have packages of any
	// size, so that size is too large for it.
	n, m, err := op.openRow(out, ciphertext, 1)
	if err == nil && op.version == version20 && op.workers > 1 && pays(int64(full), op.expanded()) {
		err = op.openSpread(out[n:], ciphertext[m:])
		n = size
	} else if err == nil {
		more := 0
		more, _, err = op.openRow(out[n:], ciphertext[m:], MaxPackages)
		n += more
	}
	if err != io.EOF {
		clear(out)
		return nil, err
	}
	return dst[:len(dst)+n], nil
}

// openRow opens up to most packages of in to dst and returns how many bytes of plaintext
// and of in that was. At the end of the stream the error is io.EOF.
func (o *opener) openRow(dst, in []byte, most int64) (n, m int, err error) {
	for ; most > 0; most-- {
		size, err := o.cut(in[m:], true)
		if err != nil {
			return n, m, err
		}
		if err := o.open(dst[n:n+size-Overhead], in[m:m+size]); err != nil {
			return n, m, err
		}
		n, m = n+size-Overhead, m+size
	}
	return n, m, nil
}

// openSpread is openRow to the end of the stream on several cores. The first package
// was opened, so that all packages but the last one have to be full.
func (o opener) openSpread(dst, in []byte) error {
	const plain, sealed = batchPackages * PayloadSize, batchPackages * PackageSize
	chunks := max(1, packages(int64(len(in)), sealed))
	err := each(int(o.workers), chunks, func(i int64) error {
		part := o
		part.skip(int(i) * batchPackages)
		most := int64(batchPackages)
		if i == chunks-1 {
			most = MaxPackages // to see that nothing is missing
		}
		_, _, err := part.openRow(dst[i*plain:], in[i*sealed:], most)
		if err == io.EOF && i == chunks-1 {
			return nil
		}
		return err
	})
	if err == nil {
		return io.EOF
	}
	return err
}

// extend returns dst with room for n more bytes that is not part of in: that
// of dst, or else that of a copy.
func extend(dst []byte, n int, in []byte) []byte {
	if room := dst[len(dst):cap(dst)]; len(room) >= n && !overlap.Any(room[:n], in) {
		return dst
	}
	return slices.Grow(slices.Clip(dst), n)
}
