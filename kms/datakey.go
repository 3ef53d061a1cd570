package kms

import "github.com/objseal/objseal/internal/secret"

// DataKeySize is the length of a data key, in bytes.
const DataKeySize = secret.Size

// DataKey is the plaintext of a data key: 32 secret bytes. It never prints
// them, is compared by Equal in constant time, and shares its memory with its
// copies, so that one Wipe is enough.
type DataKey struct{ secret.Key }

// NewDataKey returns a DataKey with a copy of b, which must have [DataKeySize]
// bytes; else ErrKeySize.
func NewDataKey(b []byte) (DataKey, error) {
	k, err := secret.New(b)
	if err != nil {
		return DataKey{}, ErrKeySize
	}
	return DataKey{k}, nil
}

// RandomDataKey returns a new random DataKey, for backends that make their own.
func RandomDataKey() DataKey { return DataKey{secret.Random()} }

// Equal compares two data keys in constant time.
func (k DataKey) Equal(other DataKey) bool { return k.Key.Equal(other.Key) }

// A GeneratedKey is a new data key with what must be stored to get it back.
type GeneratedKey struct {
	Key        DataKey
	KeyID      string // name of the key that sealed it
	Ciphertext []byte // opaque to everyone but the backend
}
