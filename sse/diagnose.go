package sse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/objseal/objseal/kms"
)

// Diagnose looks for the reason of err, which Open or Rewrap returned, if it is
// a kms.ErrNotAuthentic: one answer of a key server for four different causes.
// It returns err itself unless there is evidence, else an error that is also a
// kms.ErrWrongKey, kms.ErrWrongContext or kms.ErrKeyRecreated.
//
// Besides what [kms.Client.Diagnose] does it tries the data key with the
// associated data that a writer may have used who does not add MinIO's pair of
// bucket and object, or whose context was lost. written is when the object, or
// the newest of its metadata, was written; zero if that is not known. It costs
// up to five requests: ask only where somebody wants to know.
func Diagnose(ctx context.Context, client *kms.Client, n ObjectName, metadata map[string]string, written time.Time, err error) error {
	if !errors.Is(err, kms.ErrNotAuthentic) || errors.As(err, new(*kms.AuthenticityError)) {
		return err
	}
	e, errParse := parseEnvelope(metadata)
	if errParse != nil || e.method == C {
		return err
	}
	k := kms.Case{KeyID: e.kmsKeyID, Ciphertext: e.sealedDataKey, Written: written,
		AssociatedData: associatedData(e.method, e.context, n.Bucket, n.path())}
	seen := map[string]bool{string(k.AssociatedData.Canonical()): true}
	for _, other := range []kms.AssociatedData{
		e.context, // without the pair
		nil,
		{n.Bucket: n.path()}, // without the context
		associatedData(e.method, e.context, n.Bucket, n.Bucket+"/"+n.Object), // as the name is spelled
	} {
		if c := string(other.Canonical()); !seen[c] {
			seen[c] = true
			k.Others = append(k.Others, other)
		}
	}
	if found := client.Diagnose(ctx, k); found != nil {
		return fmt.Errorf("failed to open %s: %w", n, found)
	}
	return err
}
