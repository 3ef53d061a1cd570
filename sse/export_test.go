package sse

import (
	"bytes"
	"fmt"
)

// What the tests of the package look at, and nobody else.

var ParseChecksums = parseChecksums

// ObjectKeyOf returns a copy of the object key that an *Object, *Multipart,
// *Upload or *Reader holds.
func ObjectKeyOf(holder any) []byte {
	switch h := holder.(type) {
	case *Object:
		return bytes.Clone(h.key.key.Bytes())
	case *Multipart:
		return bytes.Clone(h.key.key.Bytes())
	case *Upload:
		return bytes.Clone(h.key.Bytes())
	case *Reader:
		return bytes.Clone(h.parts.key.Bytes())
	}
	panic(fmt.Sprintf("%T holds no key", holder))
}

func OpenedETag(o *Object) []byte { return o.etag }

// SealChecksums seals checksum records as those of the object o.
func SealChecksums(o *Object, records []byte) string {
	sealed, err := o.key.key.sealValue(nil, labelChecksum, records)
	if err != nil {
		panic(err)
	}
	return string(sealed)
}

// SealIndex seals a stripped S2 index as one of a part of the object o.
func SealIndex(o *Object, stripped []byte) []byte {
	sealed, err := o.key.key.sealValue(nil, labelIndex, stripped)
	if err != nil {
		panic(err)
	}
	return sealed
}
