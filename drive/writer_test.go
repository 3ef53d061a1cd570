package drive

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/reedsolomon"
	"github.com/minio/highwayhash"
	"github.com/tinylib/msgp/msgp"
)

// Drives made for tests, from the specification and by none of the code under
// test: a server's drives as they would be, and every way they could be wrong.
// They are synthetic: no server here writes the old generations among them.

// cluster is one pool of drives in a temporary directory.
type cluster struct {
	t    testing.TB
	dir  string
	id   string
	sets [][]string // drive ids
}

func newCluster(t testing.TB, sets, drives int) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), id: testUUID(7)}
	for s := range sets {
		var ids []string
		for d := range drives {
			ids = append(ids, testUUID(100+100*s+d))
		}
		c.sets = append(c.sets, ids)
	}
	for s, ids := range c.sets {
		for d := range ids {
			c.writeFormat(c.root(s, d), s, d)
			c.mkdir(c.root(s, d), SystemBucket+"/tmp/.trash")
		}
	}
	return c
}

func testUUID(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", n, n) }

func (c *cluster) root(set, slot int) string {
	return filepath.Join(c.dir, fmt.Sprintf("set%d-drive%d", set, slot))
}

// roots of all drives, in no useful order.
func (c *cluster) roots() (all []string) {
	for s, ids := range c.sets {
		for d := range ids {
			all = append(all, c.root(s, d))
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func (c *cluster) writeFormat(root string, set, slot int) {
	b, err := json.Marshal(map[string]any{"version": "1", "format": "xl", "id": c.id,
		"xl": map[string]any{"version": "3", "this": c.sets[set][slot], "sets": c.sets, "distributionAlgo": "SIPMOD+PARITY"}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(root, formatFile, b)
}

func (c *cluster) mkdir(root, name string) {
	if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) write(root, name string, b []byte) {
	c.mkdir(root, filepath.Dir(name))
	if err := os.WriteFile(filepath.Join(root, name), b, 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) open(roots ...string) *Deployment {
	c.t.Helper()
	if len(roots) == 0 {
		roots = c.roots()
	}
	return openDrives(c.t, nil, roots...)
}

func openDrives(t testing.TB, o *Options, roots ...string) *Deployment {
	t.Helper()
	d, err := Open(t.Context(), roots, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// version is one to be written. Its zero value is an empty null version.
type version struct {
	kind     VersionType
	id       string // uuid, empty for the null version
	modTime  int64
	m, n     int
	block    int64    // 1 MiB if 0
	parts    [][]byte // stored bytes
	numbers  []int    // 1, 2, 3 if nil
	actual   []int64
	sys, usr map[string]string
	inline   bool
	inlineBy string // key of the inline data; that of the version if empty
	dataDir  string
	dist     []int
	index    func(slot int) int // shard number from the distribution if nil
	free     bool
	skipOn   []int // slots that do not have it

	// of the legacy form
	bitrot string // algorithm; streaming if empty

	mutate func(slot int, fields map[string]any) // of the record
}

func (v *version) fill(bucket, dir string, drives int) {
	if v.kind == 0 {
		v.kind = ObjectVersion
	}
	if v.modTime == 0 {
		v.modTime = 1_700_000_000_000_000_000
	}
	if v.m == 0 {
		v.n = drives / 2
		v.m = drives - v.n
	}
	if v.block == 0 {
		v.block = 1 << 20
	}
	if v.numbers == nil {
		for i := range v.parts {
			v.numbers = append(v.numbers, i+1)
		}
	}
	if v.dataDir == "" {
		v.dataDir = testUUID(int(xxhash.Sum64String(dir+v.id) >> 40))
	}
	if v.dist == nil {
		start := int(crc32.ChecksumIEEE([]byte(bucket+"/"+dir))) % (v.m + v.n)
		for i := 1; i <= v.m+v.n; i++ {
			v.dist = append(v.dist, 1+(start+i)%(v.m+v.n))
		}
	}
}

func (v *version) size() (n int64) {
	for _, p := range v.parts {
		n += int64(len(p))
	}
	return n
}

// shards cuts and encodes a part, block by block: the pieces of shard i are in out[i].
func (v *version) shards(t testing.TB, part []byte) (out [][][]byte) {
	out = make([][][]byte, v.m+v.n)
	for len(part) > 0 {
		b := part[:min(int64(len(part)), v.block)]
		part = part[len(b):]
		piece := (len(b) + v.m - 1) / v.m
		padded := make([]byte, piece*(v.m+v.n))
		copy(padded, b)
		var pieces [][]byte
		for i := range v.m + v.n {
			pieces = append(pieces, padded[i*piece:(i+1)*piece:(i+1)*piece])
		}
		if v.n > 0 {
			code, err := reedsolomon.New(v.m, v.n)
			if err == nil {
				err = code.Encode(pieces)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range pieces {
			out[i] = append(out[i], pieces[i])
		}
	}
	return out
}

// framed puts a hash before each piece.
func framed(pieces [][]byte) (b []byte) {
	b = []byte{}
	for _, p := range pieces {
		h := highwayhash.Sum(p, bitrotKey[:])
		b = append(append(b, h[:]...), p...)
	}
	return b
}

// put writes an object's versions, newest first, to all drives of a set.
func (c *cluster) put(set int, bucket, dir string, minor int, versions ...*version) {
	c.t.Helper()
	drives := len(c.sets[set])
	shardsOf := make(map[*version][][][][]byte)
	for _, v := range versions {
		v.fill(bucket, dir, drives)
		for _, p := range v.parts {
			shardsOf[v] = append(shardsOf[v], v.shards(c.t, p))
		}
	}
	for slot := range drives {
		root := c.root(set, slot)
		var records []record2
		for _, v := range versions {
			if slices.Contains(v.skipOn, slot) {
				continue
			}
			r := record2{version: v, inline: map[string][]byte{}}
			number := 0
			if v.kind != DeleteMarker {
				number = v.dist[slot]
			}
			sums := make([]wholeSum, len(v.parts))
			for i := range v.parts {
				pieces := shardsOf[v][i][number-1]
				b := framed(pieces)
				if v.kind == LegacyVersion {
					b, sums[i] = legacyShard(c.t, v, pieces)
				}
				switch {
				case v.inline:
					r.inline[v.inlineKey()] = b
				case len(v.parts[i]) > 0:
					c.write(root, join(bucket, dir, v.partDir(minor), "part."+strconv.Itoa(v.numbers[i])), b)
				}
			}
			if v.inline && len(v.parts) == 0 {
				r.inline[v.inlineKey()] = []byte{}
			}
			r.fields = v.record(slot, number, sums)
			if v.mutate != nil {
				v.mutate(slot, r.fields)
			}
			records = append(records, r)
		}
		if minor == xlJSON {
			b, err := json.Marshal(legacyJSON(records[0].fields))
			if err != nil {
				c.t.Fatal(err)
			}
			c.write(root, join(bucket, dir, xlJSONFile), b)
		} else {
			c.write(root, join(bucket, dir, xlMetaFile), container(minor, 3, records))
		}
	}
}

// xlJSON in place of a minor version writes legacy metadata before its upgrade.
const xlJSON = -1

func (v *version) inlineKey() string {
	switch {
	case v.inlineBy != "":
		return v.inlineBy
	case v.id == "":
		return "null"
	default:
		return v.id
	}
}

func (v *version) partDir(minor int) string {
	switch {
	case v.kind != LegacyVersion:
		return v.dataDir
	case minor == xlJSON:
		return ""
	default:
		return "legacy"
	}
}

// record2 is a version as one drive has it.
type record2 struct {
	*version
	fields map[string]any
	inline map[string][]byte
}

func uuidBytes(s string) []byte {
	b := make([]byte, 16)
	if s != "" {
		if _, err := fmt.Sscanf(strings.ReplaceAll(s, "-", ""), "%x", &b); err != nil {
			panic(err)
		}
	}
	return b
}

// record returns the fields of a version.
func (v *version) record(slot, number int, sums []wholeSum) map[string]any {
	index := number
	if v.index != nil {
		index = v.index(slot)
	}
	sys := make(map[string]any)
	for k, value := range v.sys {
		sys[k] = []byte(value)
	}
	usr := make(map[string]any)
	for k, value := range v.usr {
		usr[k] = value
	}
	switch v.kind {
	case DeleteMarker:
		f := map[string]any{"ID": uuidBytes(v.id), "MTime": v.modTime}
		if len(sys) > 0 {
			f["MetaSys"] = sys
		}
		return f
	case LegacyVersion:
		var parts, checksums []any
		for i, p := range v.parts {
			parts = append(parts, map[string]any{"e": "", "n": v.numbers[i], "s": len(p), "as": len(p)})
			checksums = append(checksums, map[string]any{"PartNumber": v.numbers[i], "Algorithm": v.bitrotNumber(), "Hash": sums[i].sum})
		}
		return map[string]any{"Version": "1.0.1", "Format": "xl",
			"Stat":      map[string]any{"Size": v.size(), "ModTime": time.Unix(0, v.modTime), "Name": "x", "Dir": false, "Mode": 0},
			"Erasure":   map[string]any{"Algorithm": "klauspost/reedsolomon/vandermonde", "DataBlocks": v.m, "ParityBlocks": v.n, "BlockSize": v.block, "Index": index, "Distribution": v.dist, "Checksums": checksums},
			"Minio":     map[string]any{"Release": "2019"},
			"Meta":      usr,
			"Parts":     parts,
			"VersionID": "null", "DataDir": "legacy"}
	}
	sizes := []int{}
	for _, p := range v.parts {
		sizes = append(sizes, len(p))
	}
	actual := v.actual
	if actual == nil {
		for _, n := range sizes {
			actual = append(actual, int64(n))
		}
	}
	f := map[string]any{"ID": uuidBytes(v.id), "DDir": uuidBytes(v.dataDir), "EcAlgo": 1, "EcM": v.m, "EcN": v.n, "EcBSize": v.block,
		"EcIndex": index, "EcDist": v.dist, "CSumAlgo": 1, "PartNums": v.numbers, "PartETags": nil, "PartSizes": sizes, "PartASizes": actual,
		"Size": v.size(), "MTime": v.modTime, "MetaSys": sys, "MetaUsr": usr}
	return f
}

// container writes an xl.meta of a minor version.
func container(minor, headerVersion int, records []record2) []byte {
	b := []byte("XL2 ")
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint16(b, uint16(minor))
	field := map[VersionType]string{ObjectVersion: "V2Obj", DeleteMarker: "DelObj", LegacyVersion: "V1Obj"}
	var bodies [][]byte
	for _, r := range records {
		bodies = append(bodies, pack(nil, map[string]any{"Type": int(r.kind), field[r.kind]: r.fields, "v": 1700000000}))
	}
	if minor < 3 {
		body := msgp.AppendMapHeader(nil, 1)
		body = msgp.AppendString(body, "Versions")
		body = msgp.AppendArrayHeader(body, uint32(len(bodies)))
		for _, v := range bodies {
			body = append(body, v...)
		}
		if minor == 0 {
			return append(b, body...)
		}
		b = msgp.AppendBytes(b, body)
		if minor == 2 {
			b = msgp.AppendUint32(b, uint32(xxhash.Sum64(body)))
		}
	} else {
		body := msgp.AppendUint(nil, uint(headerVersion))
		body = msgp.AppendUint(body, 3)
		body = msgp.AppendInt(body, len(bodies))
		for i, v := range bodies {
			body = msgp.AppendBytes(body, records[i].header(headerVersion))
			body = msgp.AppendBytes(body, v)
		}
		b = append(b, 0xc6)
		b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
		b = append(b, body...)
		b = append(b, 0xce)
		b = binary.BigEndian.AppendUint32(b, uint32(xxhash.Sum64(body)))
	}
	inline := make(map[string][]byte)
	for _, r := range records {
		for k, data := range r.inline {
			inline[k] = data
		}
	}
	if len(inline) > 0 {
		b = append(b, 1)
		b = msgp.AppendMapHeader(b, uint32(len(inline)))
		for _, k := range slices.Sorted(mapKeys(inline)) {
			b = msgp.AppendString(b, k)
			b = msgp.AppendBytes(b, inline[k])
		}
	}
	return b
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (r *record2) header(version int) []byte {
	n := [...]int{1: 4, 2: 5, 3: 7}[version]
	b := msgp.AppendArrayHeader(nil, uint32(n))
	b = msgp.AppendBytes(b, uuidBytes(r.id))
	b = msgp.AppendInt64(b, r.modTime)
	if version >= 2 {
		b = msgp.AppendBytes(b, []byte{1, 2, 3, 4})
	}
	b = msgp.AppendUint(b, uint(r.kind))
	flags := uint(0)
	if r.free {
		flags |= 1
	}
	if r.inline != nil && r.version.inline {
		flags |= 4
	}
	b = msgp.AppendUint(b, flags)
	if version >= 3 {
		b = msgp.AppendUint(b, uint(r.n))
		b = msgp.AppendUint(b, uint(r.m))
	}
	return b
}

// pack writes MessagePack; times in tinylib's extension.
func pack(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return msgp.AppendNil(b)
	case int:
		return msgp.AppendInt(b, v)
	case int64:
		return msgp.AppendInt64(b, v)
	case uint64:
		return msgp.AppendUint64(b, v)
	case bool:
		return msgp.AppendBool(b, v)
	case string:
		return msgp.AppendString(b, v)
	case []byte:
		return msgp.AppendBytes(b, v)
	case time.Time:
		b = append(b, 0xc7, 12, 5)
		b = binary.BigEndian.AppendUint64(b, uint64(v.Unix()))
		return binary.BigEndian.AppendUint32(b, uint32(v.Nanosecond()))
	case []int:
		b = msgp.AppendArrayHeader(b, uint32(len(v)))
		for _, x := range v {
			b = msgp.AppendInt(b, x)
		}
		return b
	case []int64:
		b = msgp.AppendArrayHeader(b, uint32(len(v)))
		for _, x := range v {
			b = msgp.AppendInt64(b, x)
		}
		return b
	case []any:
		b = msgp.AppendArrayHeader(b, uint32(len(v)))
		for _, x := range v {
			b = pack(b, x)
		}
		return b
	case map[string]any:
		b = msgp.AppendMapHeader(b, uint32(len(v)))
		for k, x := range v { // in any order, as servers do
			b = pack(msgp.AppendString(b, k), x)
		}
		return b
	default:
		panic(fmt.Sprintf("drive: internal error: cannot pack a %T", v))
	}
}

// testData is n bytes that are the same each time.
func testData(seed string, n int) []byte {
	b := make([]byte, n)
	s := sha256.Sum256([]byte(seed))
	r := rand.NewChaCha8(s)
	r.Read(b)
	return b
}
