package drive

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/tinylib/msgp/msgp"

	"github.com/objseal/objseal/sse"
)

const (
	maxShards = 256   // of an object
	maxParts  = 10000 // of an object

	// Bounds of what no server ever writes more of: they keep sums from
	// overflowing and a block from taking all memory.
	maxPartSize  = 1 << 48
	maxBlockSize = 32 << 20
)

// record is a version read in full.
type record struct {
	entry
	data     int // M
	parity   int // N
	block    int64
	dist     []int // shard by slot, from 1
	parts    []sse.Part
	size     int64
	metadata map[string]string
	sums     map[int]wholeSum // by part number, of legacy versions: of this drive's shards
}

// wholeSum is the bitrot hash of a whole shard file.
type wholeSum struct {
	algorithm string
	sum       []byte
}

// parseEntry reads what it takes to compare a version with other drives'.
//
// The fingerprint is a sum over the fields, since maps come in any order. It
// leaves out EcIndex, and of a legacy version the hashes of its shards too, which
// differ from drive to drive.
func parseEntry(raw []byte) (entry, error) {
	u := unpacker{b: raw}
	var e entry
	var body []byte
	bodies, name := 0, ""
	var typ int64
	for range u.fields() {
		switch key := u.string(); key {
		case "Type":
			typ = u.int()
		case "V1Obj", "V2Obj", "DelObj":
			if value := u.raw(); !msgp.IsNil(value) {
				body = value
				bodies++
				name = key
			}
		default:
			u.skip()
		}
	}
	if u.err != nil {
		return e, u.err
	}
	if bodies != 1 {
		return e, fmt.Errorf("%w: a version with %d records", ErrDamaged, bodies)
	}
	if want := map[int64]string{1: "V2Obj", 2: "DelObj", 3: "V1Obj"}[typ]; want != "" && name != want {
		return e, fmt.Errorf("%w: a version of type %d with a %s", ErrDamaged, typ, name)
	}
	e.kind, e.raw = VersionType(typ), body
	switch e.kind {
	case ObjectVersion, DeleteMarker:
		return e, e.scan()
	case LegacyVersion:
		r, err := parseV1(body)
		if err != nil {
			return e, err
		}
		return r.legacyEntry(), nil
	default:
		return e, fmt.Errorf("%w: a version of type %d", ErrUnsupported, typ)
	}
}

// legacyEntry is the entry of a version that was read in full at once.
func (r *record) legacyEntry() entry {
	r.print = r.legacyPrint()
	e := r.entry
	e.legacy = r
	return e
}

func (e *entry) scan() error {
	u := unpacker{b: e.raw}
	for range u.fields() {
		field := u.b
		switch key := u.string(); key {
		case "EcIndex":
			e.index = int(min(max(u.int(), 0), maxShards+1))
			continue
		case "MetaSys", "MetaUsr":
			for range u.fields() {
				pair := u.b
				name := u.string()
				u.skip()
				e.print += xxhash.Sum64(pair[:len(pair)-len(u.b)])
				if e.kind == DeleteMarker && strings.EqualFold(name, metaFreeMarker) {
					e.kind = FreeVersion
				}
			}
			continue
		case "ID":
			e.id = u.uuid()
		case "DDir":
			in := unpacker{b: u.raw()} // that it is none shows when the version is read in full
			if e.dataDir = ""; e.kind == ObjectVersion {
				if id := in.uuid(); in.err == nil && id != [16]byte{} {
					e.dataDir = uuidText(id)
				}
			}
		case "MTime":
			e.modTime = u.int()
		default:
			u.skip()
		}
		e.print += xxhash.Sum64(field[:len(field)-len(u.b)])
	}
	if u.err == nil && e.modTime <= 0 {
		u.fail("a version without a time")
	}
	return u.err
}

// record reads the version in full.
func (e *entry) record() (*record, error) {
	switch e.kind {
	case ObjectVersion:
		return e.parseV2()
	case LegacyVersion:
		return e.legacy, nil
	default:
		return e.parseDelete()
	}
}

func (e *entry) parseDelete() (*record, error) {
	r := &record{entry: *e}
	u := unpacker{b: e.raw}
	for range u.fields() {
		if u.string() == "MetaSys" {
			r.metadata = u.pairs(r.metadata, sse.IsReservedMetadata)
		} else {
			u.skip()
		}
	}
	return r, u.err
}

// parseV2 reads a V2Obj (drive spec section 3.1).
func (e *entry) parseV2() (*record, error) {
	r := &record{entry: *e, metadata: make(map[string]string)}
	u := unpacker{b: e.raw}
	var algorithm, checksum, m, n, size int64
	var dist, numbers, sizes, actual []int64
	for range u.fields() {
		switch u.string() {
		case "DDir":
			u.uuid() // scan kept it
		case "EcAlgo":
			algorithm = u.int()
		case "CSumAlgo":
			checksum = u.int()
		case "EcM":
			m = u.int()
		case "EcN":
			n = u.int()
		case "EcBSize":
			r.block = u.int()
		case "EcDist":
			dist = u.ints()
		case "PartNums":
			numbers = u.ints()
		case "PartSizes":
			sizes = u.ints()
		case "PartASizes":
			actual = u.ints()
		case "Size":
			size = u.int()
		case "MetaSys":
			u.pairs(r.metadata, sse.IsReservedMetadata)
		case "MetaUsr":
			u.pairs(r.metadata, func(key string) bool { return !sse.IsReservedMetadata(key) })
		default:
			u.skip()
		}
	}
	if u.err != nil {
		return nil, u.err
	}
	if algorithm != 1 || checksum != 1 {
		return nil, fmt.Errorf("%w: erasure code %d, bitrot hash %d", ErrUnsupported, algorithm, checksum)
	}
	if len(numbers) != len(sizes) || actual != nil && len(actual) != len(sizes) {
		return nil, fmt.Errorf("%w: lists of parts of different lengths", ErrDamaged)
	}
	r.parts = make([]sse.Part, len(numbers))
	for i := range r.parts {
		r.parts[i] = sse.Part{Number: int(min(max(numbers[i], -1), math.MaxInt32)), Size: sizes[i]}
		if actual != nil {
			r.parts[i].ActualSize = actual[i]
		}
	}
	return r, r.check(m, n, dist, size)
}

