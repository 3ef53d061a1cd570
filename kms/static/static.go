// Package static is the key backend without a server: named 32-byte keys that
// the process itself holds, compatible with MinIO's built-in key
// (MINIO_KMS_SECRET_KEY).
//
// Start with [New] over the keys of one of these:
//
//	ParseKey          "name:base64", the value of MINIO_KMS_SECRET_KEY
//	ParseExportedKey  "name:value" with what a KES server kept in Vault, AWS, …
//	ReadKeyFile       a file of one key, as MINIO_KMS_SECRET_KEY_FILE names it
//	ReadKeyList       a file of several, exported ones too, one a line
//	OpenRing          the local key ring: a key list that only its owner can read
//
// A data key is sealed as MinIO writes it: 76 bytes, ciphertext and tag, then
// the random IV and nonce, AES-256-GCM under a key derived from the secret key
// and the IV (SSE spec section 13.1), or ChaCha20-Poly1305 with an exported key
// that is for it. Every older form is read too.
//
// What is not guaranteed: whoever reads the memory of the process, its
// environment or the key file has the keys. Keys have one version; rotating
// means a new name. There is no call that deletes a key.
package static

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/internal/datakey"
)

// Backend seals data keys under keys it holds itself. It is a [kms.Backend],
// [kms.Manager], [kms.Encrypter] and [kms.KeyTrier], never changes and is safe
// for concurrent use.
type Backend struct {
	keys         map[string]Key
	defaultKeyID string
}

var (
	_ kms.Backend   = (*Backend)(nil)
	_ kms.Manager   = (*Backend)(nil)
	_ kms.Encrypter = (*Backend)(nil)
	_ kms.KeyTrier  = (*Backend)(nil)
)

// New returns a Backend over copies of keys. defaultKeyID names the one that
// seals where a caller names none; empty means the first.
//
// Errors: kms.ErrNotConfigured without a key, kms.ErrKeyNotFound for a default
// key that is not among keys, kms.ErrKeyExists for a name given twice. A key
// whose name is empty, which MinIO permits, must be the default key, or asking
// for the default would be ambiguous: kms.ErrInvalidKeyID.
func New(keys []Key, defaultKeyID string) (*Backend, error) {
	if len(keys) == 0 {
		return nil, kms.ErrNotConfigured
	}
	if defaultKeyID == "" {
		defaultKeyID = keys[0].Name
	}
	b := &Backend{keys: make(map[string]Key, len(keys)), defaultKeyID: defaultKeyID}
	for _, k := range keys {
		switch _, twice := b.keys[k.Name]; {
		case k.IsZero():
			return nil, fmt.Errorf("key %s: %w", kms.QuoteKeyID(k.Name), kms.ErrKeySize)
		case twice:
			return nil, fmt.Errorf("key %s: %w", kms.QuoteKeyID(k.Name), kms.ErrKeyExists)
		case k.Name == "" && defaultKeyID != "":
			return nil, fmt.Errorf("%w: a key without a name is not the default key", kms.ErrInvalidKeyID)
		}
		k.Key = k.Clone()
		b.keys[k.Name] = k
	}
	if _, ok := b.keys[defaultKeyID]; !ok {
		return nil, fmt.Errorf("default key %s: %w", kms.QuoteKeyID(defaultKeyID), kms.ErrKeyNotFound)
	}
	return b, nil
}

// DefaultKeyID names the key that an empty key id means.
func (b *Backend) DefaultKeyID() string { return b.defaultKeyID }

// GenerateKey returns a new data key sealed under the named key.
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

// Encrypt seals plaintext, 44 bytes longer, under the named key.
func (b *Backend) Encrypt(ctx context.Context, keyID string, plaintext []byte, ad kms.AssociatedData) ([]byte, error) {
	key, err := b.key(ctx, keyID)
	if err != nil {
		return nil, err
	}
	return datakey.Seal(key.Bytes(), key.cipher(), plaintext, ad.Canonical())
}

// Decrypt opens a data key in any form that MinIO or KES ever wrote under a
// key like this one.
func (b *Backend) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	key, err := b.key(ctx, keyID)
	if err != nil {
		return kms.DataKey{}, err
	}
	return datakey.Open(key.Bytes(), key.cipher(), ciphertext, ad.Canonical())
}

// Status always succeeds: there is no server that could be down.
func (b *Backend) Status(ctx context.Context) (kms.Status, error) {
	if err := ctx.Err(); err != nil {
		return kms.Status{}, err
	}
	return kms.Status{Backend: "static"}, nil
}

// CreateKey never makes a key: kms.ErrKeyExists for a name that is taken,
// kms.ErrUnsupported for any other, as MinIO answers.
func (b *Backend) CreateKey(ctx context.Context, keyID string) error {
	switch _, err := b.key(ctx, keyID); {
	case err == nil:
		return kms.ErrKeyExists
	case errors.Is(err, kms.ErrKeyNotFound):
		return kms.ErrUnsupported
	default:
		return err
	}
}

// DescribeKey tells the key's name and cipher, and of an exported key its origin.
func (b *Backend) DescribeKey(ctx context.Context, keyID string) (kms.KeyInfo, error) {
	key, err := b.key(ctx, keyID)
	if err != nil {
		return kms.KeyInfo{}, err
	}
	return kms.KeyInfo{Name: key.Name, Algorithm: key.cipher().String(), CreatedAt: key.createdAt, CreatedBy: key.createdBy}, nil
}

// ListKeys returns the sorted names that start with prefix.
func (b *Backend) ListKeys(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(b.keys))
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, prefix) }), nil
}

// TryKeys implements kms.KeyTrier.
func (b *Backend) TryKeys(ctx context.Context, ciphertext []byte, ad kms.AssociatedData) (keyID string, err error) {
	canonical := ad.Canonical()
	for _, name := range slices.Sorted(maps.Keys(b.keys)) {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		key := b.keys[name]
		plaintext, err := dek.Open(nil, key.Bytes(), key.cipher(), ciphertext, canonical)
		clear(plaintext)
		if err == nil {
			return name, nil
		}
	}
	return "", kms.ErrKeyNotFound
}

// KeyFingerprint implements kms.KeyTrier.
func (b *Backend) KeyFingerprint(ctx context.Context, keyID string) (string, error) {
	key, err := b.key(ctx, keyID)
	if err != nil {
		return "", err
	}
	return dek.KeyID(key.Bytes()), nil
}

func (b *Backend) key(ctx context.Context, keyID string) (Key, error) {
	if err := ctx.Err(); err != nil {
		return Key{}, err
	}
	if keyID == "" {
		keyID = b.defaultKeyID
	}
	key, ok := b.keys[keyID]
	if !ok {
		return Key{}, kms.ErrKeyNotFound
	}
	return key, nil
}
