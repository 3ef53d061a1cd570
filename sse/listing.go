package sse

import (
	"context"
	"fmt"
	"sync"

	"github.com/objseal/objseal/kms"
)

// ShownETag is the ETag that clients see, as far as no key is needed for it: ok is
// false for an object under SSE-S3 whose ETag is sealed, and for one that no
// writer makes. Objects that are not encrypted are shown as stored.
func ShownETag(metadata map[string]string) (etag string, ok bool) {
	m, err := storedMethod(metadata)
	if err != nil {
		return "", false
	}
	e, err := parseETag(metadata)
	switch {
	case err != nil && m == None: // of any form that a client gave
		return metadata[metaETag], true
	case err != nil || m == S3 && e.sealed != nil:
		return "", false
	case m == None:
		return e.text, true
	}
	return e.display(m, nil), true
}

// Listed is one line of a listing.
type Listed struct {
	Name     ObjectName
	Metadata map[string]string
}

// maxListCalls is how many requests a listing may have under way at once.
const maxListCalls = 32

// ListETags returns the ETags that clients see of the objects of a listing, in
// their order. Only whole objects under SSE-S3 need the key server for it: one
// Decrypt for each, parallel of them at a time, 1 to 32 (0: 8); two versions under
// one sealed data key need one. For a listing of a thousand names that is what a
// kms/cache is for.
//
// The first failure ends it, as S3 has no way to list an object without an ETag:
// *kms.Error, ErrNotAuthentic, ErrTampered, with the name of the object.
func ListETags(ctx context.Context, client *kms.Client, list []Listed, parallel int) ([]string, error) {
	if parallel == 0 {
		parallel = 8
	}
	if parallel < 1 || parallel > maxListCalls {
		return nil, fmt.Errorf("failed to list ETags: %w: %d requests at a time", ErrInvalidRequest, parallel)
	}
	out := make([]string, len(list))
	// The objects whose object key has the same seal, by that seal.
	sealed := make(map[string][]int)
	var order []string
	for i, l := range list {
		etag, ok := ShownETag(l.Metadata)
		if ok {
			out[i] = etag
			continue
		}
		seal := l.Name.path() + "\x00" + l.Metadata[metaSealedDataKey] + "\x00" + l.Metadata[metaIV] + "\x00" + l.Metadata[metaSealedKeyS3]
		if sealed[seal] == nil {
			order = append(order, seal)
		}
		sealed[seal] = append(sealed[seal], i)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan []int)
	var group sync.WaitGroup
	for range min(parallel, len(order)) {
		group.Go(func() {
			for same := range work {
				if err := openETags(ctx, client, list, same, out); err != nil {
					cancel(fmt.Errorf("failed to list %s: %w", list[same[0]].Name, err))
				}
			}
		})
	}
	for _, seal := range order {
		select {
		case work <- sealed[seal]:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// openETags unseals once for the objects of list that share an object key.
func openETags(ctx context.Context, client *kms.Client, list []Listed, same []int, out []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key, e, err := unseal(ctx, client, list[same[0]].Name, list[same[0]].Metadata, nil)
	if err != nil {
		return err
	}
	defer key.Wipe()
	for _, i := range same {
		stored, err := parseETag(list[i].Metadata)
		if err != nil {
			return err
		}
		opened, err := stored.open(key, false)
		if err != nil {
			return err
		}
		out[i] = stored.display(e.method, opened)
	}
	return nil
}
