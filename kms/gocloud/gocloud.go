// Package gocloud makes keys of AWS KMS, Google Cloud KMS, Azure Key Vault,
// HashiCorp Vault or OpenBao a [kms.Backend], through the keepers of
// gocloud.dev/secrets.
//
// Start with [Open], which takes a URL for each key, as gocloud.dev/secrets
// describes them; the program imports the driver it wants, and nobody else's:
//
//	import _ "gocloud.dev/secrets/awskms"
//
//	backend, err := gocloud.Open(ctx, map[string]string{
//		"photos": "awskms:///arn:aws:kms:eu-central-1:111122223333:key/1234?region=eu-central-1",
//	}, "photos", nil)
//
// [New] takes keepers that were opened in another way. The package is a module
// of its own, so that who does not use it has none of its dependencies.
//
// # Layout
//
// A keeper seals bytes and knows no associated data. So it gets a new random
// wrapping key for each data key, and the data key is sealed under that one, by
// AES-256-GCM with the key id and the associated data:
//
//	1 byte    0x01
//	2 bytes   length of the next part, little endian
//	          the wrapping key as the keeper sealed it
//	76 bytes  the data key under the wrapping key, as package static seals one
//
// The other way would have been to let the keeper seal the data key together
// with a digest of what it is bound to. That trusts the keeper to be
// authenticated encryption, which package secrets does not promise; here a
// wrapping key that was changed by one bit opens nothing. It also keeps what the
// keeper gets at 32 bytes, whatever is sealed: an RSA key of Azure takes no more
// than 190. And a key server that logs what it opens has not logged a data key.
//
// Some key servers open what any of their keys has sealed, whichever was asked
// for. As the key id is authenticated, that is seen. It also means that a key
// must keep its id here, even if its URL changes.
//
// # Not guaranteed
//
// Who may use a key of the server can seal a data key of his own choice, and
// with an RSA key everyone can: that a data key opens does not tell who made it.
package gocloud

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/gocloud/internal/envelope"
)

// Options are the settings of a Backend. The zero value is good.
type Options struct {
	// Timeout is how long one call may take, with all that it asks the key
	// server. Default: 30 s; negative: as long as the caller's context allows.
	Timeout time.Duration

	// Classify may give the error of a driver one of the kinds of package kms,
	// by returning an error that wraps both; else it returns nil. It is asked
	// before the code of the error is, which not all drivers set: the one of
	// Vault has none.
	Classify func(error) error
}

const defaultTimeout = 30 * time.Second

// Backend seals data keys under keys of a cloud's key server. It is a
// [kms.Backend] and [kms.Encrypter] and safe for concurrent use.
type Backend struct {
	keepers      map[string]*secrets.Keeper
	defaultKeyID string
	opts         Options
}

var (
	_ kms.Backend   = (*Backend)(nil)
	_ kms.Encrypter = (*Backend)(nil)
)

// New returns a Backend over keepers by key id, which stay the caller's to
// close. defaultKeyID names the key that seals where a caller names none; empty
// means that there is no such key, unless there is only one. A nil o means the
// defaults. Nothing is called.
//
// Errors: kms.ErrNotConfigured without a keeper, kms.ErrKeyNotFound for a
// default key that has none, kms.ErrInvalidKeyID for an id without characters.
func New(keepers map[string]*secrets.Keeper, defaultKeyID string, o *Options) (*Backend, error) {
	if len(keepers) == 0 {
		return nil, kms.ErrNotConfigured
	}
	b := &Backend{keepers: make(map[string]*secrets.Keeper, len(keepers)), defaultKeyID: defaultKeyID}
	if o != nil {
		b.opts = *o
	}
	if b.opts.Timeout == 0 {
		b.opts.Timeout = defaultTimeout
	}
	for id, k := range keepers {
		switch {
		case id == "":
			return nil, fmt.Errorf("%w: it is empty", kms.ErrInvalidKeyID)
		case k == nil:
			return nil, fmt.Errorf("key %s: %w", kms.QuoteKeyID(id), kms.ErrNotConfigured)
		}
		b.keepers[id] = k
		if len(keepers) == 1 && defaultKeyID == "" {
			b.defaultKeyID = id
		}
	}
	if _, ok := b.keepers[b.defaultKeyID]; !ok && b.defaultKeyID != "" {
		return nil, fmt.Errorf("default key %s: %w", kms.QuoteKeyID(defaultKeyID), kms.ErrKeyNotFound)
	}
	return b, nil
}

// Open is New over keepers that it opens by their URLs. Close closes them.
func Open(ctx context.Context, urls map[string]string, defaultKeyID string, o *Options) (*Backend, error) {
	keepers := make(map[string]*secrets.Keeper, len(urls))
	done := func(b *Backend, err error) (*Backend, error) {
		if err != nil {
			for _, k := range keepers {
				k.Close()
			}
		}
		return b, err
	}
	for id, u := range urls {
		k, err := openKeeper(ctx, u)
		if err != nil {
			return done(nil, fmt.Errorf("failed to open the keeper of key %s: %w", kms.QuoteKeyID(id), err))
		}
		keepers[id] = k
	}
	return done(New(keepers, defaultKeyID, o))
}

// localKey is the scheme of package localsecrets, whose URL is the key itself.
const localKey = "base64key"

