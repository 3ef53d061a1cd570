// Package envelope is the layout of a data key's ciphertext, apart from the
// keepers that seal its wrapping key. Package gocloud describes it.
package envelope

import (
	"encoding/binary"
	"fmt"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/internal/datakey"
)

const (
	version    = 1
	prefixSize = 3 // version and length of the sealed wrapping key
	maxWrapped = 1<<16 - 1
)

// Seal returns plaintext sealed under wrapping, 32 bytes, and bound to keyID and
// ad, behind wrapped, which is what a keeper made of wrapping.
func Seal(wrapping, wrapped, plaintext []byte, keyID string, ad kms.AssociatedData) ([]byte, error) {
	if len(wrapped) == 0 || len(wrapped) > maxWrapped {
		return nil, fmt.Errorf("the key server's ciphertext has %d bytes", len(wrapped))
	}
	out := make([]byte, 0, prefixSize+len(wrapped)+len(plaintext)+dek.Overhead)
	out = append(out, version)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(wrapped)))
	out = append(out, wrapped...)
	return dek.Seal(out, wrapping, dek.AES256, plaintext, bound(keyID, ad)), nil
}

// Parse splits a hostile ciphertext into the sealed wrapping key and what is
// sealed under that. It fails with kms.ErrNotAuthentic.
func Parse(b []byte) (wrapped, sealed []byte, err error) {
	if len(b) < prefixSize || len(b) > kms.MaxCiphertext || b[0] != version {
		return nil, nil, kms.ErrNotAuthentic
	}
	n := int(binary.LittleEndian.Uint16(b[1:]))
	b = b[prefixSize:]
	if n == 0 || len(b)-n < dek.Overhead {
		return nil, nil, kms.ErrNotAuthentic
	}
	return b[:n], b[n:], nil
}

// Open opens the second part of Parse under what a keeper made of the first. It
// fails with kms.ErrNotAuthentic, and kms.ErrKeySize for what is no data key.
func Open(wrapping, sealed []byte, keyID string, ad kms.AssociatedData) (kms.DataKey, error) {
	if len(wrapping) != dek.KeySize { // sealed by the same key for another use
		return kms.DataKey{}, kms.ErrNotAuthentic
	}
	return datakey.Open(wrapping, dek.AES256, sealed, bound(keyID, ad))
}

// bound is what a data key is sealed with: the key id, with its length, and the
// associated data.
func bound(keyID string, ad kms.AssociatedData) []byte {
	b := append([]byte("objseal gocloud 1"), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(keyID)))
	b = append(b, keyID...)
	return append(b, ad.Canonical()...)
}
