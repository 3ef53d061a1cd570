package sse

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/objseal/objseal/internal/secret"
	"github.com/objseal/objseal/stream"
)

// objectKey encrypts the data of one object. It never prints itself.
type objectKey struct{ secret.Key }

// heldKey is the object key of an Object or a Multipart, which several
// goroutines use until one of them wipes it.
type heldKey struct {
	mu  sync.Mutex
	key objectKey
}

var errWiped = errors.New("its object key was wiped")

// borrow returns a copy of the key, which the caller wipes.
func (h *heldKey) borrow() (objectKey, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.key.IsZero() {
		return objectKey{}, errWiped
	}
	return objectKey{h.key.Clone()}, nil
}

func (h *heldKey) wipe() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.key.Wipe()
	h.key = objectKey{}
}

// CustomerKey is an SSE-C key: 32 bytes that only the client has. The zero
// value means that the client sent none. It never prints itself.
type CustomerKey struct{ secret.Key }

// NewCustomerKey returns a CustomerKey with a copy of b, which must have 32
// bytes; else ErrInvalidRequest.
func NewCustomerKey(b []byte) (CustomerKey, error) {
	k, err := secret.New(b)
	if err != nil {
		return CustomerKey{}, fmt.Errorf("%w: a customer key has %d bytes", ErrInvalidRequest, secret.Size)
	}
	return CustomerKey{k}, nil
}

// Equal compares two customer keys in constant time.
func (k CustomerKey) Equal(other CustomerKey) bool { return k.Key.Equal(other.Key) }

const (
	ivSize        = 32
	sealedKeySize = stream.Overhead + secret.Size
)

// sealedKey is an object key as metadata holds it. It opens under the external
// key, the method and the name it was sealed for, and under nothing else.
type sealedKey struct {
	iv     [ivSize]byte
	sealed [sealedKeySize]byte
	legacy bool // sealed by DARE-SHA256
}

func newObjectKey() objectKey { return objectKey{secret.Random()} }

// seal seals k under external for the object of this path. A new IV makes a new
// sealing key each time, so that no sealing key ever seals two object keys.
func (s *sealedKey) seal(k objectKey, external secret.Key, m Method, path string) error {
	rand.Read(s.iv[:])
	var kek derivedKey
	defer kek.wipe()
	kek.sealingKey(external, s.iv[:], m, path)
	_, err := stream.Seal(s.sealed[:0], kek[:], k.Bytes(), nil)
	return err
}

// unseal returns the object key, or ErrNotAuthentic if anything about the
// external key, the method, the path or the sealed bytes is not as it was.
func (s *sealedKey) unseal(external secret.Key, m Method, path string) (objectKey, error) {
	var kek derivedKey
	defer kek.wipe()
	if s.legacy {
		kek.legacySealingKey(external, s.iv[:])
	} else {
		kek.sealingKey(external, s.iv[:], m, path)
	}
	k := objectKey{secret.Make()}
	b, err := stream.Open(k.Bytes()[:0], kek[:], s.sealed[:], &stream.Options{AllowLegacy: s.legacy})
	switch {
	case errors.Is(err, stream.ErrFIPS):
		return objectKey{}, err
	case err != nil || len(b) != secret.Size: // without the stream's words: it says tampered, and nothing shows that
		return objectKey{}, ErrNotAuthentic
	}
	return k, nil
}

// sealValue seals one metadata value and appends it to dst; an empty one stays
// empty.
func (k objectKey) sealValue(dst []byte, label string, value []byte) ([]byte, error) {
	var key derivedKey
	defer key.wipe()
	key.metadataKey(k, label)
	return stream.Seal(dst, key[:], value, nil)
}

func (k objectKey) openValue(label string, sealed []byte, legacy bool) ([]byte, error) {
	var key derivedKey
	defer key.wipe()
	key.metadataKey(k, label)
	return stream.Open(nil, key[:], sealed, &stream.Options{AllowLegacy: legacy})
}
