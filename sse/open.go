package sse

import (
	"context"
	"errors"

	"github.com/objseal/objseal/kms"
)

// OpenAny is Open, and OpenPlain for an object whose metadata has no trace of
// encryption: for backends that store both. Whoever can strip all of the
// encryption metadata turns the one into the other, and then reads the
// ciphertext of a sealed object, or puts bytes of his own in its place: a backend
// that knows better, by the bucket or by a list of its own, sets
// [OpenOptions.RequireEncrypted]. With a customer key it takes no other object than
// Open does.
func OpenAny(ctx context.Context, client *kms.Client, n ObjectName, s Stored, o *OpenOptions) (*Object, error) {
	if o.mayBePlain(s.Metadata) {
		return OpenPlain(n, s, o)
	}
	return Open(ctx, client, n, s, o)
}

// mayBePlain reports whether metadata has no trace of encryption, and nobody expects
// one.
func (o *OpenOptions) mayBePlain(metadata map[string]string) bool {
	_, err := methodOf(metadata)
	return errors.Is(err, ErrNotEncrypted) && (o == nil || !o.RequireEncrypted && o.CustomerKey.IsZero())
}
