// Package keystore reads the key store of a KES server without the server: a
// directory with one file per key, as KES's fs store writes it.
//
// Start with [Open]. What any server sealed under a key of the directory opens;
// what is sealed here opens at servers since 2024 (v0.24.0), not at older ones:
//
//	store, err := keystore.Open("/var/lib/kes/keys", nil)
//	client := kms.NewClient(store, nil)
//
// Every generation of key file is read (the file's name is the key's):
//
//	{"bytes": …, "algorithm": …, "created_at": …, "created_by": …}    until 2024
//	base64 of a protobuf                                              since then
//
// and every generation of data key ciphertext (see internal/dek), also under
// keys that do not know what they were used with. A key that was exported from
// Vault or another key store of KES needs no directory: see kms/static.
//
// Guaranteed: nothing is written, nothing outside of the directory is read,
// through symbolic links neither, and no key stays in memory longer than the
// call that uses it. A file that is added, removed or replaced counts from the
// next call on. Not guaranteed: that a key is the one that sealed something
// under its name. A key that was deleted and made again has the same name; see
// [Backend.TryKeys].
//
// Source: KES spec sections 5 and 6.
package keystore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/keyfile"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/internal/datakey"
)

// Options are the settings of a Backend. The zero value is good.
type Options struct {
	// DefaultKeyID names the key for calls that name none. If empty, such
	// calls fail with kms.ErrInvalidKeyID.
	DefaultKeyID string
}

// Backend uses the keys of a directory. It is a [kms.Backend], [kms.Manager],
// [kms.Encrypter] and [kms.KeyTrier], holds nothing open and is safe for
// concurrent use.
type Backend struct {
	dir          string
	defaultKeyID string
}

var (
	_ kms.Backend   = (*Backend)(nil)
	_ kms.Manager   = (*Backend)(nil)
	_ kms.Encrypter = (*Backend)(nil)
	_ kms.KeyTrier  = (*Backend)(nil)
)

// Open returns a Backend over the directory dir, which must be there; which
// keys it has is looked at when they are used. A nil o means the defaults.
func Open(dir string, o *Options) (*Backend, error) {
	if o == nil {
		o = new(Options)
	}
	abs, err := filepath.Abs(dir) // the process may change its directory
	if err != nil {
		return nil, err
	}
	b := &Backend{dir: abs, defaultKeyID: o.DefaultKeyID}
	root, err := b.open()
	if err != nil {
		return nil, fmt.Errorf("failed to open key store %s: %w", dir, err)
	}
	return b, root.Close()
}

// open opens the directory for one call. A directory that was replaced is
// seen, and nobody has to close a Backend.
func (b *Backend) open() (*os.Root, error) {
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		return nil, withoutPath(err)
	}
	return root, nil
}

// unreachable: the directory is not there any more, a medium or a network file
// system among the reasons. What the keys are is then not known.
func unreachable(err error) error {
	return fmt.Errorf("%w: failed to open its directory: %w", kms.ErrUnreachable, err)
}

func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// key reads a key, which the caller wipes.
func (b *Backend) key(ctx context.Context, keyID string) (name string, _ keyfile.Key, _ error) {
	if err := ctx.Err(); err != nil {
		return "", keyfile.Key{}, err
	}
	if keyID == "" {
		keyID = b.defaultKeyID
	}
	if keyID == "" {
		return "", keyfile.Key{}, fmt.Errorf("%w: no key is named, and there is no default", kms.ErrInvalidKeyID)
	}
	if !kms.ValidName(keyID) {
		return "", keyfile.Key{}, fmt.Errorf("%w: %s", kms.ErrInvalidKeyID, kms.QuoteKeyID(keyID))
	}
	root, err := b.open()
	if err != nil {
		return "", keyfile.Key{}, unreachable(err)
	}
	defer root.Close()
	k, err := readKey(root, keyID)
	return keyID, k, err
}

func readKey(root *os.Root, name string) (keyfile.Key, error) {
	k, err := keyfile.Read(root, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return keyfile.Key{}, kms.ErrKeyNotFound
	case errors.Is(err, keyfile.ErrFormat):
		return keyfile.Key{}, fmt.Errorf("%w: %w", kms.ErrKeyDamaged, err)
	case err != nil:
		return keyfile.Key{}, fmt.Errorf("failed to read the key file: %w", err)
	}
	return k, nil
}

