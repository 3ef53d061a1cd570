package drive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
)

var (
	errBadHash = errors.New("the bytes do not fit their hash")
	errEndsIn  = errors.New("the file ends before")
)

// A source is where one shard of a version is: a file for each part, or, held, a
// run of bytes in an xl.meta.
type source struct {
	drive   *mount
	number  int  // of the shard, from 1; up to M they are data
	dubious bool // the number is
	sums    map[int]wholeSum

	held bool
	mem  []byte // what is held, if the file was small
	file string // else in which file
	at   extent
}

// inline looks for the data in the copy of xl.meta, under the key of the version
// or, as early servers wrote it, that of the data directory (drive spec section 4).
func (s *source) inline(c *copyOf, v *Version) {
	e := c.meta.inline[v.ID]
	if e.n == 0 {
		e = c.meta.inline[v.dataDir]
	}
	if e.n == 0 || len(v.Parts) != 1 {
		return
	}
	s.held, s.file, s.at = true, join(v.Bucket, v.dir, c.file), e
	if whole := c.meta.whole; whole != nil {
		s.mem = whole[e.off : e.off+e.n]
	}
}

// A shard is one source opened for one part.
type shard struct {
	*source
	number int   // as the source says, unless the shards of the part prove another
	hash   int64 // bytes of hash before each piece, 0 if the file has a hash as a whole
	closer io.Closer
	r      io.ReaderAt
	size   int64
	opened bool
	err    error // why it is of no use for this part
	bad    int   // blocks found bad
}

// open opens the shard and, where the file has one hash, checks all of it.
func (s *shard) open(v *Version, part int, g geometry) error {
	s.opened, s.hash = true, hashSize
	var f *os.File
	var err error
	switch {
	case s.mem != nil:
		s.r, s.size = bytes.NewReader(s.mem), int64(len(s.mem))
	case s.held:
		if f, _, err = s.drive.open(s.file); err == nil {
			s.r, s.size = io.NewSectionReader(f, s.at.off, s.at.n), s.at.n
		}
	default:
		if f, s.size, err = s.drive.open(v.partPath(part)); err == nil {
			s.r = f
		}
	}
	if err != nil {
		return err
	}
	if f != nil {
		s.closer = f
	}
	if v.Type != LegacyVersion {
		return nil
	}
	sum, ok := s.sums[part]
	switch {
	case !ok:
		return fmt.Errorf("%w: its drive has no hash of it", ErrDamaged)
	case sum.algorithm == streaming:
		return nil
	}
	s.hash = 0
	if want := g.file(0); s.size != want {
		return fmt.Errorf("%w: it has %d bytes, not %d", errEndsIn, s.size, want)
	}
	return sum.check(s.r, s.size)
}

func (s *shard) close() {
	if s.closer != nil {
		s.closer.Close()
		s.closer = nil
	}
}

// where is the file, for findings.
func (s *shard) where(v *Version, part int) string {
	if s.held {
		return s.file
	}
	return v.partPath(part)
}

// A reading is what was read of a shard at once: frames of consecutive blocks.
type reading struct {
	*shard
	first  int64
	buf    []byte
	errs   []error // by block; nil if it is good
	number int     // of the shard
}

// read reads count blocks from first on, and compares them with their hashes.
func (s *shard) read(g geometry, first, count int64) *reading {
	r := &reading{shard: s, number: s.number, first: first, errs: make([]error, count)}
	start := g.offset(first, s.hash)
	last := first + count - 1
	n := g.offset(last, s.hash) + s.hash + g.piece(last) - start
	n = min(n, max(s.size-start, 0)) // nothing is allocated for what is not there
	if s.mem != nil {
		r.buf = s.mem[s.size-max(s.size-start, 0):][:n]
	} else {
		r.buf = takeBuffer(n)
		if got, err := s.r.ReadAt(r.buf, start); err == io.EOF {
			r.buf = r.buf[:got]
		} else if err != nil {
			r.readSingly(g, start)
		}
	}
	for i := range r.errs {
		if r.errs[i] != nil {
			continue
		}
		switch frame := r.frame(g, first+int64(i)); {
		case frame == nil:
			r.errs[i] = errEndsIn
		case s.hash != 0 && !pieceIntact(frame):
			r.errs[i] = errBadHash
		}
	}
	return r
}

// readSingly reads block by block, since one that the disk cannot read says nothing
// about the others.
func (r *reading) readSingly(g geometry, start int64) {
	for i := range r.errs {
		if frame := r.frame(g, r.first+int64(i)); frame != nil {
			if _, err := r.r.ReadAt(frame, start+g.offset(r.first+int64(i), r.hash)-g.offset(r.first, r.hash)); err != nil {
				r.errs[i] = err
			}
		}
	}
}

// frame is a block's hash and piece in the buffer, nil if the file ended before.
func (r *reading) frame(g geometry, block int64) []byte {
	from := g.offset(block, r.hash) - g.offset(r.first, r.hash)
	to := from + r.hash + g.piece(block)
	if to > int64(len(r.buf)) {
		return nil
	}
	return r.buf[from:to:to]
}

// release gives the buffer back, unless it is the shard's own memory.
func (r *reading) release() {
	if r.mem == nil && r.buf != nil {
		giveBuffer(r.buf)
	}
	r.buf = nil
}

// partPath is the file of a part's shard, on every drive.
func (v *Version) partPath(number int) string {
	return join(v.Bucket, v.dir, v.dataDir, "part."+strconv.Itoa(number))
}

// problemOf sorts what can be wrong with a shard.
func problemOf(err error) Problem {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errEndsIn):
		return ShardMissing
	case errors.Is(err, errNotRegular), errors.Is(err, errNotDir):
		return NotRegular
	case errors.Is(err, errBadHash), errors.Is(err, errMisplaced), errors.Is(err, errContradict), errors.Is(err, ErrDamaged), errors.Is(err, ErrUnsupported):
		return ShardDamaged
	default:
		return Unreadable
	}
}
