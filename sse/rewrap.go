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
	key, old, err := unseal(ctx, client, n, metadata, o)
	if err != nil {
		return nil, fmt.Errorf("failed to rewrap %s: %w", n, err)
	}
	defer key.Wipe()
	if to.Method == None {
		to.Method = old.method
	}
	if to.Method == KMS && to.Context == nil {
		to.Context = old.context
	}
	if to.Method != old.method {
		err = fmt.Errorf("%w: an object under %s cannot be rewrapped to %s without changing its ETag", ErrInvalidRequest, old.method, to.Method)
	} else {
		err = to.validate()
	}
	e := new(envelope)
	if err == nil {
		err = e.sealObjectKey(ctx, client, to, n, key)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to rewrap %s: %w", n, err)
	}
	return replaceEnvelope(metadata, e), nil
}
