package drive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// WalkOptions say what to walk over; nil is everything but SystemBucket.
type WalkOptions struct {
	// Bucket is the only one to walk over, may be SystemBucket; empty means all.
	Bucket string
	// Prefix of the object names; only with Bucket.
	Prefix string
	// System adds SystemBucket if Bucket is empty.
	System bool
	// Shard of Shards, from 0: the objects are split by a hash of their names, so
	// that several processes, or machines, each take a share. Shards 0 means 1.
	Shard, Shards int
}

// dirSuffix stands on drives for the slash at the end of a name.
const dirSuffix = "__XLDIR__"

// storedName is the directory of an object below its bucket, objectName the way back.
func storedName(object string) string {
	if name, ok := strings.CutSuffix(object, "/"); ok {
		return name + dirSuffix
	}
	return object
}

func objectName(dir string) string {
	if name, ok := strings.CutSuffix(dir, dirSuffix); ok {
		return name + "/"
	}
	return dir
}

// Buckets returns the names of all buckets on any drive, sorted, without
// SystemBucket.
func (d *Deployment) Buckets(ctx context.Context) ([]string, error) {
	w := &walker{ctx: ctx, d: d}
	var level []handle
	for _, m := range d.placed() {
		level = append(level, handle{m, m.root})
	}
	var all []string
	err := w.each(level, "", func(name string) error {
		if name[0] != '.' && name != "lost+found" {
			all = append(all, name)
		}
		return nil
	})
	return all, err
}

