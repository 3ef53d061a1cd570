package drive

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/tinylib/msgp/msgp"
)

const (
	xlMetaFile   = "xl.meta"
	xlBackupFile = "xl.meta.bkp"
	xlJSONFile   = "xl.json"

	// wholeFile is up to what size an xl.meta is read at once and kept: inline
	// data has 128 KiB, mostly.
	wholeFile = 192 << 10

	// maxMetadata bounds what is read of all versions of an object, without inline
	// data: fifty thousand versions.
	maxMetadata = 64 << 20
)

// xlMeta is one drive's metadata of one object.
type xlMeta struct {
	entries []entry
	inline  map[string]extent // by key: data that stands in this file
	whole   []byte            // the file, if it is small
	broken  string            // what is wrong with the map of inline data, whose first entries are good
}

// extent is a run of bytes in a file.
type extent struct{ off, n int64 }

// An entry is one version as one drive has it, not yet read in full: copies of
// a version are compared by fingerprint, and one of them is read.
type entry struct {
	id        [16]byte
	kind      VersionType
	modTime   int64
	signature [4]byte
	print     uint64 // fingerprint of all that is equal on every drive
	index     int    // shard on this drive, as the drive says
	dataDir   string // below the object's directory, where its part files are; empty if there is none
	raw       []byte // the record, unless legacy
	legacy    *record
}

