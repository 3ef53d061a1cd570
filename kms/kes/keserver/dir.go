package keserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/keyfile"
	"github.com/objseal/objseal/kms"
)

// Dir is a KeyStore of the kind that KES calls fs: a directory with one file
// per key, which has the key's name (KES spec section 6.2). Servers of 2024 and
// 2025 can share it with this one, older ones can leave theirs to it.
//
//	a new key  .new-RANDOM (0600) → synced → linked to its name → directory synced
//
// A name is given once: no key replaces another, whoever makes both, and a key
// that was made is there after a crash. Files are read at every use, so that
// what was put there or taken away is seen at once. Symbolic links that lead
// outside are refused.
//
// Not guaranteed: anything against who can read the directory. Keys are not
// encrypted in it.
type Dir struct{ path string }

var _ KeyStore = (*Dir)(nil)

// OpenDir returns a Dir, after it has made the directory (0700) if there is
// none.
func OpenDir(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		err = os.MkdirAll(path, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to open the key store: %w", err)
	}
	d := &Dir{path}
	return d, d.do(d.sweep)
}

// do opens the directory for one operation: it may have been away meanwhile.
func (d *Dir) do(f func(root *os.Root) error) error {
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return fmt.Errorf("failed to open the key store: %w", err)
	}
	defer root.Close()
	return f(root)
}

// newPrefix begins the names of files that are not keys yet. It makes them
// names that no key can have.
const newPrefix = ".new-"

// sweep removes what a process left that ended while it made a key. One that
// makes a key just now needs less than an hour for it.
func (d *Dir) sweep(root *os.Root) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("failed to read the key store: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), newPrefix) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > time.Hour {
			root.Remove(e.Name())
		}
	}
	return nil
}

// Create implements KeyStore. A key without an HMAC key is refused: servers of
// 2025 fail on it.
func (d *Dir) Create(_ context.Context, name string, key Key) error {
	if !kms.ValidName(name) {
		return kms.ErrInvalidKeyID
	}
	alg, ok := dek.ParseAlgorithm(key.Algorithm)
	if !ok {
		return errUnusable
	}
	value, err := keyfile.Key{
		Secret: key.Secret.Key, HMAC: key.HMAC.Key, Algorithm: alg,
		CreatedAt: key.CreatedAt, CreatedBy: key.CreatedBy,
	}.Append(nil)
	if err != nil {
		return err
	}
	defer clear(value)
	return d.do(func(root *os.Root) error {
		if _, err := root.Lstat(name); err == nil {
			return kms.ErrKeyExists
		}
		return create(root, name, value)
	})
}

// create makes a file that is there whole or not at all, and only if there is
// none of that name.
func create(root *os.Root, name string, value []byte) error {
	unnamed := newPrefix + rand.Text()
	f, err := root.OpenFile(unnamed, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer root.Remove(unnamed)
	if _, err = f.Write(value); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, never replaces a file.
	if err := root.Link(unnamed, name); errors.Is(err, fs.ErrExist) {
		return kms.ErrKeyExists
	} else if err != nil {
		return err
	}
	root.Remove(unnamed) // before the sync, so that neither name comes back
	return syncDir(root)
}

// Get implements KeyStore.
func (d *Dir) Get(_ context.Context, name string) (key Key, err error) {
	if !kms.ValidName(name) {
		return Key{}, kms.ErrInvalidKeyID
	}
	err = d.do(func(root *os.Root) error {
		k, err := keyfile.Read(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			return kms.ErrKeyNotFound
		}
		if err != nil {
			return fmt.Errorf("failed to read the key %s: %w", name, err)
		}
		key = Key{Secret{k.Secret}, Secret{k.HMAC}, k.Algorithm.String(), k.CreatedAt, k.CreatedBy}
		return nil
	})
	return key, err
}

// Delete implements KeyStore.
func (d *Dir) Delete(_ context.Context, name string) error {
	if !kms.ValidName(name) {
		return kms.ErrInvalidKeyID
	}
	return d.do(func(root *os.Root) error {
		info, err := root.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && info.IsDir():
			return kms.ErrKeyNotFound
		case err != nil:
			return err
		}
		if err := root.Remove(name); errors.Is(err, fs.ErrNotExist) {
			return kms.ErrKeyNotFound
		} else if err != nil {
			return err
		}
		return syncDir(root)
	})
}

// List implements KeyStore. Unlike KES it leaves out what can be no key: other
// names, directories.
func (d *Dir) List(_ context.Context, prefix string) (names []string, err error) {
	err = d.do(func(root *os.Root) error {
		entries, err := fs.ReadDir(root.FS(), ".") // sorted
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), prefix) && kms.ValidName(e.Name()) && !e.IsDir() {
				names = append(names, e.Name())
			}
		}
		return err
	})
	return names, err
}

// Status implements KeyStore.
func (d *Dir) Status(context.Context) error {
	return d.do(func(*os.Root) error { return nil })
}
