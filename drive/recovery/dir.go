package recovery

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"
)

// Dir is the Sink of a directory: every version is a file, in one of its [Places].
// Files are written below .partial and linked to their names when they are complete,
// so that there is no partial file under a final name at any moment. A
// file that is there already is never replaced: if it has the same content it
// is taken for the version (an earlier run was ended just then), else the version goes to
// its next place.
//
// Nothing is written outside of the directory, whatever names, and links within
// it, say. Files and directories are readable for their owner only; files have the time
// of their version. User metadata is in the report alone.
type Dir struct {
	root    *os.Root
	partial string   // below root
	temp    *os.Root // the directory of that name

	mu   sync.Mutex
	made map[string]struct{} // directories known to exist
}

// NewDir returns the Sink of the directory at name, which is made if there is none.
// Two runs at one time need different ids, made of what a file name may have; what a
// run with this id left unfinished is removed.
func NewDir(name, id string) (*Dir, error) {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	d := &Dir{root: root, partial: path.Join(partialDir, element(id)), made: make(map[string]struct{})}
	err = errors.Join(root.RemoveAll(d.partial), root.MkdirAll(d.partial, 0o700))
	if err == nil {
		d.temp, err = root.OpenRoot(d.partial) // a path of one element is found faster
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return d, nil
}

// Put writes a file.
func (d *Dir) Put(_ context.Context, it *Item, body *Body) (string, error) {
	name := rand.Text()
	f, err := d.temp.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrStop, err)
	}
	defer d.temp.Remove(name)
	w := &fileWriter{f: f}
	_, err = body.WriteTo(w)
	if e := f.Close(); err == nil && e != nil {
		w.err, err = e, e
	}
	switch {
	case errors.Is(w.err, syscall.EFBIG):
		return "", w.err
	case w.err != nil:
		return "", fmt.Errorf("%w: %w", ErrStop, w.err)
	case err != nil:
		return "", err
	}
	if !it.ModTime.IsZero() {
		if err := d.temp.Chtimes(name, it.ModTime, it.ModTime); err != nil {
			return "", fmt.Errorf("%w: %w", ErrStop, err)
		}
	}
	return d.place(path.Join(d.partial, name), it)
}

// fileWriter remembers an error of the file, to tell it from one of the content.
type fileWriter struct {
	f   *os.File
	err error
}

func (w *fileWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.err = err
	return n, err
}

// place gives a complete file the first of its names that it can have.
func (d *Dir) place(from string, it *Item) (string, error) {
	var failed error
	for _, to := range Places(it) {
		err := d.link(from, to)
		if err == nil {
			return to, nil
		}
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS) {
			return "", fmt.Errorf("%w: %w", ErrStop, err)
		}
		failed = err
	}
	return "", failed
}

// link gives a file another name, unless a file of other content has it.
func (d *Dir) link(from, to string) error {
	if err := d.mkdir(path.Dir(to)); err != nil {
		return err
	}
	err := d.root.Link(from, to)
	if err == nil {
		return nil
	}
	_, missing := d.root.Lstat(to)
	switch {
	case missing == nil:
		if same, e := d.same(from, to); e != nil || !same {
			return errors.Join(err, e)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist): // somebody removed the directory
		d.mu.Lock()
		clear(d.made)
		d.mu.Unlock()
		if err := d.mkdir(path.Dir(to)); err != nil {
			return err
		}
	}
	return d.root.Rename(from, to) // a file system without links
}

// mkdir makes a directory and those above it.
func (d *Dir) mkdir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.made[name]; ok {
		return nil
	}
	if err := d.root.MkdirAll(name, 0o700); err != nil {
		return err
	}
	if len(d.made) >= 1024 {
		clear(d.made)
	}
	d.made[name] = struct{}{}
	return nil
}

// same reports whether two files have the same content; b must be a regular one.
func (d *Dir) same(a, b string) (bool, error) {
	ia, err := d.root.Lstat(a)
	if err != nil {
		return false, err
	}
	ib, err := d.root.Lstat(b)
	if err != nil || !ib.Mode().IsRegular() || ia.Size() != ib.Size() {
		return false, err
	}
	ha, err := d.hash(a)
	if err != nil {
		return false, err
	}
	hb, err := d.hash(b)
	return err == nil && bytes.Equal(ha, hb), err
}

func (d *Dir) hash(name string) ([]byte, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// Delete does nothing: a directory has no delete markers. The report does.
func (d *Dir) Delete(context.Context, *Item) (string, error) { return "", nil }

// Holds reports whether there is a file of that size.
func (d *Dir) Holds(_ context.Context, name string, size int64) bool {
	info, err := d.root.Lstat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// Close removes what is left of .partial.
func (d *Dir) Close(context.Context) error {
	err := errors.Join(d.temp.Close(), d.root.RemoveAll(d.partial))
	d.root.Remove(partialDir) // unless another run uses it
	return errors.Join(err, d.root.Close())
}
