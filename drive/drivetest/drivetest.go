// Package drivetest writes drives for tests, as a MinIO server of today would have
// left them: erasure sets, versions, delete markers, inline data and parts, sealed or
// not. They are synthetic, made from the specification; what real
// servers wrote is in the golden data.
//
// Start with [New], then [Cluster.Put].
package drivetest

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/reedsolomon"
	"github.com/minio/highwayhash"
	"github.com/tinylib/msgp/msgp"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// A Cluster is a pool of drives below one directory. Its methods end the test if
// they fail. They are safe for concurrent use for different objects.
type Cluster struct {
	tb   testing.TB
	dir  string
	sets [][]string // drive ids
}

// New makes a cluster below a directory, of as many sets of as many drives each.
func New(tb testing.TB, dir string, sets, drives int) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb, dir: dir}
	for s := range sets {
		var ids []string
		for d := range drives {
			ids = append(ids, uuid(uint64(1000*s+d+1)))
		}
		c.sets = append(c.sets, ids)
	}
	for s, ids := range c.sets {
		for d, id := range ids {
			text, err := json.Marshal(map[string]any{"version": "1", "format": "xl", "id": uuid(7),
				"xl": map[string]any{"version": "3", "this": id, "sets": c.sets, "distributionAlgo": "SIPMOD+PARITY"}})
			if err != nil {
				tb.Fatal(err)
			}
			c.write(filepath.Join(c.Drive(s, d), ".minio.sys", "format.json"), text)
		}
	}
	return c
}

// Drive is the root of a drive, by set and slot, from 0.
func (c *Cluster) Drive(set, slot int) string {
	return filepath.Join(c.dir, fmt.Sprintf("set%d-drive%d", set+1, slot+1))
}

// Drives are the roots of all.
func (c *Cluster) Drives() (roots []string) {
	for s, ids := range c.sets {
		for d := range ids {
			roots = append(roots, c.Drive(s, d))
		}
	}
	return roots
}

// A Version is one version of an object to be written.
type Version struct {
	ID      string // uuid; empty: the null version
	Deleted bool   // a delete marker
	ModTime time.Time
	// Parts are the stored bytes; one, or those of a multipart object. They are numbered from 1.
	Parts [][]byte
	// Actual are the plaintext sizes of the parts, if they are others.
	Actual   []int64
	Metadata map[string]string
	// Inline puts the one part into xl.meta.
	Inline bool
}

// Sealed is a version of plaintext, encrypted as the request says and without an ID.
func Sealed(tb testing.TB, client *kms.Client, r sse.Request, bucket, object, plaintext string) Version {
	tb.Helper()
	up, err := sse.Encrypt(context.Background(), client, r, sse.ObjectName{Bucket: bucket, Object: object}, strings.NewReader(plaintext), nil)
	if err != nil {
		tb.Fatal(err)
	}
	stored, err := io.ReadAll(up)
	if err != nil {
		tb.Fatal(err)
	}
	metadata, err := up.Metadata()
	if err != nil {
		tb.Fatal(err)
	}
	return Version{Parts: [][]byte{stored}, Actual: []int64{int64(len(plaintext))}, Metadata: metadata, Inline: true}
}

