package peers

import (
	"io"

	"github.com/minio/sio"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/stream"
)

// SIOConfig is the configuration with which sio is fastest: naming the version
// spares it the look at the first bytes.
func SIOConfig(c aead.Cipher, key []byte) sio.Config {
	return sio.Config{
		MinVersion:   sio.Version20,
		MaxVersion:   sio.Version20,
		CipherSuites: []byte{byte(c)}, // numbered as in the package header, like aead's
		Key:          key,
	}
}

func newSIO(c aead.Cipher, key *[KeySize]byte, _ int) Codec {
	config := SIOConfig(c, key[:])
	return Codec{
		EncryptReader: func(src io.Reader) (io.Reader, error) { return sio.EncryptReader(src, config) },
		DecryptReader: func(src io.Reader) (io.Reader, error) { return sio.DecryptReader(src, config) },
		EncryptWriter: func(dst io.Writer) (io.WriteCloser, error) { return sio.EncryptWriter(dst, config) },
		DecryptWriter: func(dst io.Writer) (io.WriteCloser, error) { return sio.DecryptWriter(dst, config) },
		Seal: func(dst, src []byte) ([]byte, error) {
			sink := Buffer{dst}
			w, err := sio.EncryptWriter(&sink, config)
			if err != nil {
				return nil, err
			}
			if _, err := w.Write(src); err != nil {
				return nil, err
			}
			return sink.B, w.Close()
		},
		Open: func(dst, src []byte) ([]byte, error) { return sio.DecryptBuffer(dst, src, config) },
		ReadRange: func(p []byte, off int64, src io.ReaderAt, _, _ int64) error {
			r, err := sio.DecryptReaderAt(src, config)
			if err != nil {
				return err
			}
			_, err = r.ReadAt(p, off)
			return err
		},
	}
}

// newSIOSequence is the range as a server reads it that fetches the packages
// itself: a reader that begins at the number of the first.
func newSIOSequence(c aead.Cipher, key *[KeySize]byte, _ int) Codec {
	config := SIOConfig(c, key[:])
	return Codec{
		Input: newSIO(c, key, 1).Seal,
		ReadRange: func(p []byte, off int64, src io.ReaderAt, _, plain int64) error {
			fetch, err := stream.PackageRange(plain, off, int64(len(p)))
			if err != nil {
				return err
			}
			config := config
			config.SequenceNumber = fetch.Sequence
			r, err := sio.DecryptReader(io.NewSectionReader(src, fetch.Offset, fetch.Length), config)
			if err != nil {
				return err
			}
			if _, err := io.CopyN(io.Discard, r, fetch.Skip); err != nil {
				return err
			}
			_, err = io.ReadFull(r, p)
			return err
		},
	}
}