// readXLMeta reads the container (drive spec section 3) from a file. Errors:
// ErrUnsupported for versions that are not known; ErrDamaged.
func readXLMeta(r io.ReaderAt, size int64) (*xlMeta, error) {
	head := make([]byte, min(size, wholeFile))
	if n, err := r.ReadAt(head, 0); err != nil && (err != io.EOF || n < len(head)) {
		return nil, err
	}
	x := new(xlMeta)
	if size <= wholeFile {
		x.whole = head
	}
	if len(head) <= 8 || string(head[:4]) != "XL2 " {
		if bytes.HasPrefix(head, []byte("{")) && x.whole != nil {
			return parseXLJSON(head) // an upgrade that was stopped between renaming and rewriting
		}
		return nil, fmt.Errorf("%w: not an xl.meta", ErrDamaged)
	}
	major, minor := binary.LittleEndian.Uint16(head[4:]), binary.LittleEndian.Uint16(head[6:])
	if string(head[4:8]) == "1   " {
		major, minor = 1, 0
	}
	if major != 1 || minor > 3 {
		return nil, fmt.Errorf("%w: xl.meta version %d.%d", ErrUnsupported, major, minor)
	}
	if minor == 0 {
		body, err := readMore(r, head, 8, size-8)
		if err != nil {
			return nil, err
		}
		if x.entries, err = parseVersions(body); err != nil {
			return nil, err
		}
		return x, nil
	}

	n, rest, err := msgp.ReadBytesHeader(head[8:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	start := int64(len(head) - len(rest))
	body, err := readMore(r, head, start, int64(n))
	if err != nil {
		return nil, err
	}
	end := start + int64(n)
	if minor >= 2 {
		// 9 bytes are the longest form of an integer.
		tail, err := readMore(r, head, end, min(9, size-end))
		if err != nil {
			return nil, err
		}
		u := unpacker{b: tail}
		sum := u.uint()
		if u.err != nil {
			return nil, u.err
		}
		if sum != xxhash.Sum64(body)&0xffffffff {
			return nil, fmt.Errorf("%w: the checksum of xl.meta is wrong", ErrDamaged)
		}
		end += int64(len(tail) - len(u.b))
	}
	if minor == 3 {
		x.entries, err = parseIndexed(body)
	} else {
		x.entries, err = parseVersions(body)
	}
	if err != nil {
		return nil, err
	}
	if err := x.readInline(r, end, size); err != nil {
		return nil, err
	}
	return x, nil
}

// readMore returns n bytes at off, from head where it has them.
func readMore(r io.ReaderAt, head []byte, off, n int64) ([]byte, error) {
	if n > maxMetadata {
		return nil, fmt.Errorf("%w: %d bytes of versions in one xl.meta", ErrUnsupported, n)
	}
	if off+n <= int64(len(head)) {
		return head[off : off+n], nil
	}
	// The rest of the file is read piece by piece: the count may be a lie.
	var b bytes.Buffer
	got, err := io.Copy(&b, io.NewSectionReader(r, off, n))
	if err == nil && got < n {
		err = fmt.Errorf("%w: xl.meta ends within its versions", ErrDamaged)
	}
	return b.Bytes(), err
}

// parseIndexed reads the versions of minor 3.
func parseIndexed(b []byte) ([]entry, error) {
	u := unpacker{b: b}
	header, meta := u.uint(), u.uint()
	if u.err == nil && (header < 1 || header > 3 || meta > 3) {
		return nil, fmt.Errorf("%w: xl.meta with headers of version %d and records of version %d", ErrUnsupported, header, meta)
	}
	n := u.int()
	if u.err == nil && (n < 0 || n > int64(len(u.b))/2) {
		u.fail(fmt.Sprintf("%d versions in %d bytes", n, len(u.b)))
	}
	var entries []entry
	for i := int64(0); i < n && u.err == nil; i++ {
		head, raw := u.bytes(), u.bytes()
		if u.err != nil {
			break
		}
		e, err := parseEntry(raw)
		if err == nil {
			err = e.addHeader(head, header)
		}
		if err != nil {
			return nil, fmt.Errorf("version %d: %w", i, err)
		}
		entries = append(entries, e)
	}
	return entries, u.err
}

// addHeader reads the header of a version in the index. What it says twice must
// agree.
func (e *entry) addHeader(b []byte, version uint64) error {
	u := unpacker{b: b}
	n := u.array()
	if want := [...]int{1: 4, 2: 5, 3: 7}[version]; u.err == nil && n != want {
		return fmt.Errorf("%w: a header of %d elements", ErrDamaged, n)
	}
	id, modTime := u.uuid(), u.int()
	if version >= 2 {
		copy(e.signature[:], u.bytes())
	}
	kind, flags := u.uint(), u.uint()
	const freeVersion = 1
	if kind == uint64(DeleteMarker) && (flags&freeVersion != 0 || e.kind == FreeVersion) {
		kind = uint64(FreeVersion)
		if e.kind == DeleteMarker {
			e.kind = FreeVersion
		}
	}
	if u.err == nil && (id != e.id || VersionType(kind) != e.kind || modTime != e.modTime && e.legacy == nil) {
		u.fail("the header of a version is another one's")
	}
	return u.err
}

// parseVersions reads the versions of minors 0 to 2.
func parseVersions(b []byte) ([]entry, error) {
	u := unpacker{b: b}
	var entries []entry
	for range u.fields() {
		if key := u.string(); key != "Versions" {
			u.skip()
			continue
		}
		for range u.array() {
			raw := u.raw()
			if u.err != nil {
				break
			}
			e, err := parseEntry(raw)
			if err != nil {
				return nil, fmt.Errorf("version %d: %w", len(entries), err)
			}
			entries = append(entries, e)
		}
	}
	return entries, u.err
}

// readInline finds the inline data of the versions (drive spec section 4): where
// it lies, not the data. What is behind a damaged entry is lost, what is before is
// not.
func (x *xlMeta) readInline(r io.ReaderAt, off, size int64) error {
	if off >= size {
		return nil
	}
	w := window{r: r, off: off, size: size, buf: x.whole}
	version, err := w.next(1)
	if err != nil {
		return err
	}
	if version[0] != 1 {
		return fmt.Errorf("%w: inline data of version %d", ErrUnsupported, version[0])
	}
	w.off++
	wanted := make(map[string]bool, 2*len(x.entries))
	for i := range x.entries {
		e := &x.entries[i]
		wanted[versionID(e.id)] = true
		if e.dataDir != "" {
			wanted[e.dataDir] = true
		}
	}
	const longest = 5 // of a header
	b, err := w.next(longest)
	if err != nil {
		return err
	}
	n, rest, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		x.broken = "the map of inline data: " + err.Error()
		return nil
	}
	w.off += int64(len(b) - len(rest))
	for ; n > 0; n-- {
		const longestKey = 64
		b, err := w.next(longestKey + 2*longest)
		if err != nil {
			return err
		}
		key, rest, err := msgp.ReadStringZC(b)
		var length uint32
		if err == nil {
			length, rest, err = msgp.ReadBytesHeader(rest)
		}
		at := w.off + int64(len(b)-len(rest))
		if err == nil && int64(length) > size-at {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			x.broken = "the map of inline data: " + err.Error()
			return nil
		}
		if name := string(key); wanted[name] {
			if x.inline == nil {
				x.inline = make(map[string]extent)
			}
			if _, twice := x.inline[name]; !twice {
				x.inline[name] = extent{at, int64(length)}
			}
		}
		w.off = at + int64(length)
	}
	return nil
}

// window reads the small things between large ones. Where buf is all of the file, it reads
// nothing.
type window struct {
	r         io.ReaderAt
	off, size int64
	buf       []byte
	at        int64 // of buf
}

// next returns up to n bytes at off, fewer only at the end.
func (w *window) next(n int) ([]byte, error) {
	n = int(min(int64(n), w.size-w.off))
	if w.off < w.at || w.off+int64(n) > w.at+int64(len(w.buf)) {
		const step = 1 << 10
		if cap(w.buf) == 0 {
			w.buf = make([]byte, step)
		}
		w.buf, w.at = w.buf[:min(step, w.size-w.off)], w.off
		if got, err := w.r.ReadAt(w.buf, w.off); err != nil && (err != io.EOF || got < len(w.buf)) {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	i := int(w.off - w.at)
	return w.buf[i : i+n], nil
}

// versionID is the text of a version's id.
func versionID(id [16]byte) string {
	if id == [16]byte{} {
		return NullVersion
	}
	return uuidText(id)
}

// NullVersion is the id of a version that has none.
const NullVersion = "null"
