package sse

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/objseal/objseal/internal/kdf"
	"github.com/objseal/objseal/internal/secret"
)

// Every label that goes into a derivation. None may ever change: stored
// objects depend on each byte.
const (
	sealAlgorithm       = "DAREv2-HMAC-SHA256" // SSE spec section 1.2
	legacySealAlgorithm = "DARE-SHA256"        // SSE spec section 1.3, read only
	labelETag           = "SSE-etag"           // SSE spec section 1.6
	labelChecksum       = "object-checksum"    // SSE spec section 1.6
	labelIndex          = "compression-index"  // SSE spec section 1.6
)

// A derivedKey is used once and cleared, all within one call, so that it needs
// no memory of its own.
type derivedKey [secret.Size]byte

func (d *derivedKey) wipe() { clear(d[:]) }

// derive is the H of the specification: HMAC-SHA256 over the concatenation of
// parts, without separators. That is unambiguous only because all parts but the
// last, the path, have fixed lengths or are labels that are no prefixes of
// each other.
func (d *derivedKey) derive(key secret.Key, parts ...string) {
	kdf.HMAC((*[secret.Size]byte)(d), (*[secret.Size]byte)(key.Bytes()), parts...)
}

// sealingKey makes d the key that the object key is sealed under; path is that
// of the object.
func (d *derivedKey) sealingKey(external secret.Key, iv []byte, m Method, path string) {
	d.derive(external, string(iv), m.String(), sealAlgorithm, path)
}

// legacySealingKey is what MinIO used before 2017: bound to no name, so that a
// sealed key could be moved to another object. SSE-C only.
func (d *derivedKey) legacySealingKey(external secret.Key, iv []byte) {
	h := sha256.New()
	h.Write(external.Bytes())
	h.Write(iv)
	h.Sum(d[:0])
}

// partKey is the stream key of part n (SSE spec section 1.4).
func (k objectKey) partKey(n int) objectKey {
	var le [4]byte
	binary.LittleEndian.PutUint32(le[:], uint32(n))
	part := objectKey{secret.Make()}
	(*derivedKey)(part.Bytes()).derive(k.Key, string(le[:]))
	return part
}

// metadataKey makes d the key of one sealed metadata value (SSE spec section 1.6).
func (d *derivedKey) metadataKey(k objectKey, label string) { d.derive(k.Key, label) }
