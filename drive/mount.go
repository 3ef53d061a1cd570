package drive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// A mount is one drive given to Open, opened for reading.
type mount struct {
	path string
	root *os.Root
	set  *set // where it belongs
}

var (
	errNotRegular = errors.New("not a regular file")
	errDirectory  = fmt.Errorf("%w: a directory", errNotRegular)
	errNotDir     = errors.New("not a directory")
)

// open opens a regular file in a directory below the root. A link is not followed, on the
// way to it neither.
func (d *mount) open(name string) (*os.File, int64, error) {
	dir, file := path.Split(name)
	at, err := d.openDir(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return nil, 0, err
	}
	defer at.Close()
	return openFile(at, file)
}

// openFile opens a regular file. A pipe is not opened: that could wait for ever.
func openFile(at *os.Root, name string) (*os.File, int64, error) {
	info, err := at.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if info.IsDir() {
		return nil, 0, fmt.Errorf("%s: %w", name, errDirectory)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s: %w", name, errNotRegular)
	}
	f, err := at.Open(name)
	if err != nil {
		return nil, 0, err
	}
	now, err := f.Stat()
	if err == nil && !os.SameFile(info, now) {
		err = fmt.Errorf("%s: %w", name, errNotRegular)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, now.Size(), nil
}

// readFile reads a small file whole.
func (d *mount) readFile(name string, most int64) ([]byte, error) {
	f, size, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > most {
		return nil, fmt.Errorf("%w: %s has %d bytes, more than any server writes", ErrDamaged, name, size)
	}
	b := make([]byte, size)
	n, err := io.ReadFull(f, b)
	if err == io.ErrUnexpectedEOF || err == io.EOF { // it shrank
		err = nil
	}
	return b[:n], err
}

// openDir opens a directory below the root. Links on the way are not followed.
func (d *mount) openDir(name string) (*os.Root, error) {
	at := d.root
	for element := range strings.SplitSeq(name, "/") {
		next, err := openSub(at, element)
		if at != d.root {
			at.Close()
		}
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

func openSub(at *os.Root, name string) (*os.Root, error) {
	info, err := at.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s: %w", name, errNotDir)
	}
	return at.OpenRoot(name)
}

func (d *mount) hasDir(name string) bool {
	info, err := d.root.Lstat(name)
	return err == nil && info.IsDir()
}

// join joins path elements, of which some may be empty.
func join(elements ...string) string {
	return strings.Join(slices.DeleteFunc(elements, func(s string) bool { return s == "" }), "/")
}
