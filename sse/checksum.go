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
	"net/http"
	"strings"
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

// Size is the number of bytes of a digest, 0 for what is no algorithm.
func (t ChecksumType) Size() int {
	if c, ok := checksums[t]; ok {
		return c.new().Size()
	}
	return 0
}

// ChecksumTypes are all algorithms.
func ChecksumTypes() []ChecksumType { return []ChecksumType{CRC32, CRC32C, CRC64NVME, SHA1, SHA256} }

// ParseChecksumType returns the algorithm of a name, in any case, as it stands in
// x-amz-checksum-algorithm and behind x-amz-checksum-.
func ParseChecksumType(name string) (t ChecksumType, ok bool) {
	for _, t := range ChecksumTypes() {
		if strings.EqualFold(name, t.String()) {
			return t, true
		}
	}
	return NoChecksum, false
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

// appendChecksum writes the record of a checksum.
func appendChecksum(b []byte, c Checksum) []byte {
	flags := uint64(c.Type)
	if c.PartCount > 0 {
		flags |= flagMultipart
		if !c.Composite {
			flags |= flagFullObject
		}
		if len(c.Parts) == c.PartCount {
			flags |= flagIncludesParts
		}
	}
	b = append(binary.AppendUvarint(b, flags), c.Value...)
	if c.PartCount > 0 {
		b = binary.AppendUvarint(b, uint64(c.PartCount))
		if flags&flagIncludesParts != 0 {
			for _, part := range c.Parts {
				b = append(b, part...)
			}
		}
	}
	return b
}

// storedChecksum is the record as it stands in the metadata: sealed, if the object is.
func storedChecksum(c Checksum, m Method, k objectKey) ([]byte, error) {
	record := appendChecksum(nil, c)
	if m == None {
		return record, nil
	}
	return k.sealValue(nil, labelChecksum, record)
}

// combine makes the checksum of a multipart object of those of its parts,
// without their bytes: the hash over their digests, or that of the whole, which
// only CRCs can do.
func combine(t ChecksumType, full bool, parts []CompletedPart) (Checksum, error) {
	c := Checksum{Type: t, Composite: !full, PartCount: len(parts)}
	size := checksums[t].new().Size()
	total := checksums[t].new()
	var crc uint64
	for i, p := range parts {
		if len(p.Checksum) != size {
			return Checksum{}, &RequestError{Response: Response{http.StatusBadRequest, "InvalidPart", fmt.Sprintf("The %s checksum of part %d is missing or has another length.", t, p.Number)}}
		}
		c.Parts = append(c.Parts, p.Checksum)
		total.Write(p.Checksum)
		if !full {
			continue
		}
		// CRCs of two runs of bytes make that of both: shift the first by the
		// length of the second.
		var sum [8]byte
		copy(sum[8-size:], p.Checksum)
		next := binary.BigEndian.Uint64(sum[:])
		if i > 0 {
			next ^= crcShift(t, crc, p.ActualSize)
		}
		crc = next
	}
	c.Value = total.Sum(nil)
	if full {
		c.Value = binary.BigEndian.AppendUint64(nil, crc)[8-size:]
	}
	return c, nil
}

// crcPolynomials are those of the CRCs, bit-reversed, with their width.
var crcPolynomials = map[ChecksumType]struct {
	poly  uint64
	width uint
}{
	CRC32:     {crc32.IEEE, 32},
	CRC32C:    {crc32.Castagnoli, 32},
	CRC64NVME: {0x9a6c9329ac4bc9b5, 64},
}

// crcShift is crc · x^8n modulo the polynomial of t: what crc becomes behind n
// zero bytes, without the complements at both ends, which cancel out.
func crcShift(t ChecksumType, crc uint64, n int64) uint64 {
	p := crcPolynomials[t]
	one := uint64(1) << (p.width - 1) // x^0: the bits are reversed
	mul := func(a, b uint64) (product uint64) {
		for bit := one; bit != 0; bit >>= 1 {
			if a&bit != 0 {
				product ^= b
			}
			if b&1 != 0 {
				b = b>>1 ^ p.poly
			} else {
				b >>= 1
			}
		}
		return product
	}
	power := one >> 8 // x^8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			crc = mul(crc, power)
		}
		power = mul(power, power)
	}
	return crc
}