// Put writes an object with its versions, newest first, to the set that its name gives.
func (c *Cluster) Put(bucket, object string, versions ...Version) {
	c.tb.Helper()
	dir := object
	if base, ok := strings.CutSuffix(object, "/"); ok {
		dir = base + "__XLDIR__"
	}
	set := int(xxhash.Sum64String(dir) % uint64(len(c.sets)))
	drives := len(c.sets[set])
	parity := drives / 2
	data := drives - parity
	start := int(crc32.ChecksumIEEE([]byte(bucket+"/"+dir))) % drives
	dist := make([]int, drives)
	for i := range dist {
		dist[i] = 1 + (start+i+1)%drives
	}
	shards := make([][][][]byte, len(versions)) // by version, part, shard
	for i, v := range versions {
		for _, p := range v.Parts {
			shards[i] = append(shards[i], c.encode(p, data, parity))
		}
	}
	for slot := range drives {
		at := filepath.Join(c.Drive(set, slot), bucket, dir)
		inline := make(map[string][]byte)
		var records []record
		for i, v := range versions {
			r := record{v, data, parity, dist, dist[slot], uuid(xxhash.Sum64String(fmt.Sprint(dir, v.ID, i)))}
			records = append(records, r)
			for p := range v.Parts {
				b := shards[i][p][dist[slot]-1]
				if v.Inline {
					inline[r.key()] = b
				} else if len(b) > 0 {
					c.write(filepath.Join(at, r.dataDir, fmt.Sprintf("part.%d", p+1)), b)
				}
			}
		}
		c.write(filepath.Join(at, "xl.meta"), container(records, inline))
	}
}

func (c *Cluster) write(name string, b []byte) {
	c.tb.Helper()
	err := os.WriteFile(name, b, 0o600)
	if os.IsNotExist(err) {
		if err = os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
			err = os.WriteFile(name, b, 0o600)
		}
	}
	if err != nil {
		c.tb.Fatal(err)
	}
}

const blockSize = 1 << 20

// bitrotKey is HighwayHash-256, without a key, of the first hundred decimals of pi
// (drive spec section 6).
var bitrotKey, _ = hex.DecodeString("4be734fa8e238acd263e83e6bb968552040f935da39f441497e09d1322de36a0")

// encode cuts a part into the files of its shards, with their hashes.
func (c *Cluster) encode(part []byte, data, parity int) [][]byte {
	files := make([][]byte, data+parity)
	for len(part) > 0 {
		block := part[:min(len(part), blockSize)]
		part = part[len(block):]
		piece := (len(block) + data - 1) / data
		padded := make([]byte, piece*(data+parity))
		copy(padded, block)
		var pieces [][]byte
		for i := range files {
			pieces = append(pieces, padded[i*piece:(i+1)*piece:(i+1)*piece])
		}
		if parity > 0 {
			code, err := reedsolomon.New(data, parity)
			if err == nil {
				err = code.Encode(pieces)
			}
			if err != nil {
				c.tb.Fatal(err)
			}
		}
		for i, p := range pieces {
			sum := highwayhash.Sum(p, bitrotKey)
			files[i] = append(append(files[i], sum[:]...), p...)
		}
	}
	return files
}

// record is a version on one drive.
type record struct {
	Version
	data, parity int
	dist         []int
	index        int
	dataDir      string
}

func (r *record) key() string {
	if r.ID == "" {
		return "null"
	}
	return r.ID
}

func (r *record) modTime() int64 {
	if r.ModTime.IsZero() {
		return 1_700_000_000_000_000_000
	}
	return r.ModTime.UnixNano()
}

func (r *record) header() []byte {
	kind, flags := 1, uint(0)
	if r.Deleted {
		kind = 2
	}
	if r.Inline {
		flags = 4
	}
	b := msgp.AppendArrayHeader(nil, 7)
	b = msgp.AppendBytes(b, id(r.ID))
	b = msgp.AppendInt64(b, r.modTime())
	b = msgp.AppendBytes(b, []byte{1, 2, 3, 4})
	b = msgp.AppendInt(b, kind)
	b = msgp.AppendUint(b, flags)
	parity, data := r.parity, r.data
	if r.Deleted {
		parity, data = 0, 0
	}
	return msgp.AppendInt(msgp.AppendInt(b, parity), data)
}

