package sse

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/objseal/objseal/internal/secret"
)

// Every label that goes into a derivation. None may ever change: stored
// objects depend on each byte.
const (
	sealAlgorithm       = "DAREv2-HMAC-SHA256" // SSE spec section 1.2
	legacySealAlgorithm = "DARE-SHA256"        // SSE spec section 1.3, read only
	labelETag           = "SSE-etag"           // SSE spec section 1.6
	labelChecksum       = "object-checksum"    // SSE spec section 1.6
)

// derive is the H of the specification: HMAC-SHA256 over the concatenation of
// parts, without separators. That is unambiguous only because all parts but the
// last, the path, have fixed lengths or are labels that are no prefixes of
// each other.
func derive(key secret.Key, parts ...string) secret.Key {
	h := hmac.New(sha256.New, key.Bytes())
	for _, p := range parts {
		h.Write([]byte(p))
	}
	var sum [sha256.Size]byte
	derived, _ := secret.New(h.Sum(sum[:0])) // never fails: a SHA-256 sum has the size of a key
	clear(sum[:])
	return derived
}

// sealingKey is the key that the object key is sealed under.
func sealingKey(external secret.Key, iv []byte, m Method, n ObjectName) secret.Key {
	return derive(external, string(iv), m.String(), sealAlgorithm, n.path())
}

// legacySealingKey is what MinIO used before 2017: bound to no name, so that a
// sealed key could be moved to another object. SSE-C only.
func legacySealingKey(external secret.Key, iv []byte) secret.Key {
	h := sha256.New()
	h.Write(external.Bytes())
	h.Write(iv)
	derived, _ := secret.New(h.Sum(nil))
	return derived
}

// partKey is the stream key of part n (SSE spec section 1.4).
func (k objectKey) partKey(n int) objectKey {
	var le [4]byte
	binary.LittleEndian.PutUint32(le[:], uint32(n))
	return objectKey{derive(k.Key, string(le[:]))}
}

// metadataKey is the key of one sealed metadata value (SSE spec section 1.6).
func (k objectKey) metadataKey(label string) secret.Key { return derive(k.Key, label) }