// openKeeper takes care that no error shows a URL that may hold a key.
func openKeeper(ctx context.Context, text string) (*secrets.Keeper, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme == "":
		return nil, fmt.Errorf("%w: its URL cannot be read", kms.ErrNotConfigured)
	case !secrets.DefaultURLMux().ValidKeeperScheme(u.Scheme):
		return nil, fmt.Errorf("%w: no driver for scheme %.20q is imported", kms.ErrNotConfigured, u.Scheme)
	}
	k, err := secrets.OpenKeeper(ctx, text)
	if err != nil && u.Scheme == localKey {
		return nil, fmt.Errorf("%w: its URL does not hold a key", kms.ErrNotConfigured)
	}
	return k, err
}

// Close closes all keepers. No call may follow.
func (b *Backend) Close() error {
	var errs []error
	for _, k := range b.keepers {
		errs = append(errs, k.Close())
	}
	return errors.Join(errs...)
}

// GenerateKey returns a new data key sealed under the named key. It asks the
// key server once.
func (b *Backend) GenerateKey(ctx context.Context, keyID string, ad kms.AssociatedData) (kms.GeneratedKey, error) {
	if keyID == "" {
		keyID = b.defaultKeyID
	}
	key := kms.RandomDataKey()
	ciphertext, err := b.Encrypt(ctx, keyID, key.Bytes(), ad)
	if err != nil {
		return kms.GeneratedKey{}, err
	}
	return kms.GeneratedKey{Key: key, KeyID: keyID, Ciphertext: ciphertext}, nil
}

// Encrypt seals plaintext under a new wrapping key, which the named key seals.
func (b *Backend) Encrypt(ctx context.Context, keyID string, plaintext []byte, ad kms.AssociatedData) ([]byte, error) {
	if keyID == "" {
		keyID = b.defaultKeyID
	}
	keeper, err := b.keeper(ctx, keyID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := b.limit(ctx)
	defer cancel()
	wrapping := kms.RandomDataKey()
	defer wrapping.Wipe()
	wrapped, err := await(ctx, keeper.Encrypt, wrapping.Bytes())
	if err != nil {
		return nil, b.classify(err)
	}
	return envelope.Seal(wrapping.Bytes(), wrapped, plaintext, keyID, ad)
}

// Decrypt opens what GenerateKey or Encrypt sealed. It asks the key server once.
//
// Only if that fails for no reason that the driver can tell, it asks twice more,
// to seal and open something new: if that works, it is the ciphertext that does
// not, kms.ErrNotAuthentic; if not, the error says why.
func (b *Backend) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	if keyID == "" {
		keyID = b.defaultKeyID
	}
	keeper, err := b.keeper(ctx, keyID)
	if err != nil {
		return kms.DataKey{}, err
	}
	wrapped, sealed, err := envelope.Parse(ciphertext)
	if err != nil {
		return kms.DataKey{}, err
	}
	ctx, cancel := b.limit(ctx)
	defer cancel()
	wrapping, err := await(ctx, keeper.Decrypt, wrapped)
	defer func() { clear(wrapping) }()
	if err != nil {
		return kms.DataKey{}, b.whyNotOpened(ctx, keeper, err)
	}
	return envelope.Open(wrapping, sealed, keyID, ad)
}

// whyNotOpened gives a kind to the error of a keeper that did not open a
// ciphertext.
func (b *Backend) whyNotOpened(ctx context.Context, keeper *secrets.Keeper, err error) error {
	kind := b.classify(err)
	switch gcerrors.Code(err) {
	case gcerrors.Unknown, gcerrors.InvalidArgument, gcerrors.Internal:
	default:
		return kind
	}
	var network net.Error
	if hasKind(kind) || errors.As(err, &network) || ctx.Err() != nil {
		return kind
	}
	if probe := b.probe(ctx, keeper); probe != nil {
		return fmt.Errorf("%w; sealing does not work either: %w", kind, probe)
	}
	return fmt.Errorf("%w: %w", kms.ErrNotAuthentic, err)
}

// probe seals and opens something.
func (b *Backend) probe(ctx context.Context, keeper *secrets.Keeper) error {
	something := kms.RandomDataKey()
	sealed, err := await(ctx, keeper.Encrypt, something.Bytes())
	if err != nil {
		return b.classify(err)
	}
	opened, err := await(ctx, keeper.Decrypt, sealed)
	if err != nil {
		return b.classify(err)
	}
	key, err := kms.NewDataKey(opened)
	if err != nil || !key.Equal(something) {
		return errors.New("the key server does not open what it has sealed")
	}
	return nil
}

// Status seals and opens something with the default key, or with any key if
// there is no default: package secrets has no other question.
func (b *Backend) Status(ctx context.Context) (kms.Status, error) {
	if err := ctx.Err(); err != nil {
		return kms.Status{}, err
	}
	keeper := b.keepers[b.defaultKeyID]
	for _, k := range b.keepers {
		if keeper == nil {
			keeper = k
		}
	}
	ctx, cancel := b.limit(ctx)
	defer cancel()
	start := time.Now()
	if err := b.probe(ctx, keeper); err != nil {
		return kms.Status{}, err
	}
	return kms.Status{Backend: "gocloud", KeyStoreLatency: time.Since(start) / 2}, nil
}

func (b *Backend) keeper(ctx context.Context, keyID string) (*secrets.Keeper, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k, ok := b.keepers[keyID]
	if !ok {
		return nil, kms.ErrKeyNotFound
	}
	return k, nil
}

func (b *Backend) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if b.opts.Timeout < 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, b.opts.Timeout)
}
