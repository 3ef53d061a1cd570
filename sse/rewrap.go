package sse

import (
	"context"
	"fmt"

	"github.com/objseal/objseal/kms"
)

// Rewrap seals the object key anew and returns the changed copy of metadata;
// data, size, ETag and checksums stay as they are. It costs one Decrypt and
// one GenerateKey, for SSE-C neither.
//
// to names the new key: KMSKeyID (empty: the default key) and for SSE-KMS a
// Context (nil: the object's own), or the new CustomerKey; the old one is in
// o. Method None means the object's own, and no other is possible: clients
// would see another ETag. A legacy seal, if o allows it, becomes a current one.
// The IV is a new one; MinIO keeps that of an SSE-C object (SSE spec section
// 9), and opens both.
//
// Errors: those of Open, and ErrInvalidRequest for a new key that does not fit.
func Rewrap(ctx context.Context, client *kms.Client, n ObjectName, metadata map[string]string, to Request, o *OpenOptions) (map[string]string, error) {
	return RewrapAs(ctx, client, n, metadata, o, client, n, to)
}

// RewrapAs is Rewrap under another key server, for another name, or both: the
// key is opened by from for the object n, and sealed by into for the object as.
// With it a backend moves all objects from one key server to another, renames
// objects, and copies them without reading them (see [KeepsData]).
//
// A copy shares its object key with its source: whoever gets hold of the one key
// can read both, which hold the same bytes.
func RewrapAs(ctx context.Context, from *kms.Client, n ObjectName, metadata map[string]string, o *OpenOptions, into *kms.Client, as ObjectName, to Request) (map[string]string, error) {
	out, err := rewrap(ctx, from, n, metadata, o, into, as, to)
	if err != nil {
		return nil, fmt.Errorf("failed to rewrap %s: %w", n, err)
	}
	return out, nil
}

func rewrap(ctx context.Context, from *kms.Client, n ObjectName, metadata map[string]string, o *OpenOptions, into *kms.Client, as ObjectName, to Request) (map[string]string, error) {
	key, old, err := unseal(ctx, from, n, metadata, o)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	if to.Method == None {
		to.Method = old.method
	}
	if to.Method == KMS && to.Context == nil {
		to.Context = old.context
	}
	if to.Method != old.method {
		return nil, fmt.Errorf("%w: an object under %s cannot be rewrapped to %s without changing its ETag", ErrInvalidRequest, old.method, to.Method)
	}
	if err := to.validate(); err != nil {
		return nil, err
	}
	e := new(envelope)
	if err := e.sealObjectKey(ctx, into, to, as, key); err != nil {
		return nil, err
	}
	return replaceEnvelope(metadata, e), nil
}

// KeepsData reports whether a copy of the object with this metadata, as to asks
// for it, can keep the data and change only keys, by RewrapAs: both are encrypted,
// in the same way. Where it reports false the plaintext must be read and sealed
// anew. A copy to a bucket that compresses otherwise, or that makes one stream of
// parts, is the backend's to see.
func KeepsData(metadata map[string]string, to Request) bool {
	m, err := methodOf(metadata)
	return err == nil && m == to.Method
}

// CheckKeys opens the object key and drops it: nil says that keys, context and
// name fit. It reads no data, and costs what Open costs. Errors are those of Open.
func CheckKeys(ctx context.Context, client *kms.Client, n ObjectName, metadata map[string]string, o *OpenOptions) error {
	key, _, err := unseal(ctx, client, n, metadata, o)
	if err != nil {
		return fmt.Errorf("failed to open the key of %s: %w", n, err)
	}
	key.Wipe()
	return nil
}