// Walk calls fn for every object of any drive, one at a time and always in the same
// order: that of the elements of bucket and name, as bytes. An error of fn ends it, and is
// returned. What is wrong with an object is in the Object, or told to
// [Options.Report] where there is none; the walk goes on.
func (d *Deployment) Walk(ctx context.Context, o *WalkOptions, fn func(*Object) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &walker{ctx: ctx, d: d, fn: fn}
	if o != nil {
		w.o = *o
	}
	if w.o.Shards = max(w.o.Shards, 1); w.o.Shard < 0 || w.o.Shard >= w.o.Shards {
		return fmt.Errorf("%w: shard %d of %d", errInvalid, w.o.Shard, w.o.Shards)
	}
	buckets := []string{w.o.Bucket}
	if w.o.Bucket == "" {
		if w.o.Prefix != "" {
			return fmt.Errorf("%w: a prefix without a bucket", errInvalid)
		}
		var err error
		if buckets, err = d.Buckets(ctx); err != nil {
			return err
		}
		if w.o.System {
			buckets = append([]string{SystemBucket}, buckets...)
		}
	} else if !validPath(w.o.Bucket) || strings.Contains(w.o.Bucket, "/") {
		return fmt.Errorf("bucket %q: %w", cut(w.o.Bucket), ErrNotFound)
	}
	drives := d.placed()
	w.ahead = max(2, 64/len(drives))
	for _, bucket := range buckets {
		if err := w.walkBucket(bucket, drives); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) walkBucket(bucket string, drives []*mount) error {
	w.bucket = bucket
	var level []handle
	defer func() { closeAll(level) }()
	for _, m := range drives {
		switch root, err := openSub(m.root, bucket); {
		case err == nil:
			level = append(level, handle{m, root})
		case !errors.Is(err, fs.ErrNotExist):
			w.unreadable(m, bucket, err)
		}
	}
	return w.walk(level, "", nil)
}

// A walker goes through a bucket on all drives at once.
type walker struct {
	ctx    context.Context
	d      *Deployment
	o      WalkOptions
	fn     func(*Object) error
	bucket string
	ahead  int // directories that are read at a time, per level
}

// A handle is a directory on one drive.
type handle struct {
	drive *mount
	dir   *os.Root
}

func closeAll(level []handle) {
	for _, h := range level {
		h.dir.Close()
	}
}

// A node is a directory below a bucket, on all drives that have it.
type node struct {
	dir    string // below the bucket
	name   string
	object *Object
	below  []*mount        // on which something may be below
	data   map[string]bool // data directories, in which no objects are
}

// walk visits what is below a directory, sorted by name. Names are read in
// windows: one that fits into memory, then the directory once more for the next.
func (w *walker) walk(level []handle, dir string, data map[string]bool) error {
	if len(level) == 0 {
		return nil
	}
	after := ""
	for {
		names, more := w.names(level, dir, after, func(name string) bool {
			return !data[name] && w.wanted(join(dir, name))
		})
		if err := w.visit(level, dir, names); err != nil {
			return err
		}
		if !more {
			return w.ctx.Err()
		}
		after = names[len(names)-1]
	}
}

// visit loads the directories of the names and visits them in order. While some are
// visited, the next ones are loaded.
func (w *walker) visit(level []handle, dir string, names []string) error {
	load := func() []node {
		n := min(len(names), w.ahead)
		if n == 0 {
			return nil
		}
		nodes := w.load(level, dir, names[:n])
		names = names[len(nodes):]
		return nodes
	}
	nodes := load()
	for len(nodes) > 0 {
		var next []node
		var wg sync.WaitGroup
		if len(names) > 0 {
			wg.Go(func() { next = load() })
		}
		err := w.visitNodes(level, nodes)
		wg.Wait()
		if err != nil {
			return err
		}
		nodes = next
	}
	return nil
}

func (w *walker) visitNodes(level []handle, nodes []node) error {
	for i := range nodes {
		n := nodes[i]
		nodes[i] = node{} // what was visited takes no memory
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if n.object != nil {
			if err := w.fn(n.object); err != nil {
				return err
			}
			n.object = nil
		}
		if len(n.below) > 0 {
			if err := w.descend(level, &n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walker) descend(level []handle, n *node) error {
	var below []handle
	defer func() { closeAll(below) }()
	for _, h := range level {
		if !slices.Contains(n.below, h.drive) {
			continue
		}
		at, err := openSub(h.dir, n.name)
		if err != nil {
			w.unreadable(h.drive, join(w.bucket, n.dir), err)
			continue
		}
		below = append(below, handle{h.drive, at})
	}
	return w.walk(below, n.dir, n.data)
}

// wanted reports whether the directory may be, or hold, an object with the prefix.
func (w *walker) wanted(dir string) bool {
	if w.bucket == SystemBucket {
		top, _, _ := strings.Cut(dir, "/")
		if top == multipartDir || strings.HasPrefix(top, "tmp") {
			return false
		}
	}
	p := w.o.Prefix
	return strings.HasPrefix(dir, p) || strings.HasPrefix(objectName(dir), p) || strings.HasPrefix(p, dir+"/")
}

// mine reports whether an object is one of this walk.
func (w *walker) mine(dir string) bool {
	object := objectName(dir)
	return strings.HasPrefix(object, w.o.Prefix) &&
		(w.o.Shards <= 1 || xxhash.Sum64String(w.bucket+"/"+object)%uint64(w.o.Shards) == uint64(w.o.Shard))
}

// maxWindow is how many bytes of names are held per level.
const maxWindow = 16 << 20

// names returns the directories in a directory, on any drive: sorted, those behind
// after, and as many as fit into memory; more if there were more.
func (w *walker) names(level []handle, dir, after string, accept func(string) bool) (names []string, more bool) {
	limit, held := "", 0 // names behind the limit fell out of the window
	shrink := func(most int) {
		slices.Sort(names)
		names = slices.Compact(names)
		held = 0
		for i, name := range names {
			if held += nameCost(name); held > most && i > 0 {
				clear(names[i:])
				names, limit, more = names[:i], names[i-1], true
				return
			}
		}
	}
	for _, h := range level {
		err := list(h.dir, func(e fs.DirEntry) error {
			name := e.Name()
			if !e.IsDir() {
				if !e.Type().IsRegular() && after == "" {
					w.d.report(Finding{Problem: NotRegular, Drive: h.drive.path, Path: join(w.bucket, dir, name), Bucket: w.bucket, Block: -1, Detail: "it is not followed"})
				}
				return nil
			}
			if name <= after || limit != "" && name > limit || !accept(name) {
				return nil
			}
			names = append(names, name)
			if held += nameCost(name); held > 2*w.window() {
				shrink(w.window())
			}
			return w.ctx.Err()
		})
		if err != nil && w.ctx.Err() == nil {
			w.unreadable(h.drive, join(w.bucket, dir), err)
		}
		shrink(w.window())
	}
	return names, more
}

func nameCost(name string) int { return len(name) + 16 }

func (w *walker) window() int { return cmp.Or(w.d.window, maxWindow) }

func list(dir *os.Root, fn func(fs.DirEntry) error) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (w *walker) unreadable(m *mount, path string, err error) {
	p := Unreadable
	if errors.Is(err, errNotDir) {
		p = NotRegular
	}
	w.d.report(Finding{Problem: p, Drive: m.path, Path: path, Bucket: w.bucket, Block: -1, Detail: err.Error()})
}

// maxLoad is how much metadata is loaded at a time: objects may have ten thousand
// versions, but not sixty-four of them at once in memory.
const maxLoad = 16 << 20

// load reads what all drives have in some directories: those of the first names, one at
// least, as many as fit into memory.
func (w *walker) load(level []handle, dir string, names []string) []node {
	results := make([][]loaded, len(level)) // by drive, then by name
	var held atomic.Int64
	var wg sync.WaitGroup
	read := func(i int) {
		results[i] = make([]loaded, 0, len(names))
		for j, name := range names {
			if j > 0 && held.Load() > maxLoad {
				break
			}
			r := w.loadOne(level[i], join(dir, name), name)
			held.Add(r.copy.meta.cost())
			results[i] = append(results[i], r)
		}
	}
	for i := 1; i < len(level); i++ {
		wg.Go(func() { read(i) })
	}
	read(0)
	wg.Wait()
	for _, r := range results {
		names = names[:min(len(names), len(r))]
	}
	nodes := make([]node, len(names))
	copies := make(map[*mount]copyOf, len(level))
	for j, name := range names {
		n := &nodes[j]
		n.dir, n.name = join(dir, name), name
		found := false
		clear(copies)
		for i, h := range level {
			r := &results[i][j]
			found = found || r.copy.file != ""
			copies[h.drive] = r.copy
			if r.below {
				n.below = append(n.below, h.drive)
			}
			if n.data == nil {
				n.data = r.data
				continue
			}
			for dir := range r.data {
				n.data[dir] = true
			}
		}
		if found && w.mine(n.dir) {
			n.object = w.d.object(w.bucket, n.dir, copies)
		}
	}
	return nodes
}

// loaded is what one drive has in a directory.
type loaded struct {
	copy  copyOf
	data  map[string]bool
	below bool // something may be
}

var errStop = errors.New("stop")

func (w *walker) loadOne(parent handle, dir, name string) (r loaded) {
	r.copy.drive = parent.drive
	at, err := openSub(parent.dir, name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.copy.err = err // it says nothing about what is there
			w.unreadable(parent.drive, join(w.bucket, dir), err)
		}
		return r
	}
	defer at.Close()
	r.copy = readCopy(parent.drive, at, name, w.mine(dir))
	if r.copy.meta != nil {
		r.data = r.copy.meta.dataDirs()
	}
	err = list(at, func(e fs.DirEntry) error {
		// Anything but files makes it worth another look; names reports links.
		if !e.Type().IsRegular() && !r.data[e.Name()] {
			return errStop
		}
		return nil
	})
	if r.below = err == errStop; err != nil && !r.below {
		w.unreadable(parent.drive, join(w.bucket, dir), err)
	}
	return r
}

// readCopy reads the metadata in an object's directory. Without read, it only looks
// whether there is any.
func readCopy(m *mount, at *os.Root, name string, read bool) copyOf {
	c := copyOf{drive: m}
	for _, file := range []string{xlMetaFile, xlJSONFile, xlBackupFile} {
		if file == xlBackupFile && c.file == "" && (isUUID(name) || name == legacyDir) {
			break // data directories have one too
		}
		if !read {
			if info, err := at.Lstat(file); err == nil && !info.IsDir() {
				c.file = file
				break
			}
			continue
		}
		meta, err := readMeta(at, file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDirectory) {
			continue // a directory of that name holds another object
		}
		if err == nil {
			c.replaced, c.err = c.err, nil
			c.file, c.meta = file, meta
			break
		}
		if c.err == nil {
			c.file, c.err = file, err
		}
	}
	return c
}

func readMeta(at *os.Root, file string) (*xlMeta, error) {
	f, size, err := openFile(at, file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if file != xlJSONFile {
		return readXLMeta(f, size)
	}
	if size > maxMetadata {
		return nil, fmt.Errorf("%w: xl.json of %d bytes", ErrUnsupported, size)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return nil, err
	}
	return parseXLJSON(b)
}

// versionCost is about what a Version takes in memory.
const versionCost = 2 << 10

// cost is about what a copy takes in memory, with the versions that are made of it.
func (x *xlMeta) cost() int64 {
	if x == nil {
		return 0
	}
	n := int64(len(x.whole)) + int64(len(x.entries))*versionCost
	if x.whole == nil {
		for i := range x.entries {
			n += int64(len(x.entries[i].raw))
		}
	}
	return n
}

// dataDirs are the names of the directories where the versions' parts are.
func (x *xlMeta) dataDirs() map[string]bool {
	dirs := make(map[string]bool, len(x.entries))
	for i := range x.entries {
		switch e := &x.entries[i]; {
		case e.legacy != nil:
			dirs[legacyDir] = true
		case e.dataDir != "":
			dirs[e.dataDir] = true
		}
	}
	return dirs
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !('0' <= c && c <= '9' || 'a' <= c && c <= 'f'):
			return false
		}
	}
	return true
}

// Lookup returns one object. ErrNotFound if no drive has it.
func (d *Deployment) Lookup(ctx context.Context, bucket, object string) (*Object, error) {
	dir := storedName(object)
	if !validPath(bucket) || !validPath(dir) || strings.Contains(bucket, "/") {
		return nil, fmt.Errorf("%q: %w", cut(bucket+"/"+object), ErrNotFound)
	}
	drives := d.placed()
	list := make([]copyOf, len(drives))
	var wg sync.WaitGroup
	for i, m := range drives {
		wg.Go(func() {
			list[i].drive = m
			at, err := m.openDir(join(bucket, dir))
			if err == nil {
				list[i] = readCopy(m, at, "", true)
				at.Close()
			} else if !errors.Is(err, fs.ErrNotExist) {
				list[i].err = err
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	copies := make(map[*mount]copyOf, len(drives))
	for i, m := range drives {
		copies[m] = list[i]
	}
	if o := d.object(bucket, dir, copies); o != nil {
		return o, nil
	}
	return nil, fmt.Errorf("%q: %w", cut(bucket+"/"+object), ErrNotFound)
}

// validPath reports whether a name can be a path on a drive.
func validPath(name string) bool {
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return !strings.ContainsRune(name, 0)
}

// object makes an Object of the copies on all drives; nil if nothing is to be said.
func (d *Deployment) object(bucket, dir string, copies map[*mount]copyOf) *Object {
	o := &Object{Bucket: bucket, Name: objectName(dir)}
	for _, s := range d.sets {
		slots := make([]copyOf, len(s.slots))
		found := false
		for i, m := range s.slots {
			if m == nil {
				continue
			}
			slots[i] = copies[m]
			slots[i].drive = m
			found = found || slots[i].file != ""
		}
		if !found {
			continue
		}
		for i := range slots {
			o.judge(dir, &slots[i])
		}
		versions, unsettled := s.settle(bucket, dir, o.Name, slots)
		o.Versions = append(o.Versions, versions...)
		o.Unsettled = append(o.Unsettled, unsettled...)
	}
	o.merge()
	if len(o.Versions)+len(o.Unsettled) == 0 && !slices.ContainsFunc(o.Findings, func(f Finding) bool { return f.Problem != MetadataMissing }) {
		return nil // deleted
	}
	return o
}

// judge finds out what is wrong with a copy as a whole.
func (o *Object) judge(dir string, c *copyOf) {
	if c.drive == nil {
		return
	}
	f := Finding{Drive: c.drive.path, Path: join(o.Bucket, dir, xlMetaFile), Bucket: o.Bucket, Object: o.Name, Block: -1}
	switch {
	case c.file == "" && c.err == nil:
		f.Problem, f.Detail = MetadataMissing, "other drives of the set have one"
	case c.err != nil:
		f.Path = join(o.Bucket, dir, cmp.Or(c.file, xlMetaFile))
		f.Problem, f.Detail = metadataProblem(c.err), c.err.Error()
	case c.replaced != nil:
		f.Problem, f.Detail = metadataProblem(c.replaced), fmt.Sprintf("%v; %s is used in its place", c.replaced, c.file)
	case c.meta.broken != "":
		f.Problem, f.Detail = MetadataDamaged, c.meta.broken
	default:
		return
	}
	o.Findings = append(o.Findings, f)
}

func metadataProblem(err error) Problem {
	switch {
	case errors.Is(err, errNotRegular), errors.Is(err, errNotDir):
		return NotRegular
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrUnsupported):
		return MetadataDamaged
	default:
		return Unreadable
	}
}