// GenerateKey returns a new data key sealed under the named key.
func (b *Backend) GenerateKey(ctx context.Context, keyID string, ad kms.AssociatedData) (kms.GeneratedKey, error) {
	name, k, err := b.key(ctx, keyID)
	if err != nil {
		return kms.GeneratedKey{}, err
	}
	defer k.Wipe()
	key := kms.RandomDataKey()
	ciphertext, err := datakey.Seal(k.Secret.Bytes(), k.Algorithm, key.Bytes(), ad.Canonical())
	if err != nil {
		return kms.GeneratedKey{}, err
	}
	return kms.GeneratedKey{Key: key, KeyID: name, Ciphertext: ciphertext}, nil
}

// Encrypt seals plaintext, 44 bytes longer, under the named key.
func (b *Backend) Encrypt(ctx context.Context, keyID string, plaintext []byte, ad kms.AssociatedData) ([]byte, error) {
	_, k, err := b.key(ctx, keyID)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	return datakey.Seal(k.Secret.Bytes(), k.Algorithm, plaintext, ad.Canonical())
}

// Decrypt opens a data key in any form that KES ever wrote.
func (b *Backend) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	_, k, err := b.key(ctx, keyID)
	if err != nil {
		return kms.DataKey{}, err
	}
	defer k.Wipe()
	return datakey.Open(k.Secret.Bytes(), k.Algorithm, ciphertext, ad.Canonical())
}

// Status tells whether the directory can be read.
func (b *Backend) Status(ctx context.Context) (kms.Status, error) {
	if err := ctx.Err(); err != nil {
		return kms.Status{}, err
	}
	root, err := b.open()
	if err != nil {
		return kms.Status{}, unreachable(err)
	}
	return kms.Status{Backend: "keystore"}, root.Close()
}

// CreateKey never makes a key: kms.ErrKeyExists for a name that is taken,
// kms.ErrUnsupported for any other.
func (b *Backend) CreateKey(ctx context.Context, keyID string) error {
	_, k, err := b.key(ctx, keyID)
	k.Wipe()
	switch {
	case err == nil, errors.Is(err, kms.ErrKeyDamaged):
		return kms.ErrKeyExists
	case errors.Is(err, kms.ErrKeyNotFound):
		return fmt.Errorf("%w: a key store is only read", kms.ErrUnsupported)
	}
	return err
}

// DescribeKey tells what the key's file says.
func (b *Backend) DescribeKey(ctx context.Context, keyID string) (kms.KeyInfo, error) {
	name, k, err := b.key(ctx, keyID)
	if err != nil {
		return kms.KeyInfo{}, err
	}
	defer k.Wipe()
	return kms.KeyInfo{Name: name, Algorithm: k.Algorithm.String(), CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy}, nil
}

// ListKeys returns the sorted names that start with prefix: those of regular
// files that can be a key's name, whatever the files hold.
func (b *Backend) ListKeys(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := b.open()
	if err != nil {
		return nil, unreachable(err)
	}
	defer root.Close()
	return list(root, prefix)
}

func list(root *os.Root, prefix string) ([]string, error) {
	entries, err := fs.ReadDir(root.FS(), ".") // sorted
	if err != nil {
		return nil, unreachable(withoutPath(err))
	}
	names := []string{}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !kms.ValidName(e.Name()) {
			continue
		}
		// Stat, not e.Type: a mounted secret's files are symbolic links.
		if info, err := root.Stat(e.Name()); err == nil && info.Mode().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// TryKeys implements kms.KeyTrier: it opens the ciphertext with one key of the
// directory after the other.
func (b *Backend) TryKeys(ctx context.Context, ciphertext []byte, ad kms.AssociatedData) (keyID string, err error) {
	root, err := b.open()
	if err != nil {
		return "", unreachable(err)
	}
	defer root.Close()
	names, err := list(root, "")
	if err != nil {
		return "", err
	}
	canonical := ad.Canonical()
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		k, err := readKey(root, name)
		if err != nil {
			continue // what cannot be read opens nothing
		}
		plaintext, err := dek.Open(nil, k.Secret.Bytes(), k.Algorithm, ciphertext, canonical)
		clear(plaintext)
		k.Wipe()
		if err == nil {
			return name, nil
		}
	}
	return "", kms.ErrKeyNotFound
}

// KeyFingerprint implements kms.KeyTrier.
func (b *Backend) KeyFingerprint(ctx context.Context, keyID string) (string, error) {
	_, k, err := b.key(ctx, keyID)
	if err != nil {
		return "", err
	}
	defer k.Wipe()
	return dek.KeyID(k.Secret.Bytes()), nil
}
