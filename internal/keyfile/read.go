package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Read reads the file name of a KES key store. The root keeps every path and
// symbolic link inside the key store; which names a key can have is the
// caller's to check. What is no regular file, a link that leads outside among
// them, or not readable as a key, is an ErrFormat; fs.ErrNotExist if there is none.
func Read(root *os.Root, name string) (Key, error) {
	// Before it is opened: opening a pipe would wait for its other end.
	info, err := root.Stat(name)
	if err != nil {
		err = withoutPath(err)
		if link, errLink := root.Lstat(name); errLink == nil && link.Mode()&fs.ModeSymlink != 0 && !errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: a link that cannot be followed: %w", ErrFormat, err)
		}
		return Key{}, err
	}
	if !info.Mode().IsRegular() {
		return Key{}, fmt.Errorf("%w: not a regular file", ErrFormat)
	}
	if info.Size() > MaxSize {
		return Key{}, tooLarge()
	}
	f, err := root.Open(name)
	if err != nil {
		return Key{}, withoutPath(err)
	}
	defer f.Close()
	// One allocation, not io.ReadAll: that leaves pieces of the key in every
	// buffer it outgrows. One byte more shows a file that grew meanwhile.
	value := make([]byte, info.Size()+1)
	defer clear(value)
	n, err := io.ReadFull(f, value)
	switch {
	case err == nil:
		return Key{}, fmt.Errorf("%w: it changed while it was read", ErrFormat)
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		return Key{}, withoutPath(err)
	}
	return Parse(value[:n])
}

// withoutPath: the caller knows the name, and which directory it is in.
func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
