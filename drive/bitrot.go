package drive

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"github.com/minio/highwayhash"
	"golang.org/x/crypto/blake2b"
)

const hashSize = highwayhash.Size

// bitrotKey is the key of every bitrot hash (drive spec section 6).
var bitrotKey = [32]byte{
	0x4b, 0xe7, 0x34, 0xfa, 0x8e, 0x23, 0x8a, 0xcd, 0x26, 0x3e, 0x83, 0xe6, 0xbb, 0x96, 0x85, 0x52,
	0x04, 0x0f, 0x93, 0x5d, 0xa3, 0x9f, 0x44, 0x14, 0x97, 0xe0, 0x9d, 0x13, 0x22, 0xde, 0x36, 0xa0,
}

// pieceIntact compares a frame, hash and piece, with itself.
func pieceIntact(frame []byte) bool {
	sum := highwayhash.Sum(frame[hashSize:], bitrotKey[:])
	return bytes.Equal(sum[:], frame[:hashSize])
}

// streaming is the algorithm of frames; all others hash a whole file.
const streaming = "highwayhash256S"

// newWholeHash returns the hash of a shard file of a legacy version.
func newWholeHash(algorithm string) (hash.Hash, error) {
	switch algorithm {
	case "sha256":
		return sha256.New(), nil
	case "blake2b":
		return blake2b.New512(nil)
	case "highwayhash256":
		return highwayhash.New(bitrotKey[:])
	default:
		return nil, fmt.Errorf("%w: bitrot hash %q", ErrUnsupported, cut(algorithm))
	}
}

// check reads a whole shard file and compares.
func (w wholeSum) check(r io.ReaderAt, size int64) error {
	h, err := newWholeHash(w.algorithm)
	if err != nil {
		return err
	}
	buf := takeBuffer(256 << 10)
	defer giveBuffer(buf)
	if _, err := io.CopyBuffer(h, onlyReader{io.NewSectionReader(r, 0, size)}, buf); err != nil {
		return err
	}
	if !bytes.Equal(h.Sum(nil), w.sum) {
		return errBadHash
	}
	return nil
}

// onlyReader keeps io.Copy to the buffer it was given.
type onlyReader struct{ io.Reader }
