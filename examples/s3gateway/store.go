package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/objseal/objseal/sse"
)

// A store keeps buckets in a directory:
//
//	BUCKET/bucket.json             what is set for the bucket
//	BUCKET/data/ID                 bytes of an object or part, never changed
//	BUCKET/objects/HASH/N.json     record number N of an object
//	BUCKET/uploads/ID/…            an unfinished multipart upload
//
// The record with the highest number counts. A new one is written aside and renamed: that
// is the commit. A deletion is a record too. Whoever dies on the way leaves
// files that nothing names, which sweep removes.
//
// Data is written without a lock. What compares and then commits holds the one on the file
// "_lock", which no bucket can be named, so that a rewrap can run beside a server.
type store struct {
	root    *os.Root
	lock    *lockedfile.Mutex
	durable bool // what is committed outlives a loss of power

	mu   sync.Mutex
	pins map[string]*pin // data files that are being read
}

// pin counts the readers of a file.
type pin struct {
	readers int
	dropped bool // to be removed behind the last one
}

func openStore(dir string) (*store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &store{root: root, lock: lockedfile.MutexAt(filepath.Join(dir, "_lock")), pins: make(map[string]*pin)}, nil
}

// openDurable is openStore for real data: a rewrap that lost records would lose them for
// good, as the old key is deleted behind it.
func openDurable(dir string) (*store, error) {
	s, err := openStore(dir)
	if err == nil {
		s.durable = true
	}
	return s, err
}

// locked runs f while nobody else commits, in this process or another.
func (s *store) locked(f func() error) error {
	unlock, err := s.lock.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}

// A record is what is kept of an object beside its bytes.
type record struct {
	Name     string            `json:"name"`
	Deleted  bool              `json:"deleted,omitempty"`
	Metadata map[string][]byte `json:"metadata"` // of package sse
	Headers  map[string]string `json:"headers"`  // of the client
	Modified time.Time         `json:"modified"`
	InParts  bool              `json:"in_parts,omitempty"`
	Files    []file            `json:"files"`

	bucket string
	number int // of the record
}

// A file is one run of stored bytes: the object, or a part.
type file struct {
	Part   int    `json:"part,omitempty"`
	ID     string `json:"id"`
	Stored int64  `json:"stored"`
	Actual int64  `json:"actual"` // bytes of plaintext
}

func (r *record) name() sse.ObjectName { return sse.ObjectName{Bucket: r.bucket, Object: r.Name} }

// stored is the record as sse sees it.
func (r *record) stored() sse.Stored {
	s := sse.Stored{Metadata: fromBytes(r.Metadata)}
	for _, f := range r.Files {
		s.Size += f.Stored
		if r.InParts {
			s.Parts = append(s.Parts, sse.Part{Number: f.Part, Size: f.Stored, ActualSize: f.Actual})
		}
	}
	return s
}

// JSON strings cannot hold all bytes that a metadata value can.
func toBytes(m map[string]string) map[string][]byte {
	out := make(map[string][]byte, len(m))
	for k, v := range m {
		out[k] = []byte(v)
	}
	return out
}

func fromBytes(m map[string][]byte) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = string(v)
	}
	return out
}

var (
	// errFaster: somebody else has changed the object meanwhile.
	errFaster = errors.New("the object was changed meanwhile")
	// errDataGone: the bytes of a record were removed before it was committed, with
	// the bucket, or with the upload that they are of.
	errDataGone = errors.New("the data is gone")
)

func dataFile(bucket, id string) string { return path.Join(bucket, "data", id) }

func objectDir(n sse.ObjectName) string {
	return path.Join(n.Bucket, "objects", fmt.Sprintf("%x", sha256.Sum256([]byte(n.Object))))
}

func recordFile(dir string, number int) string { return path.Join(dir, fmt.Sprintf("%d.json", number)) }

// readJSON decodes a file. It has come from here, but a disk may return anything.
func (s *store) readJSON(name string, v any) error {
	b, err := s.root.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("damaged file %s: %w", name, err)
	}
	return nil
}

const tempSuffix = ".tmp"

// writeJSON writes v aside, and renames that: the file is as before or as after.
func (s *store) writeJSON(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	aside := path.Join(path.Dir(name), rand.Text()+tempSuffix)
	if err := s.create(aside, bytes.NewReader(b)); err != nil {
		return err
	}
	if err := s.root.Rename(aside, name); err != nil {
		s.root.Remove(aside)
		return err
	}
	s.syncDir(path.Dir(name))
	return nil
}

