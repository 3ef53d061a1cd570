package peers

import (
	"io"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/stream"
)

// parallel tells whether options has a use for workers.
const parallel = true

// options returns the settings of a stream: the one place that knows how workers
// are asked for.
func options(c aead.Cipher, workers int) *stream.Options {
	return &stream.Options{Cipher: stream.AES256GCM + stream.Cipher(c), Workers: workers}
}

func newObjseal(c aead.Cipher, key *[KeySize]byte, workers int) Codec {
	o, k := options(c, workers), key[:]
	return Codec{
		EncryptReader: func(src io.Reader) (io.Reader, error) { return stream.NewEncryptReader(k, src, o) },
		DecryptReader: func(src io.Reader) (io.Reader, error) { return stream.NewDecryptReader(k, src, o) },
		EncryptWriter: func(dst io.Writer) (io.WriteCloser, error) { return stream.NewEncryptWriter(k, dst, o) },
		DecryptWriter: func(dst io.Writer) (io.WriteCloser, error) { return stream.NewDecryptWriter(k, dst, o) },
		Seal:          func(dst, src []byte) ([]byte, error) { return stream.Seal(dst, k, src, o) },
		Open:          func(dst, src []byte) ([]byte, error) { return stream.Open(dst, k, src, o) },

		ReadRange: func(p []byte, off int64, src io.ReaderAt, _, plain int64) error {
			r, err := stream.PackageRange(plain, off, int64(len(p)))
			if err != nil {
				return err
			}
			d, err := stream.NewRangeReader(k, io.NewSectionReader(src, r.Offset, r.Length), r, o)
			if err != nil {
				return err
			}
			_, err = io.ReadFull(d, p)
			return err
		},
	}
}

// newObjsealSeal is Seal alone: for a kernel that is measured in one place.
func newObjsealSeal(c aead.Cipher, key *[KeySize]byte, workers int) Codec {
	return Codec{Seal: newObjseal(c, key, workers).Seal}
}

// newObjsealReaderAt is the range by random access, as sio has it.
func newObjsealReaderAt(c aead.Cipher, key *[KeySize]byte, workers int) Codec {
	o := options(c, workers)
	return Codec{
		Input: newObjseal(c, key, workers).Seal,
		ReadRange: func(p []byte, off int64, src io.ReaderAt, sealed, _ int64) error {
			r, err := stream.NewDecryptReaderAt(key[:], src, sealed, o)
			if err != nil {
				return err
			}
			_, err = r.ReadAt(p, off)
			return err
		},
	}
}
