package static

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/objseal/objseal/kms"
)

// ErrRingExposed is the kind of *RingExposedError.
var ErrRingExposed = errors.New("others can read or change it")

var errNotAFile = errors.New("it is not a regular file")

// RingExposedError refuses a key ring that users other than its owner can read
// or change. Its keys must be taken for known.
type RingExposedError struct {
	Path string
	Mode fs.FileMode
}

func (e *RingExposedError) Error() string { return fmt.Sprintf("%v: mode %v", ErrRingExposed, e.Mode) }

func (e *RingExposedError) Unwrap() error { return ErrRingExposed }

// Hint says what to do about it.
func (e *RingExposedError) Hint() string {
	return fmt.Sprintf("if nobody else read it: chmod 600 %s", e.Path)
}

// DefaultRingPath returns where the local key ring of this user is:
// objseal/keys below the user's configuration directory.
func DefaultRingPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("failed to find the local key ring: %w", err)
	}
	return filepath.Join(dir, "objseal", "keys"), nil
}

// OpenRing returns a Backend over the local key ring at path. A ring is a key
// list (see ReadKeyList) that, on systems with Unix permissions, only its owner
// can read or change; *RingExposedError otherwise. The first key is the default
// key; of several keys of one name the first counts (see AddKey).
//
// Every error is a *FileError; fs.ErrNotExist if there is no ring.
func OpenRing(path string) (*Backend, error) {
	keys, err := readRing(path)
	if err != nil {
		return nil, err
	}
	b, err := New(keys, "")
	if err != nil {
		return nil, &FileError{Path: path, Err: err}
	}
	return b, nil
}

func readRing(path string) ([]Key, error) {
	keys, err := readKeyList(path, func(info fs.FileInfo) error {
		switch {
		case !info.Mode().IsRegular():
			return errNotAFile
		case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
			return &RingExposedError{path, info.Mode()}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	first := keys[:0]
	for _, k := range keys {
		if !slices.ContainsFunc(first, named(k.Name)) {
			first = append(first, k)
		}
	}
	return first, nil
}

func named(name string) func(Key) bool {
	return func(k Key) bool { return k.Name == name }
}

// CreateRing makes a key ring at path with one random key, and the directories
// above it; or opens the ring that is there. It never overwrites: of several
// processes that create a ring at once one succeeds, which reports created, and
// all return the same key. The ring appears on disk complete or not at all.
//
// The key is named local- and eight random hex digits, so that an object sealed
// under the ring of one machine is never tried with the key of another.
func CreateRing(path string) (b *Backend, created bool, err error) {
	var suffix [4]byte
	rand.Read(suffix[:])
	key, err := NewKey("local-" + hex.EncodeToString(suffix[:]))
	if err != nil {
		return nil, false, err
	}
	switch err := createRing(path, key); {
	case err == nil:
		created = true
	case !errors.Is(err, fs.ErrExist):
		return nil, false, fmt.Errorf("failed to create key ring %s: %w", path, err)
	}
	b, err = OpenRing(path)
	return b, created && err == nil, err
}

// createRing writes the ring under a random name and links it to its own name:
// unlike a rename, a link never replaces a file, and unlike O_EXCL at the final
// name nobody can meet a ring that has no key yet.
func createRing(path string, key Key) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // O_EXCL, 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := writeAndClose(f, key.Text()+"\n"); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// AddKey appends key to the ring at path. What is in the ring stays as it is,
// its default key too. Errors: those of OpenRing; kms.ErrKeyExists if the ring
// has a key of that name; kms.ErrInvalidKeyID for a name that NewKey refuses. Of
// several processes that add a key of one name at once, one succeeds and the
// others get kms.ErrKeyExists.
func AddKey(path string, key Key) error {
	fail := func(err error) error {
		return fmt.Errorf("failed to add key %s to key ring %s: %w", kms.QuoteKeyID(key.Name), path, withoutPath(err))
	}
	switch {
	case !kms.ValidName(key.Name):
		return fail(kms.ErrInvalidKeyID)
	case key.IsZero():
		return fail(kms.ErrKeySize)
	}
	keys, err := readRing(path)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(keys, named(key.Name)) {
		return fail(kms.ErrKeyExists)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fail(err)
	}
	// The line break before it keeps the key apart from a last line that was
	// cut short or edited by hand.
	if err := writeAndClose(f, "\n"+key.Text()+"\n"); err != nil {
		return fail(err)
	}
	// There is no lock. Appends have an order, the first key of a name counts,
	// and here every process sees whether that is its own.
	if keys, err = readRing(path); err != nil {
		return err
	}
	if i := slices.IndexFunc(keys, named(key.Name)); i < 0 || !keys[i].Equal(key.Key) {
		return fail(kms.ErrKeyExists)
	}
	return nil
}

// writeAndClose returns after text is on the disk.
func writeAndClose(f *os.File, text string) error {
	_, err := f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// syncDir puts the names in dir on the disk, where the system has that.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
