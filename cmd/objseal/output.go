package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

// An output is a file that appears under its name only when it is complete:
// until commit it is a temporary file beside it, which discard removes.
type output struct {
	path  string
	force bool
	*os.File
}

var (
	errExists     = errors.New("it exists already")
	errNotRegular = errors.New("not a regular file")
	errIsInput    = errors.New("it is read by this very command")
)

// create starts an output. An existing file is refused at once unless force,
// and once more, without a race, by commit. Even force replaces neither what is
// no regular file (a device, a pipe, a link, a directory) nor one of inputs.
// The file gets mode, less what the umask takes, and no right that the file it
// replaces did not give.
func create(path string, mode os.FileMode, force bool, inputs ...string) (*output, error) {
	replaced := os.ModePerm
	switch info, err := os.Lstat(path); {
	case err != nil:
	case !force:
		return nil, fmt.Errorf("%s is not written: %w", path, errExists)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not written: it is %w", path, errNotRegular)
	default:
		for _, input := range inputs {
			if other, err := os.Stat(input); err == nil && os.SameFile(info, other) {
				return nil, fmt.Errorf("%s is not written: %w", path, errIsInput)
			}
		}
		replaced = info.Mode().Perm()
	}
	// Not os.CreateTemp, which knows one mode only.
	f, err := os.OpenFile(filepath.Join(filepath.Dir(path), ".objseal-"+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		if e := (*os.PathError)(nil); errors.As(err, &e) {
			err = e.Err // its path is one that nobody gave
		}
		return nil, fmt.Errorf("%s is not written: %w", path, err)
	}
	o := &output{path, force, f}
	if mode&^replaced != 0 {
		if err := f.Chmod(mode & replaced); err != nil {
			o.discard()
			return nil, err
		}
	}
	return o, nil
}

// commit makes the file durable and gives it its name.
func (o *output) commit() error {
	err := errors.Join(o.Sync(), o.File.Close())
	switch {
	case err != nil:
	case o.force:
		err = os.Rename(o.Name(), o.path)
	default:
		// A link, unlike a rename, never replaces a file that came meanwhile.
		if err = os.Link(o.Name(), o.path); errors.Is(err, os.ErrExist) {
			err = fmt.Errorf("%s is not written: %w", o.path, errExists)
		} else if err != nil { // no hard links in this file system
			if _, e := os.Lstat(o.path); e == nil {
				err = fmt.Errorf("%s is not written: %w", o.path, errExists)
			} else {
				err = os.Rename(o.Name(), o.path)
			}
		}
	}
	os.Remove(o.Name())
	return err
}

// discard removes what commit has not committed.
func (o *output) discard() {
	o.File.Close()
	os.Remove(o.Name())
}

// writeFile is create, write and commit of a whole small file.
func writeFile(path string, data []byte, mode os.FileMode, force bool) error {
	o, err := create(path, mode, force)
	if err != nil {
		return err
	}
	defer o.discard()
	if _, err := o.Write(data); err != nil {
		return err
	}
	return o.commit()
}

// openRegular opens a file to read. What it is is asked first: to open a pipe
// is to wait for its writer.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is %w", path, errNotRegular)
	}
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(path)
	return f, info, err
}

// sealedFile is an open sealed file and what stands beside it.
type sealedFile struct {
	*os.File
	sidecar
	path, metaPath string
	size           int64
}

func openSealed(path, metaPath string) (*sealedFile, error) {
	if path == "-" {
		return nil, usagef("a sealed file and its metadata are two files: standard input is neither")
	}
	f, info, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	open := os.Open // what --meta names may be a pipe
	if metaPath == "" {
		metaPath = path + ".json"
		open = func(path string) (*os.File, error) {
			f, _, err := openRegular(path)
			return f, err
		}
	}
	s, err := readSidecar(metaPath, open)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("failed to read %s: %w", path, err)
	}
	return &sealedFile{f, s, path, metaPath, info.Size()}, nil
}

// describe is sse.Describe, but a file of another length than its metadata says
// is told as that, not as the odd layout it looks like.
func (f *sealedFile) describe() (sse.Description, error) {
	d, err := sse.Describe(f.stored(f.size))
	if errors.Is(err, sse.ErrNotEncrypted) {
		return d, err
	}
	want := int64(-1)
	if f.Parts != nil {
		want = 0
		for _, p := range f.Parts {
			want += p.Size
		}
	} else if !d.Compressed && (err == nil || errors.Is(err, stream.ErrTruncated)) {
		if n, e := stream.EncryptedSize(f.Size); e == nil {
			want = n
		}
	}
	switch {
	case want < 0 || want == f.size:
	case f.size < want:
		return d, fmt.Errorf("%w: it has %d bytes, its metadata says %d", stream.ErrTruncated, f.size, want)
	default:
		return d, fmt.Errorf("%w: it has %d bytes, its metadata says %d", sse.ErrTampered, f.size, want)
	}
	if err == nil && d.Size != f.Size {
		err = fmt.Errorf("%w: it holds %d bytes of plaintext, its metadata says %d", sse.ErrTampered, d.Size, f.Size)
	}
	return d, err
}

// readSmall reads a file that holds a customer key, "-" being stdin.
func readSmall(path string, stdin io.Reader) ([]byte, error) {
	const most = 1 << 10
	r := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && len(b) > most {
		err = errBadCustomerKey
	}
	return b, err
}
