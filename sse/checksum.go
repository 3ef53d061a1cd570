package sse

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
)

// ChecksumType is an S3 checksum algorithm, in the numbering of the stored
// records (SSE spec section 5).
type ChecksumType uint32

const (
	NoChecksum ChecksumType = 0
	SHA256     ChecksumType = 2
	SHA1       ChecksumType = 4
	CRC32      ChecksumType = 8
	CRC32C     ChecksumType = 16
	CRC64NVME  ChecksumType = 256
)

const (
	flagMultipart     = 64
	flagIncludesParts = 128
	flagFullObject    = 512
	checksumTypes     = SHA256 | SHA1 | CRC32 | CRC32C | CRC64NVME
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	nvme       = crc64.MakeTable(0x9a6c9329ac4bc9b5)
)

var checksums = map[ChecksumType]struct {
	name string
	new  func() hash.Hash
}{
	SHA256:    {"SHA256", sha256.New},
	SHA1:      {"SHA1", sha1.New},
	CRC32:     {"CRC32", func() hash.Hash { return crc32.NewIEEE() }},
	CRC32C:    {"CRC32C", func() hash.Hash { return crc32.New(castagnoli) }},
	CRC64NVME: {"CRC64NVME", func() hash.Hash { return crc64.New(nvme) }},
}

func (t ChecksumType) known() bool {
	_, ok := checksums[t]
	return ok
}

// String is the name in x-amz-checksum-… headers.
func (t ChecksumType) String() string {
	if c, ok := checksums[t]; ok {
		return c.name
	}
	return "none"
}

// A Checksum is one checksum of the plaintext, before compression (SSE spec
// section 5).
type Checksum struct {
	Type ChecksumType
	// Value is the digest, big endian. For a composite checksum it covers the
	// digests of the parts, not the plaintext.
	Value     []byte
	Composite bool     // S3's type COMPOSITE, else FULL_OBJECT
	PartCount int      // of a multipart object, else 0
	Parts     [][]byte // digests of the parts, if they were stored
}

// String is what S3 shows: base64, and for a composite one the part count.
func (c Checksum) String() string {
	s := base64.StdEncoding.EncodeToString(c.Value)
	if c.Composite {
		s = fmt.Sprintf("%s-%d", s, c.PartCount)
	}
	return s
}

// parseChecksums reads opened records. An unknown type or short data ends the
// list, as in MinIO: later servers append types that this one does not know.
func parseChecksums(b []byte) (list []Checksum) {
	for len(b) > 0 {
		flags, n := binary.Uvarint(b)
		t := ChecksumType(flags) & checksumTypes // the trailing flag 1 means nothing here
		algorithm, known := checksums[t]
		if n <= 0 || flags > 1<<16 || !known {
			return list
		}
		b = b[n:]
		size := algorithm.new().Size()
		c := Checksum{Type: t}
		if c.Value, b = cut(b, size); c.Value == nil {
			return list
		}
		if flags&flagMultipart != 0 {
			count, n := binary.Uvarint(b)
			if n <= 0 || count > maxPartNumber {
				return list
			}
			b = b[n:]
			c.PartCount = int(count)
			c.Composite = flags&flagFullObject == 0
			for range c.PartCount {
				if flags&flagIncludesParts == 0 {
					break
				}
				var part []byte
				if part, b = cut(b, size); part == nil {
					return list
				}
				c.Parts = append(c.Parts, part)
			}
		}
		list = append(list, c)
	}
	return list
}

func cut(b []byte, n int) (head, rest []byte) {
	if len(b) < n {
		return nil, nil
	}
	return b[:n:n], b[n:]
}

// appendChecksum writes the record of a checksum over a whole object.
func appendChecksum(b []byte, t ChecksumType, sum []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(t)), sum...)
}