// body is the version itself (drive spec section 3.1).
func (r *record) body() []byte {
	b := msgp.AppendMapHeader(nil, 3)
	if r.Deleted {
		b = msgp.AppendInt(msgp.AppendString(b, "Type"), 2)
		b = msgp.AppendMapHeader(msgp.AppendString(b, "DelObj"), 3)
		b = msgp.AppendBytes(msgp.AppendString(b, "ID"), id(r.ID))
		b = msgp.AppendInt64(msgp.AppendString(b, "MTime"), r.modTime())
		b = msgp.AppendMapHeader(msgp.AppendString(b, "MetaSys"), uint32(len(r.Metadata)))
		for name, value := range r.Metadata {
			b = msgp.AppendBytes(msgp.AppendString(b, name), []byte(value))
		}
		return msgp.AppendInt(msgp.AppendString(b, "v"), 1700000000)
	}
	numbers, sizes, actual := []int{}, []int{}, []int{}
	total := 0
	for i, p := range r.Parts {
		numbers, sizes, actual = append(numbers, i+1), append(sizes, len(p)), append(actual, len(p))
		if i < len(r.Actual) {
			actual[i] = int(r.Actual[i])
		}
		total += len(p)
	}
	var sys, usr [][2]string
	for name, value := range r.Metadata {
		if strings.HasPrefix(strings.ToLower(name), "x-minio-internal-") {
			sys = append(sys, [2]string{name, value})
		} else {
			usr = append(usr, [2]string{name, value})
		}
	}
	b = msgp.AppendInt(msgp.AppendString(b, "Type"), 1)
	b = msgp.AppendMapHeader(msgp.AppendString(b, "V2Obj"), 16)
	b = msgp.AppendBytes(msgp.AppendString(b, "ID"), id(r.ID))
	b = msgp.AppendBytes(msgp.AppendString(b, "DDir"), id(r.dataDir))
	for _, f := range []struct {
		name  string
		value int
	}{{"EcAlgo", 1}, {"EcM", r.data}, {"EcN", r.parity}, {"EcBSize", blockSize}, {"EcIndex", r.index}, {"CSumAlgo", 1}, {"Size", total}} {
		b = msgp.AppendInt(msgp.AppendString(b, f.name), f.value)
	}
	for _, f := range []struct {
		name   string
		values []int
	}{{"EcDist", r.dist}, {"PartNums", numbers}, {"PartSizes", sizes}, {"PartASizes", actual}} {
		b = msgp.AppendArrayHeader(msgp.AppendString(b, f.name), uint32(len(f.values)))
		for _, v := range f.values {
			b = msgp.AppendInt(b, v)
		}
	}
	b = msgp.AppendInt64(msgp.AppendString(b, "MTime"), r.modTime())
	b = msgp.AppendMapHeader(msgp.AppendString(b, "MetaSys"), uint32(len(sys)))
	for _, e := range sys {
		b = msgp.AppendBytes(msgp.AppendString(b, e[0]), []byte(e[1]))
	}
	b = msgp.AppendMapHeader(msgp.AppendString(b, "MetaUsr"), uint32(len(usr)))
	for _, e := range usr {
		b = msgp.AppendString(msgp.AppendString(b, e[0]), e[1])
	}
	return msgp.AppendInt(msgp.AppendString(b, "v"), 1700000000)
}

// container is an xl.meta of minor version 3 (drive spec section 3).
func container(records []record, inline map[string][]byte) []byte {
	body := msgp.AppendInt(msgp.AppendUint(msgp.AppendUint(nil, 3), 3), len(records))
	for _, r := range records {
		body = msgp.AppendBytes(msgp.AppendBytes(body, r.header()), r.body())
	}
	b := append([]byte("XL2 "), 1, 0, 3, 0, 0xc6)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
	b = binary.BigEndian.AppendUint32(append(b, 0xce), uint32(xxhash.Sum64(body)))
	if len(inline) == 0 {
		return b
	}
	b = msgp.AppendMapHeader(append(b, 1), uint32(len(inline)))
	var keys []string
	for key := range inline {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		b = msgp.AppendBytes(msgp.AppendString(b, key), inline[key])
	}
	return b
}

func uuid(n uint64) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(n), n>>16)
}

// id is the binary form of a uuid; zero for the null version.
func id(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 {
		return make([]byte, 16)
	}
	return b
}
