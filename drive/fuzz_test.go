package drive

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"
)

// fuzzDeployment is one set of drives with nothing on them.
func fuzzDeployment(f *testing.F, drives int) *Deployment {
	c := newCluster(f, 1, drives)
	return openDrives(f, nil, c.roots()...)
}

// fuzzMeta reads b as the metadata that every drive has of an object, and all versions of it as far as they go:
// whatever it claims, nothing panics, and no more memory is used than b has bytes for.
func fuzzMeta(t *testing.T, d *Deployment, b []byte, parse func([]byte) (*xlMeta, error)) {
	x, err := parse(b)
	if err != nil {
		if x != nil {
			t.Fatal("metadata and an error")
		}
		return
	}
	if len(x.entries) > len(b) {
		t.Fatalf("%d versions in %d bytes", len(x.entries), len(b))
	}
	for _, e := range x.inline {
		if e.off < 0 || e.n < 0 || e.off+e.n > int64(len(b)) {
			t.Fatalf("inline data at %+v of %d bytes", e, len(b))
		}
	}
	copies := make(map[*mount]copyOf)
	for _, m := range d.placed() {
		copies[m] = copyOf{drive: m, file: xlMetaFile, meta: x}
	}
	o := d.object("bucket", "object", copies)
	if o == nil {
		return
	}
	for _, v := range slices.Concat(o.Versions, o.Unsettled) {
		_, _ = v.Describe()
		_, _ = v.Open(context.Background(), nil, &OpenOptions{InClear: true, Deleted: true, Unsettled: true})
		r, err := v.fetch(context.Background(), 0, v.Size)
		if err != nil {
			continue
		}
		n, err := io.Copy(io.Discard, r)
		if err == nil && n != v.Size || n > v.Size {
			t.Fatalf("%d of %d bytes", n, v.Size)
		}
		r.Close()
	}
}

func FuzzXLMeta(f *testing.F) {
	for _, minor := range minors {
		for header := 1; header <= 3; header++ {
			b, _ := sample1(f, minor, header)
			f.Add(b)
		}
	}
	one, four := fuzzDeployment(f, 1), fuzzDeployment(f, 4)
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzMeta(t, one, b, parse)
		fuzzMeta(t, four, b, parse)
	})
}

// FuzzVersions puts the checksum around the versions right, which FuzzXLMeta seldom gets by.
func FuzzVersions(f *testing.F) {
	b, _ := sample1(f, 3, 3)
	n := bytes.IndexByte(b[13:], 0xce)
	f.Add(b[13 : 13+n])
	one := fuzzDeployment(f, 1)
	f.Fuzz(func(t *testing.T, b []byte) { fuzzMeta(t, one, wrap(b), parse) })
}

// FuzzInline puts any bytes in the place of inline data.
func FuzzInline(f *testing.F) {
	for _, header := range []int{2, 3} {
		b, _ := sample1(f, 3, header)
		at := bytes.Index(b, []byte("\x01\x82\xd9\x24"))
		f.Add(b[at:])
	}
	b, data := sample1(f, 3, 3)
	head := b[:bytes.Index(b, []byte("\x01\x82\xd9\x24"))]
	one := fuzzDeployment(f, 1)
	f.Fuzz(func(t *testing.T, tail []byte) {
		b := append(slices.Clone(head), tail...)
		fuzzMeta(t, one, b, parse)
		x, err := parse(b)
		if err != nil {
			return
		}
		m := one.placed()[0]
		o := one.object("bucket", "object", map[*mount]copyOf{m: {drive: m, file: xlMetaFile, meta: x}})
		for i, v := range o.Versions {
			if got, _, err := stored(t, v); err == nil && !bytes.Equal(got, data[i]) && len(got) == 0 {
				t.Fatal("nothing was read for data")
			}
		}
	})
}

func FuzzXLJSON(f *testing.F) {
	f.Add([]byte(`{"version":"1.0.1","format":"xl","stat":{"size":3,"modTime":"2019-01-02T03:04:05Z"},"erasure":{"algorithm":"klauspost/reedsolomon/vandermonde","data":1,"parity":0,"blockSize":10485760,"index":1,"distribution":[1],"checksum":[{"name":"part.1","algorithm":"blake2b","hash":"00"}]},"minio":{"release":"x"},"meta":{"etag":"x"},"parts":[{"number":1,"name":"part.1","etag":"","size":3,"actualSize":3}]}`))
	one := fuzzDeployment(f, 1)
	f.Fuzz(func(t *testing.T, b []byte) { fuzzMeta(t, one, b, parseXLJSON) })
}

func FuzzFormat(f *testing.F) {
	f.Add([]byte(`{"version":"1","format":"xl","id":"I","xl":{"version":"3","this":"a","sets":[["a","b"],["c","d"]],"distributionAlgo":"SIPMOD+PARITY"}}`))
	f.Add([]byte(`{"version":"1","format":"xl","xl":{"version":"1","drive":"a","jbod":["b","a"]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseFormat(b)
		if err != nil {
			return
		}
		found := 0
		for _, set := range p.sets {
			if len(set) == 0 || len(set) > maxShards {
				t.Fatalf("a set of %d", len(set))
			}
			for _, id := range set {
				if id == p.this {
					found++
				}
			}
		}
		if found != 1 {
			t.Fatalf("this drive is in the sets %d times", found)
		}
		samePool(p.sets, p.sets)
	})
}

// FuzzShard reads any bytes as a shard of any geometry.
func FuzzShard(f *testing.F) {
	v := &version{m: 2, n: 1, block: 100, parts: [][]byte{testData("shard", 250)}}
	f.Add(framed(v.shards(f, v.parts[0])[0]), uint8(2), uint32(100), uint32(250), uint8(0))
	f.Add([]byte{}, uint8(1), uint32(1), uint32(1), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, data uint8, block, size uint32, first uint8) {
		g := geometry{int(data) + 1, int64(block%maxBlockSize) + 1, int64(size) + 1}
		if int64(first) >= g.blocks() {
			return
		}
		s := &shard{source: &source{mem: b, held: true}, r: bytes.NewReader(b), size: int64(len(b)), opened: true, hash: hashSize}
		count := min(g.blocks()-int64(first), 64)
		r := s.read(g, int64(first), count)
		for i, err := range r.errs {
			block := int64(first) + int64(i)
			if frame := r.frame(g, block); err == nil && (int64(len(frame)) != g.piece(block)+hashSize || !pieceIntact(frame)) {
				t.Fatalf("block %d: a frame of %d bytes", block, len(frame))
			}
		}
	})
}

// FuzzPartRecord reads the record of a part of an unfinished upload.
func FuzzPartRecord(f *testing.F) {
	f.Add(pack(nil, map[string]any{"e": "etag", "n": 5, "s": 100, "as": 90, "mt": 7, "i": []byte("index"), "crc": map[string]any{"CRC32": "x"}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		u := unpacker{b: b}
		if u.legacyPart(); u.err != nil && u.b != nil {
			t.Fatal("bytes are left after an error")
		}
	})
}
