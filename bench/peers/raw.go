package peers

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/objseal/objseal/internal/aead"
)

// newRaw is crypto/cipher or x/crypto in a loop over pieces of 64 KiB, with
// nothing around them but a counter in the nonce: what a stream format costs at
// least where it is made of these. Not a format to use: it has no end mark.
func newRaw(c aead.Cipher, key *[KeySize]byte, _ int) Codec {
	const piece, tag = 64 << 10, aead.TagSize
	return Codec{
		Seal: func(dst, src []byte) ([]byte, error) {
			a, err := stdAEAD(c, key)
			if err != nil {
				return nil, err
			}
			var nonce [aead.NonceSize]byte
			for i := uint32(0); len(src) > 0; i++ {
				binary.LittleEndian.PutUint32(nonce[:], i)
				n := min(len(src), piece)
				dst = a.Seal(dst, nonce[:], src[:n], nil)
				src = src[n:]
			}
			return dst, nil
		},
		Open: func(dst, src []byte) ([]byte, error) {
			a, err := stdAEAD(c, key)
			if err != nil {
				return nil, err
			}
			var nonce [aead.NonceSize]byte
			for i := uint32(0); len(src) > 0; i++ {
				binary.LittleEndian.PutUint32(nonce[:], i)
				n := min(len(src), piece+tag)
				if dst, err = a.Open(dst, nonce[:], src[:n], nil); err != nil {
					return nil, err
				}
				src = src[n:]
			}
			return dst, nil
		},
	}
}

// newCopy moves the bytes in the same shapes and seals nothing: the roof.
func newCopy(aead.Cipher, *[KeySize]byte, int) Codec {
	reader := func(src io.Reader) (io.Reader, error) { return src, nil }
	writer := func(dst io.Writer) (io.WriteCloser, error) { return nopCloser{dst}, nil }
	whole := func(dst, src []byte) ([]byte, error) { return append(dst, src...), nil }
	return Codec{
		EncryptReader: reader, DecryptReader: reader,
		EncryptWriter: writer, DecryptWriter: writer,
		Seal: whole, Open: whole,
		ReadRange: func(p []byte, off int64, src io.ReaderAt, _, _ int64) error {
			n, err := src.ReadAt(p, off)
			if n == len(p) {
				return nil
			}
			return errors.Join(err, io.ErrUnexpectedEOF)
		},
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
