package stream

import "encoding/binary"

// DARE 1.0, for reading (DARE section 1.1). Its packages carry their number in
// the header and have any length anywhere; there is no final package, and
// each may have a cipher and random bytes of its own.

// check10 refuses what the beginning of a 1.0 package shows to be wrong.
func (o *opener) check10(in header) error {
	if len(in) < HeaderSize {
		return nil
	}
	if n := binary.LittleEndian.Uint32(in[4:]); uint64(n) != o.next {
		return o.fail(ErrTampered, "the package is numbered %d", n)
	}
	return nil
}

// packageNonce10 sets dst to the AEAD nonce: number and random bytes as they stand.
func (h header) packageNonce10(dst *[nonceSize]byte) {
	copy(dst[:], h[4:HeaderSize])
}
