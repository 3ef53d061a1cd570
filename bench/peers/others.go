package peers

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"

	"filippo.io/age"
	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"

	"github.com/objseal/objseal/internal/aead"
)

// newTink is Tink's streaming AEAD AES256_GCM_HKDF_1MB. Its own key derivation
// makes a key per stream, so that one primitive serves them all, as Tink intends.
func newTink(_ aead.Cipher, key *[KeySize]byte, _ int) Codec {
	t, err := subtle.NewAESGCMHKDF(key[:], "SHA256", KeySize, 1<<20, 0)
	if err != nil {
		panic("peers: internal error: " + err.Error())
	}
	return Codec{
		EncryptWriter: func(dst io.Writer) (io.WriteCloser, error) { return t.NewEncryptingWriter(dst, nil) },
		DecryptReader: func(src io.Reader) (io.Reader, error) { return t.NewDecryptingReader(src, nil) },
	}
}

func newAge(_ aead.Cipher, key *[KeySize]byte, _ int) Codec {
	w := newWrapped(key)
	return Codec{
		EncryptReader: func(src io.Reader) (io.Reader, error) { return age.EncryptReader(src, w) },
		DecryptReader: func(src io.Reader) (io.Reader, error) { return age.Decrypt(src, w) },
		EncryptWriter: func(dst io.Writer) (io.WriteCloser, error) { return age.Encrypt(dst, w) },
	}
}

// wrapped is an age recipient and identity that seals the file key under a
// symmetric key: next to X25519 and scrypt it costs nothing, so that what is
// measured is age's stream.
type wrapped struct{ aeadKey *aead.Key }

const wrappedType = "objseal-bench-symmetric"

func newWrapped(key *[KeySize]byte) wrapped {
	k := new(aead.Key)
	k.Init(aead.ChaCha20Poly1305, aead.Generic, key)
	return wrapped{k}
}

func (w wrapped) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	nonce := make([]byte, aead.NonceSize, aead.NonceSize+len(fileKey)+aead.TagSize)
	rand.Read(nonce)
	return []*age.Stanza{{Type: wrappedType, Body: w.aeadKey.Seal(nonce, nonce, fileKey, nil)}}, nil
}

func (w wrapped) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type == wrappedType && len(s.Body) > aead.NonceSize {
			return w.aeadKey.Open(nil, s.Body[:aead.NonceSize], s.Body[aead.NonceSize:], nil)
		}
	}
	return nil, age.ErrIncorrectIdentity
}

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