// check holds a version to what servers write (drive spec section 11), so that
// nothing later overflows or runs out of a slice.
func (r *record) check(m, n int64, dist []int64, size int64) error {
	if m < 1 || n < 0 || n > m || m+n > maxShards {
		return fmt.Errorf("%w: %d data and %d parity shards", ErrDamaged, m, n)
	}
	if r.block < 1 || r.block > maxBlockSize {
		return fmt.Errorf("%w: blocks of %d bytes", ErrDamaged, r.block)
	}
	r.data, r.parity = int(m), int(n)
	seen := make([]bool, m+n+1)
	if int64(len(dist)) != m+n {
		return fmt.Errorf("%w: a distribution over %d slots of %d shards", ErrDamaged, len(dist), m+n)
	}
	for _, shard := range dist {
		if shard < 1 || shard > m+n || seen[shard] {
			return fmt.Errorf("%w: the distribution of shards is none", ErrDamaged)
		}
		seen[shard] = true
		r.dist = append(r.dist, int(shard))
	}
	if len(r.parts) > maxParts {
		return fmt.Errorf("%w: %d parts", ErrDamaged, len(r.parts))
	}
	for _, p := range r.parts {
		if p.Number < 1 || p.Size < 0 || p.Size > maxPartSize || p.ActualSize < -1 {
			return fmt.Errorf("%w: part %d claims %d bytes, %d of plaintext", ErrDamaged, p.Number, p.Size, p.ActualSize)
		}
		r.size += p.Size
	}
	if r.size != size {
		return fmt.Errorf("%w: the version has %d bytes, its parts have %d", ErrDamaged, size, r.size)
	}
	return nil
}

// parseV1 reads a V1Obj: the legacy metadata after an upgrade (drive spec section 3.1).
func parseV1(raw []byte) (*record, error) {
	u := unpacker{b: raw}
	var v xlV1
	for range u.fields() {
		switch u.string() {
		case "Version":
			v.Version = u.string()
		case "Format":
			v.Format = u.string()
		case "Stat":
			for range u.fields() {
				switch u.string() {
				case "Size":
					v.Stat.Size = u.int()
				case "ModTime":
					v.Stat.ModTime = u.time()
				default:
					u.skip()
				}
			}
		case "Erasure":
			u.legacyErasure(&v)
		case "Meta":
			v.Meta = u.pairs(nil, func(string) bool { return true })
		case "Parts":
			for range u.array() {
				v.Parts = append(v.Parts, u.legacyPart())
				if u.err != nil {
					break
				}
			}
		case "DataDir":
			v.dataDir = u.string()
		default:
			u.skip()
		}
	}
	if u.err != nil {
		return nil, u.err
	}
	if v.dataDir != "" && v.dataDir != legacyDir {
		return nil, fmt.Errorf("%w: a legacy version in directory %q", ErrDamaged, cut(v.dataDir))
	}
	return v.record()
}

func (u *unpacker) legacyErasure(v *xlV1) {
	for range u.fields() {
		switch u.string() {
		case "Algorithm":
			v.Erasure.Algorithm = u.string()
		case "DataBlocks":
			v.Erasure.Data = u.int()
		case "ParityBlocks":
			v.Erasure.Parity = u.int()
		case "BlockSize":
			v.Erasure.BlockSize = u.int()
		case "Index":
			v.Erasure.Index = u.int()
		case "Distribution":
			v.Erasure.Distribution = u.ints()
		case "Checksums":
			for range u.array() {
				var number int64
				var c wholeSum
				for range u.fields() {
					switch u.string() {
					case "PartNumber":
						number = u.int()
					case "Algorithm":
						c.algorithm = [...]string{"", "sha256", "highwayhash256", "highwayhash256S", "blake2b"}[min(u.uint(), 4)]
					case "Hash":
						if !u.null() {
							c.sum = slices.Clone(u.bytes())
						}
					default:
						u.skip()
					}
				}
				if u.err != nil {
					return
				}
				v.addSum(number, c)
			}
		default:
			u.skip()
		}
	}
}

// legacyPart reads a part record in its short form, which part.N.meta has too.
func (u *unpacker) legacyPart() (p xlV1Part) {
	for range u.fields() {
		switch u.string() {
		case "e":
			p.ETag = u.string()
		case "n":
			p.Number = u.int()
		case "s":
			p.Size = u.int()
		case "as":
			p.ActualSize = u.int()
		default:
			u.skip()
		}
	}
	return p
}

// time reads a time in MessagePack's extension 5, the form of tinylib/msgp.
func (u *unpacker) time() time.Time {
	b := u.raw()
	const ext8, fixed = 0xc7, 3
	if u.err == nil && (len(b) != fixed+12 || b[0] != ext8 || b[1] != 12 || b[2] != 5) {
		u.fail("a time that is none")
	}
	if u.err != nil {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b[fixed:])), int64(int32(binary.BigEndian.Uint32(b[fixed+8:])))).UTC()
}