// create makes a file of what from writes, none if that fails.
func (s *store) create(name string, from io.WriterTo) error {
	f, err := s.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = from.WriteTo(f)
	if err == nil && s.durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		s.root.Remove(name)
	}
	return err
}

// syncDir makes the names in a directory last, on systems that can.
func (s *store) syncDir(dir string) {
	if !s.durable {
		return
	}
	if d, err := s.root.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}

// latest returns the highest record of a directory of objects/: nil if there is none.
func (s *store) latest(bucket, dir string) (*record, error) {
	for {
		numbers, err := s.numbers(dir)
		if err != nil || len(numbers) == 0 {
			return nil, err
		}
		r := &record{bucket: bucket, number: slices.Max(numbers)}
		err = s.readJSON(recordFile(dir, r.number), r)
		if !errors.Is(err, fs.ErrNotExist) { // else there is a higher one by now
			return r, err
		}
	}
}

func (s *store) numbers(dir string) (numbers []int, err error) {
	names, err := s.readDir(dir)
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, ".json")
		if n, err := strconv.Atoi(digits); ok && err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers, err
}

// readDir returns the names in a directory; none if it does not exist.
func (s *store) readDir(dir string) ([]string, error) {
	d, err := s.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// get returns the record of an object, or errNoSuchKey.
func (s *store) get(n sse.ObjectName) (*record, error) {
	r, err := s.latest(n.Bucket, objectDir(n))
	if err == nil && (r == nil || r.Deleted) {
		err = errNoSuchKey
	}
	return r, err
}

// put makes r the record of its object in place of old, which is nil if there must be
// none: errFaster if that has changed.
func (s *store) put(r, old *record) error { return s.putBy(s.commit, r, old) }

func (s *store) putBy(commit func(r, old *record) error, r, old *record) error {
	err := s.locked(func() error { return commit(r, old) })
	if err == nil && old != nil {
		s.supersede(r, old)
	}
	return err
}

// commit is put under the lock. A number alone does not tell a record: files do, which
// have random names.
func (s *store) commit(r, old *record) error {
	if _, err := s.bucket(r.bucket); err != nil {
		return err
	}
	dir := objectDir(r.name())
	last, err := s.latest(r.bucket, dir)
	if err != nil {
		return err
	}
	r.number = 1
	if last != nil {
		r.number = last.number + 1
	}
	there := last != nil && !last.Deleted
	if there != (old != nil) || there && (last.number != old.number || !sameFiles(last, old)) {
		return errFaster
	}
	for _, f := range r.Files {
		if _, err := s.root.Lstat(dataFile(r.bucket, f.ID)); err != nil {
			return errDataGone
		}
	}
	if err := s.root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.writeJSON(recordFile(dir, r.number), r); err != nil {
		return err
	}
	if last != nil {
		s.root.Remove(recordFile(dir, last.number))
	}
	return nil
}

// supersede drops the bytes that were old's alone.
func (s *store) supersede(r, old *record) {
	kept := make(map[string]bool, len(r.Files))
	for _, f := range r.Files {
		kept[f.ID] = true
	}
	for _, f := range old.Files {
		if !kept[f.ID] {
			s.dropData(r.bucket, f.ID)
		}
	}
}

// overwrite is put, whatever there is. allow judges that, nil if there is nothing.
func (s *store) overwrite(r *record, allow func(old *record) error) error {
	return s.overwriteBy(s.commit, r, allow)
}

// overwriteBy is overwrite with something around the commit.
func (s *store) overwriteBy(commit func(r, old *record) error, r *record, allow func(old *record) error) error {
	for {
		old, err := s.get(r.name())
		if errors.Is(err, errNoSuchKey) {
			old, err = nil, nil
		}
		if err == nil && allow != nil {
			err = allow(old)
		}
		if err == nil {
			err = s.putBy(commit, r, old)
		}
		if !errors.Is(err, errFaster) {
			return err
		}
	}
}

// delete removes an object, if there is one.
func (s *store) delete(n sse.ObjectName) error {
	for {
		old, err := s.get(n)
		if errors.Is(err, errNoSuchKey) {
			return nil
		}
		if err == nil {
			err = s.put(&record{Name: n.Object, bucket: n.Bucket, Deleted: true}, old)
		}
		if !errors.Is(err, errFaster) {
			return err
		}
	}
}

// list yields the records of a bucket in the order of their directories.
func (s *store) list(bucket string) iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		base := path.Join(bucket, "objects")
		dirs, err := s.readDir(base)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, dir := range dirs {
			r, err := s.latest(bucket, path.Join(base, dir))
			if err == nil && (r == nil || r.Deleted) {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// newData stores what from writes, and returns its id.
func (s *store) newData(bucket string, from io.WriterTo) (id string, err error) {
	id = rand.Text()
	err = s.create(dataFile(bucket, id), from)
	if errors.Is(err, fs.ErrNotExist) { // any more
		err = errNoSuchBucket
	}
	return id, err
}

// linkData gives stored bytes another name, for a copy that keeps them.
func (s *store) linkData(from, to string, files []file) (linked []file, err error) {
	for _, f := range files {
		id := f.ID
		f.ID = rand.Text()
		err := s.root.Link(dataFile(from, id), dataFile(to, f.ID))
		if err == nil { // it is young: see sweep
			err = s.root.Chtimes(dataFile(to, f.ID), time.Now(), time.Now())
		}
		if err != nil {
			s.dropFiles(to, linked)
			return nil, err
		}
		linked = append(linked, f)
	}
	return linked, nil
}

func (s *store) dropFiles(bucket string, files []file) {
	for _, f := range files {
		s.dropData(bucket, f.ID)
	}
}

// dropData removes stored bytes once nobody reads them.
func (s *store) dropData(bucket, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pins[dataFile(bucket, id)]; p != nil {
		p.dropped = true
		return
	}
	s.root.Remove(dataFile(bucket, id))
}

// acquire is get, and keeps the bytes of the object until release is called.
func (s *store) acquire(n sse.ObjectName) (r *record, release func(), err error) {
	for {
		if r, err = s.get(n); err != nil {
			return nil, nil, err
		}
		s.pin(r, 1)
		again, err := s.get(n) // the bytes may have gone before they were pinned
		if err == nil && (again.number == r.number || sameFiles(again, r)) {
			return r, sync.OnceFunc(func() { s.pin(r, -1) }), nil
		}
		s.pin(r, -1)
		if err != nil {
			return nil, nil, err
		}
	}
}

func sameFiles(a, b *record) bool { return slices.Equal(a.Files, b.Files) }

func (s *store) pin(r *record, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range r.Files {
		name := dataFile(r.bucket, f.ID)
		p := s.pins[name]
		if p == nil {
			p = new(pin)
			s.pins[name] = p
		}
		if p.readers += by; p.readers > 0 {
			continue
		}
		delete(s.pins, name)
		if p.dropped {
			s.root.Remove(name)
		}
	}
}

// fetch is the sse.Fetch of an object.
func (s *store) fetch(r *record) sse.Fetch {
	return func(_ context.Context, off, n int64) (io.ReadCloser, error) {
		run := &filesReader{s: s, bucket: r.bucket, files: r.Files, skip: off}
		for len(run.files) > 0 && run.skip >= run.files[0].Stored {
			run.skip -= run.files[0].Stored
			run.files = run.files[1:]
		}
		return run, nil
	}
}

// filesReader reads files one behind the other.
type filesReader struct {
	s      *store
	bucket string
	files  []file
	skip   int64 // of the first
	open   *os.File
}

func (r *filesReader) Read(p []byte) (int, error) {
	for len(r.files) > 0 {
		if r.open == nil {
			f, err := r.s.root.Open(dataFile(r.bucket, r.files[0].ID))
			if err != nil {
				return 0, err
			}
			if _, err := f.Seek(r.skip, io.SeekStart); err != nil {
				return 0, errors.Join(err, f.Close())
			}
			r.open, r.skip = f, 0
		}
		n, err := r.open.Read(p)
		if n > 0 || err != nil && err != io.EOF {
			return n, err
		}
		if err := r.Close(); err != nil {
			return 0, err
		}
		r.files = r.files[1:]
	}
	return 0, io.EOF
}

func (r *filesReader) Close() error {
	if r.open == nil {
		return nil
	}
	f := r.open
	r.open = nil
	return f.Close()
}

// bucketInfo is what is set for a bucket.
type bucketInfo struct {
	Created    time.Time            `json:"created"`
	Encryption sse.BucketEncryption `json:"encryption"`
}

func (s *store) bucket(name string) (info bucketInfo, err error) {
	if !validBucket(name) {
		return info, errNoSuchBucket
	}
	err = s.readJSON(path.Join(name, "bucket.json"), &info)
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoSuchBucket
	}
	return info, err
}

func (s *store) makeBucket(name string) error {
	return s.locked(func() error {
		if _, err := s.bucket(name); !errors.Is(err, errNoSuchBucket) {
			return cmp.Or(err, errBucketExists)
		}
		for _, dir := range []string{"data", "objects", "uploads"} {
			if err := s.root.MkdirAll(path.Join(name, dir), 0o700); err != nil {
				return err
			}
		}
		return s.writeJSON(path.Join(name, "bucket.json"), bucketInfo{Created: now()})
	})
}

func (s *store) setEncryption(name string, e sse.BucketEncryption) error {
	return s.locked(func() error {
		info, err := s.bucket(name)
		if err != nil {
			return err
		}
		info.Encryption = e
		return s.writeJSON(path.Join(name, "bucket.json"), info)
	})
}

// removeBucket removes a bucket without objects, with its uploads.
func (s *store) removeBucket(name string) error {
	return s.locked(func() error {
		for _, err := range s.list(name) {
			if err == nil {
				err = errBucketNotEmpty
			}
			return err
		}
		if err := s.root.Remove(path.Join(name, "bucket.json")); err != nil { // from here on it is gone
			return err
		}
		return s.root.RemoveAll(name)
	})
}

func (s *store) buckets() (names []string, err error) {
	all, err := s.readDir(".")
	for _, name := range all {
		if _, err := s.bucket(name); err == nil {
			names = append(names, name)
		}
	}
	return names, err
}

func validBucket(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Trim(name, "-.") != name || strings.Contains(name, "..") {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// An upload is an unfinished multipart upload.
type upload struct {
	Name      string            `json:"name"`
	Metadata  map[string][]byte `json:"metadata"`
	Headers   map[string]string `json:"headers"`
	Checksum  sse.ChecksumType  `json:"checksum,omitempty"`
	Composite bool              `json:"composite,omitempty"`
	Created   time.Time         `json:"created"`

	bucket, id string
}

// A partRecord is what is kept of a part.
type partRecord struct {
	file
	Metadata map[string][]byte `json:"metadata"`
	Modified time.Time         `json:"modified"`
}

func (u *upload) name() sse.ObjectName { return sse.ObjectName{Bucket: u.bucket, Object: u.Name} }
func (u *upload) dir() string          { return path.Join(u.bucket, "uploads", u.id) }

func (s *store) newUpload(u *upload) error {
	u.id = rand.Text()
	return s.locked(func() error {
		if _, err := s.bucket(u.bucket); err != nil {
			return err
		}
		if err := s.root.Mkdir(u.dir(), 0o700); err != nil {
			return err
		}
		return s.writeJSON(path.Join(u.dir(), "upload.json"), u)
	})
}

// upload returns an unfinished upload of an object, or errNoSuchUpload.
func (s *store) upload(n sse.ObjectName, id string) (*upload, error) {
	if id == "" || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" { // of rand.Text
		return nil, errNoSuchUpload
	}
	u := &upload{bucket: n.Bucket, id: id}
	err := s.readJSON(path.Join(u.dir(), "upload.json"), u)
	if errors.Is(err, fs.ErrNotExist) || err == nil && u.Name != n.Object {
		return nil, errNoSuchUpload
	}
	return u, err
}

// replaceUpload changes the metadata of an upload that has not ended, and is still old.
func (s *store) replaceUpload(u, old *upload) error {
	return s.locked(func() error {
		current, err := s.upload(u.name(), u.id)
		if err != nil {
			return err
		}
		if !maps.EqualFunc(current.Metadata, old.Metadata, bytes.Equal) {
			return errFaster
		}
		return s.writeJSON(path.Join(u.dir(), "upload.json"), u)
	})
}

func (s *store) uploads(bucket string) (list []*upload, err error) {
	ids, err := s.readDir(path.Join(bucket, "uploads"))
	for _, id := range ids {
		u := &upload{bucket: bucket, id: id}
		if s.readJSON(path.Join(u.dir(), "upload.json"), u) == nil { // else it has just ended
			list = append(list, u)
		}
	}
	return list, err
}

func partFile(dir string, number int) string { return path.Join(dir, fmt.Sprintf("%d.part", number)) }

// putPart stores a part, in place of an earlier one of the same number.
func (s *store) putPart(u *upload, p partRecord) error {
	err := s.locked(func() error {
		name := partFile(u.dir(), p.Part)
		var old partRecord
		if _, err := s.upload(u.name(), u.id); err != nil { // has ended
			return err
		}
		if err := s.readJSON(name, &old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := s.writeJSON(name, p); err != nil || old.ID == "" {
			return err
		}
		return s.dropUnnamed(u, old.file)
	})
	if err != nil {
		s.dropData(u.bucket, p.ID)
	}
	return err
}

// dropUnnamed drops the bytes of parts, under the lock, but for those that are the
// object's by now: a process may have died between the two steps of complete.
func (s *store) dropUnnamed(u *upload, files ...file) error {
	r, err := s.latest(u.bucket, objectDir(u.name()))
	if err != nil {
		return err
	}
	if r == nil {
		r = &record{bucket: u.bucket}
	}
	s.supersede(r, &record{Files: files})
	return nil
}

func (s *store) parts(u *upload) (map[int]partRecord, error) {
	names, err := s.readDir(u.dir())
	parts := make(map[int]partRecord)
	for _, name := range names {
		if _, err := strconv.Atoi(strings.TrimSuffix(name, ".part")); err != nil {
			continue
		}
		var p partRecord
		if err := s.readJSON(path.Join(u.dir(), name), &p); err != nil {
			return nil, err
		}
		parts[p.Part] = p
	}
	return parts, err
}

// complete makes r, of parts of u, the record of its object, and ends u: at once, so that
// a part that is sent again cannot take its bytes from the object. allow judges what r
// replaces, as for overwrite.
func (s *store) complete(u *upload, r *record, allow func(old *record) error) error {
	return s.overwriteBy(func(r, old *record) error {
		if _, err := s.upload(u.name(), u.id); err != nil {
			return err
		}
		if err := s.commit(r, old); err != nil {
			return err
		}
		s.endUpload(u) // what stays of it is not in the way of the object
		return nil
	}, r, allow)
}

func (s *store) abort(u *upload) error {
	return s.locked(func() error {
		if _, err := s.upload(u.name(), u.id); err != nil {
			return err
		}
		return s.endUpload(u)
	})
}

// endUpload removes an upload, under the lock, and all of its parts but for the object's.
func (s *store) endUpload(u *upload) error {
	parts, err := s.parts(u)
	if err != nil {
		return err
	}
	if err := s.root.Remove(path.Join(u.dir(), "upload.json")); err != nil {
		return err
	}
	var files []file
	for _, p := range parts {
		files = append(files, p.file)
	}
	return errors.Join(s.dropUnnamed(u, files...), s.root.RemoveAll(u.dir()))
}

// leftBehind is how old a file must be that nothing names before it is taken for what a
// process that died has left. A younger one may be under way in another process.
const leftBehind = time.Hour

// sweep removes what processes that died have left behind.
func (s *store) sweep() error {
	buckets, err := s.buckets()
	for _, bucket := range buckets {
		err = errors.Join(err, s.locked(func() error { return s.sweepBucket(bucket) }))
	}
	return err
}

func (s *store) sweepBucket(bucket string) error {
	named := make(map[string]bool)
	objects, err := s.readDir(path.Join(bucket, "objects"))
	if err != nil {
		return err
	}
	for _, hash := range objects {
		dir := path.Join(bucket, "objects", hash)
		r, err := s.latest(bucket, dir)
		if err != nil {
			return err
		}
		current := ""
		if r != nil {
			current = path.Base(recordFile(dir, r.number))
			for _, f := range r.Files {
				named[f.ID] = true
			}
		}
		if err := s.sweepDir(dir, func(name string) bool { return name != current }); err != nil {
			return err
		}
	}
	ids, err := s.readDir(path.Join(bucket, "uploads"))
	if err != nil {
		return err
	}
	for _, id := range ids {
		u := &upload{bucket: bucket, id: id}
		if _, err := s.root.Lstat(path.Join(u.dir(), "upload.json")); errors.Is(err, fs.ErrNotExist) { // it has ended
			if err := s.root.RemoveAll(u.dir()); err != nil {
				return err
			}
			continue
		}
		parts, err := s.parts(u)
		if err != nil {
			return err
		}
		for _, p := range parts {
			named[p.ID] = true
		}
		if err := s.sweepDir(u.dir(), func(name string) bool { return strings.HasSuffix(name, tempSuffix) }); err != nil {
			return err
		}
	}
	return s.sweepDir(path.Join(bucket, "data"), func(name string) bool { return !named[name] })
}

// sweepDir removes the old files of a directory that are garbage.
func (s *store) sweepDir(dir string, garbage func(name string) bool) error {
	names, err := s.readDir(dir)
	for _, name := range names {
		info, err := s.root.Lstat(path.Join(dir, name))
		if err == nil && garbage(name) && time.Since(info.ModTime()) > leftBehind {
			s.root.Remove(path.Join(dir, name))
		}
	}
	return err
}

// now is the time in the precision that HTTP shows.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
