package gocloud

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gocloud.dev/gcerrors"

	"github.com/objseal/objseal/kms"
)

// kinds are the codes that say something about the key or its server.
// InvalidArgument is not among them: what is invalid may be the ciphertext or
// the key.
var kinds = map[gcerrors.ErrorCode]error{
	gcerrors.NotFound:          kms.ErrKeyNotFound,
	gcerrors.PermissionDenied:  kms.ErrNotPermitted,
	gcerrors.Unimplemented:     kms.ErrUnsupported,
	gcerrors.ResourceExhausted: kms.ErrUnreachable, // asked too often, or a key that is not at hand just now
	gcerrors.DeadlineExceeded:  kms.ErrUnreachable,
	gcerrors.Canceled:          context.Canceled,
}

// classify gives err its kind if there is evidence of one.
func (b *Backend) classify(err error) error {
	if b.opts.Classify != nil {
		if classified := b.opts.Classify(err); classified != nil {
			return classified
		}
	}
	if kind, ok := kinds[gcerrors.Code(err)]; ok && !errors.Is(err, kind) {
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

func hasKind(err error) bool {
	return slices.ContainsFunc([]error{kms.ErrKeyNotFound, kms.ErrNotAuthentic, kms.ErrUnreachable, kms.ErrNotPermitted, kms.ErrUnsupported},
		func(kind error) bool { return errors.Is(err, kind) })
}
