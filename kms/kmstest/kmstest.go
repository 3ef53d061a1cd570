// Package kmstest is for tests of what uses, and of what is, a source of data
// keys.
//
// [NewBackend] is a kms.Backend in memory that counts its calls and fails on
// demand. [Run] is the conformance suite that every kms.Backend passes; a new
// backend needs a constructor in its test, and nothing else:
//
//	func TestConformance(t *testing.T) {
//		kmstest.Run(t, func(t *testing.T) kmstest.Harness {
//			return kmstest.Harness{Backend: …, KeyIDs: [2]string{"key-1", "key-2"}}
//		})
//	}
//
// The Backend here protects nothing: its keys end with the process.
package kmstest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/secret"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/internal/datakey"
)

// Backend is a kms.Backend, and all that one can be besides, in memory. It is
// safe for concurrent use.
type Backend struct {
	defaultKeyID string

	mu    sync.Mutex
	keys  map[string]key
	calls map[kms.Operation]int
	err   error
}

type key struct {
	secret.Key
	alg     dek.Algorithm
	created time.Time
}

var (
	_ kms.Backend   = (*Backend)(nil)
	_ kms.Manager   = (*Backend)(nil)
	_ kms.Importer  = (*Backend)(nil)
	_ kms.Deleter   = (*Backend)(nil)
	_ kms.Encrypter = (*Backend)(nil)
)

// NewBackend returns a Backend with new keys of these names. The first is the
// default key.
func NewBackend(keyIDs ...string) *Backend {
	b := &Backend{keys: make(map[string]key), calls: make(map[kms.Operation]int)}
	for i, id := range keyIDs {
		if i == 0 {
			b.defaultKeyID = id
		}
		b.keys[id] = key{secret.Random(), dek.AES256, time.Now()}
	}
	return b
}

// Calls returns how often an operation was asked for.
func (b *Backend) Calls(op kms.Operation) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[op]
}

// Fail makes every call from now on fail with err; nil ends that.
func (b *Backend) Fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// Delete removes a key: what it sealed cannot be opened any more.
func (b *Backend) Delete(keyID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.keys, keyID)
}

// begin counts a call and returns the key's full name, and why the call must
// fail if it must.
func (b *Backend) begin(ctx context.Context, op kms.Operation, keyID string) (string, error) {
	b.calls[op]++
	if keyID == "" {
		keyID = b.defaultKeyID
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case b.err != nil:
		return "", b.err
	case op != kms.OpStatus && op != kms.OpListKeys && !kms.ValidName(keyID):
		return "", fmt.Errorf("%w: %s", kms.ErrInvalidKeyID, kms.QuoteKeyID(keyID))
	}
	return keyID, nil
}

// key is begin for an operation on a key there must be.
func (b *Backend) key(ctx context.Context, op kms.Operation, keyID string) (string, key, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	keyID, err := b.begin(ctx, op, keyID)
	if err != nil {
		return "", key{}, err
	}
	k, ok := b.keys[keyID]
	if !ok {
		return "", key{}, kms.ErrKeyNotFound
	}
	return keyID, k, nil
}

// GenerateKey implements kms.Backend.
func (b *Backend) GenerateKey(ctx context.Context, keyID string, ad kms.AssociatedData) (kms.GeneratedKey, error) {
	keyID, k, err := b.key(ctx, kms.OpGenerateKey, keyID)
	if err != nil {
		return kms.GeneratedKey{}, err
	}
	data := kms.RandomDataKey()
	return kms.GeneratedKey{
		Key:        data,
		KeyID:      keyID,
		Ciphertext: dek.Seal(nil, k.Bytes(), k.alg, data.Bytes(), ad.Canonical()),
	}, nil
}

// Decrypt implements kms.Backend.
func (b *Backend) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	_, k, err := b.key(ctx, kms.OpDecrypt, keyID)
	if err != nil {
		return kms.DataKey{}, err
	}
	return datakey.Open(k.Bytes(), k.alg, ciphertext, ad.Canonical())
}

// Status implements kms.Backend.
func (b *Backend) Status(ctx context.Context) (kms.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.begin(ctx, kms.OpStatus, ""); err != nil {
		return kms.Status{}, err
	}
	return kms.Status{Backend: "fake"}, nil
}

// CreateKey implements kms.Manager.
func (b *Backend) CreateKey(ctx context.Context, keyID string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	keyID, err := b.begin(ctx, kms.OpCreateKey, keyID)
	if err != nil {
		return err
	}
	if _, exists := b.keys[keyID]; exists {
		return kms.ErrKeyExists
	}
	b.keys[keyID] = key{secret.Random(), dek.AES256, time.Now()}
	return nil
}

// ImportKey implements kms.Importer.
func (b *Backend) ImportKey(ctx context.Context, keyID string, imported []byte, algorithm string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	keyID, err := b.begin(ctx, kms.OpImportKey, keyID)
	if err != nil {
		return err
	}
	alg, known := dek.ParseAlgorithm(cmp.Or(algorithm, dek.AES256.String()))
	k, err := secret.New(imported)
	switch _, exists := b.keys[keyID]; {
	case !known:
		return kms.ErrUnsupported
	case err != nil:
		return kms.ErrKeySize
	case exists:
		return kms.ErrKeyExists
	}
	b.keys[keyID] = key{k, alg, time.Now()}
	return nil
}

// DeleteKey implements kms.Deleter.
func (b *Backend) DeleteKey(ctx context.Context, keyID string) error {
	keyID, _, err := b.key(ctx, kms.OpDeleteKey, keyID)
	if err == nil {
		b.Delete(keyID)
	}
	return err
}

// DescribeKey implements kms.Manager.
func (b *Backend) DescribeKey(ctx context.Context, keyID string) (kms.KeyInfo, error) {
	keyID, k, err := b.key(ctx, kms.OpDescribeKey, keyID)
	if err != nil {
		return kms.KeyInfo{}, err
	}
	return kms.KeyInfo{Name: keyID, Algorithm: k.alg.String(), CreatedAt: k.created}, nil
}

// ListKeys implements kms.Manager.
func (b *Backend) ListKeys(ctx context.Context, prefix string) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.begin(ctx, kms.OpListKeys, ""); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(b.keys)), func(id string) bool {
		return !strings.HasPrefix(id, prefix)
	}), nil
}

// Encrypt implements kms.Encrypter.
func (b *Backend) Encrypt(ctx context.Context, keyID string, plaintext []byte, ad kms.AssociatedData) ([]byte, error) {
	_, k, err := b.key(ctx, kms.OpEncrypt, keyID)
	if err != nil {
		return nil, err
	}
	return datakey.Seal(k.Bytes(), k.alg, plaintext, ad.Canonical())
}
