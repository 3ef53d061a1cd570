package drive

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/objseal/objseal/sse"
)

// legacyDir is where an upgrade puts the parts of a legacy object.
const legacyDir = "legacy"

// xlV1 is metadata as servers wrote it before 2020, in xl.json or in the V1Obj
// of an xl.meta (drive spec section 8).
type xlV1 struct {
	Version, Format string
	Stat            struct {
		Size    int64
		ModTime time.Time
	}
	Erasure struct {
		Algorithm                      string
		Data, Parity, BlockSize, Index int64
		Distribution                   []int64
		Checksum                       []struct{ Name, Algorithm, Hash string }
	}
	Meta  map[string]string
	Parts []xlV1Part

	dataDir string
	sums    map[int]wholeSum
}

type xlV1Part struct {
	Number           int64
	ETag             string
	Size, ActualSize int64
}

func (v *xlV1) addSum(part int64, c wholeSum) {
	if part < 1 || part > maxParts {
		return // of no part
	}
	if v.sums == nil {
		v.sums = make(map[int]wholeSum)
	}
	v.sums[int(part)] = c
}

// parseXLJSON reads an xl.json: one version, the null one.
func parseXLJSON(b []byte) (*xlMeta, error) {
	var v xlV1
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, fmt.Errorf("%w: xl.json: %w", ErrDamaged, err)
	}
	for _, c := range v.Erasure.Checksum {
		number, found := strings.CutPrefix(c.Name, "part.")
		n, err := strconv.ParseInt(number, 10, 32)
		if !found || err != nil {
			continue
		}
		sum, err := hex.DecodeString(c.Hash)
		if err != nil {
			return nil, fmt.Errorf("%w: the hash of part %d is not hexadecimal", ErrDamaged, n)
		}
		v.addSum(n, wholeSum{c.Algorithm, sum})
	}
	r, err := v.record()
	if err != nil {
		return nil, err
	}
	return &xlMeta{entries: []entry{r.legacyEntry()}}, nil
}

func (v *xlV1) record() (*record, error) {
	switch {
	case v.Version != "1.0.0" && v.Version != "1.0.1" || v.Format != "xl":
		return nil, fmt.Errorf("%w: legacy metadata of version %q, format %q", ErrDamaged, cut(v.Version), cut(v.Format))
	case v.Erasure.Algorithm != "" && !strings.Contains(v.Erasure.Algorithm, "vandermonde"): // its name changed around that
		return nil, fmt.Errorf("%w: erasure code %q", ErrUnsupported, cut(v.Erasure.Algorithm))
	}
	r := &record{block: v.Erasure.BlockSize, metadata: v.Meta, sums: v.sums}
	r.kind, r.modTime, r.dataDir = LegacyVersion, v.Stat.ModTime.UnixNano(), v.dataDir
	r.index = int(min(max(v.Erasure.Index, 0), maxShards+1))
	if r.metadata == nil {
		r.metadata = make(map[string]string)
	}
	if sum, ok := r.metadata["md5Sum"]; ok { // what the etag was called at first
		if _, ok := r.metadata["etag"]; !ok {
			r.metadata["etag"] = sum
		}
	}
	for _, p := range v.Parts {
		r.parts = append(r.parts, sse.Part{Number: int(min(max(p.Number, -1), maxParts+1)), Size: p.Size, ActualSize: p.ActualSize})
	}
	return r, r.check(v.Erasure.Data, v.Erasure.Parity, v.Erasure.Distribution, v.Stat.Size)
}

// legacyPrint is the fingerprint of what is equal on every drive.
func (r *record) legacyPrint() uint64 {
	var b []byte
	for _, n := range []int64{r.modTime, r.size, r.block, int64(r.data), int64(r.parity)} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for _, shard := range r.dist {
		b = binary.BigEndian.AppendUint16(b, uint16(shard))
	}
	for _, p := range r.parts {
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(p.Number)), uint64(p.Size))
	}
	print := xxhash.Sum64(b)
	for key, value := range r.metadata {
		print += xxhash.Sum64String(strconv.Itoa(len(key)) + key + value)
	}
	return print
}
