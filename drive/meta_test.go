package drive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/tinylib/msgp/msgp"

	"github.com/objseal/objseal/sse"
)

// minors of xl.meta; no server here writes the first three.
var minors = []int{0, 1, 2, 3}

// TestSyntheticMinors: every minor version, in files and inline, with versions of each kind.
func TestSyntheticMinors(t *testing.T) {
	for _, minor := range minors {
		for _, inline := range []bool{false, true} {
			if inline && minor == 0 {
				continue // not invented yet
			}
			t.Run(fmt.Sprintf("minor=%d,inline=%v", minor, inline), func(t *testing.T) {
				c := newCluster(t, 1, 4)
				data := [][]byte{testData("new", 3000), testData("old", 70_000), testData("null", 1)}
				c.put(0, "bucket", "object", minor,
					&version{kind: DeleteMarker, id: testUUID(3), modTime: 4e18},
					&version{id: testUUID(2), modTime: 3e18, parts: data[:1], inline: inline, usr: map[string]string{"etag": "0123", "Content-Type": "text/x"}},
					&version{id: testUUID(1), modTime: 2e18, parts: data[1:2], inline: inline},
					&version{modTime: 1e18, parts: data[2:], inline: inline})
				d := c.open(c.without([]int{1, 2})...)
				o := lookup(t, d, "bucket", "object")
				if len(o.Versions) != 4 || len(o.Unsettled)+len(o.Findings) > 0 {
					t.Fatalf("%d versions, %d unsettled, %v", len(o.Versions), len(o.Unsettled), o.Findings)
				}
				if v := o.Latest(); v.Type != DeleteMarker || v.ID != testUUID(3) || !v.ModTime.Equal(time.Unix(0, 4e18)) {
					t.Errorf("latest %+v", v)
				}
				for i, id := range []string{testUUID(2), testUUID(1), NullVersion} {
					v := o.Version(id)
					if v == nil || v != o.Versions[i+1] || v.IsLatest {
						t.Fatalf("version %s: %+v", id, v)
					}
					if b, _, err := stored(t, v); err != nil || !bytes.Equal(b, data[i]) || v.Inline != inline {
						t.Errorf("version %s: %d bytes, inline %v, %v", id, len(b), v.Inline, err)
					}
				}
				v := o.Version(testUUID(2))
				if ct, ok := v.Meta("content-type"); !ok || ct != "text/x" || v.ETag() != "0123" {
					t.Errorf("content type %q, ETag %q", ct, v.ETag())
				}
			})
		}
	}
}

// sample1 is a single drive's xl.meta of two versions with inline data, and these.
func sample1(t testing.TB, minor, headerVersion int) ([]byte, [][]byte) {
	data := [][]byte{testData("one", 500), testData("two", 900)}
	var records []record2
	for i, id := range []string{testUUID(1), ""} {
		v := &version{id: id, m: 1, parts: [][]byte{data[i]}, inline: minor > 0, modTime: int64(2-i) * 1e18}
		v.fill("bucket", "object", 1)
		r := record2{version: v, inline: map[string][]byte{}, fields: v.record(0, 1, nil)}
		if minor > 0 {
			r.inline[v.inlineKey()] = framed(v.shards(t, data[i])[0])
		}
		records = append(records, r)
	}
	return container(minor, headerVersion, records), data
}

func parse(b []byte) (*xlMeta, error) { return readXLMeta(bytes.NewReader(b), int64(len(b))) }

func TestContainer(t *testing.T) {
	for _, minor := range minors {
		for header := 1; header <= 3; header++ {
			b, _ := sample1(t, minor, header)
			x, err := parse(b)
			if err != nil || len(x.entries) != 2 || x.broken != "" {
				t.Fatalf("minor %d, header %d: %+v, %v", minor, header, x, err)
			}
			if minor > 0 && len(x.inline) != 2 {
				t.Errorf("minor %d: inline %v", minor, x.inline)
			}
			if minor == 0 {
				text := slices.Clone(b)
				copy(text[4:], "1   ")
				if x, err := parse(text); err != nil || len(x.entries) != 2 {
					t.Errorf("version in text: %v", err)
				}
			}
			// Cut anywhere: refused, or what is left of the inline data.
			for n := range b {
				x, err := parse(b[:n])
				if err == nil && (minor == 0 || len(x.entries) != 2) {
					t.Fatalf("minor %d, cut at %d: %d versions", minor, n, len(x.entries))
				}
				if err != nil && !errors.Is(err, ErrDamaged) {
					t.Fatalf("minor %d, cut at %d: %v", minor, n, err)
				}
			}
		}
	}
}

func TestContainerRefused(t *testing.T) {
	good, _ := sample1(t, 3, 3)
	edit := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	bodyAt := 13
	body := int(binary.BigEndian.Uint32(good[9:]))
	inlineAt := bodyAt + body + 5
	for name, test := range map[string]struct {
		b    []byte
		want error
	}{
		"major 2":             {edit(func(b []byte) []byte { b[4] = 2; return b }), ErrUnsupported},
		"major 0":             {edit(func(b []byte) []byte { b[4] = 0; return b }), ErrUnsupported},
		"minor 4":             {edit(func(b []byte) []byte { b[6] = 4; return b }), ErrUnsupported},
		"header version 4":    {edit(func(b []byte) []byte { b[bodyAt] = 4; return resum(b) }), ErrUnsupported},
		"record version 4":    {edit(func(b []byte) []byte { b[bodyAt+1] = 4; return resum(b) }), ErrUnsupported},
		"checksum":            {edit(flip(inlineAt - 1)), ErrDamaged},
		"content":             {edit(flip(bodyAt + 40)), ErrDamaged},
		"inline version 2":    {edit(func(b []byte) []byte { b[inlineAt] = 2; return b }), ErrUnsupported},
		"no magic":            {edit(func(b []byte) []byte { b[0] = 'x'; return b }), ErrDamaged},
		"8 bytes":             {good[:8], ErrDamaged},
		"nothing":             {nil, ErrDamaged},
		"2^32-1 bytes":        {append(slices.Clone(good[:8]), 0xc6, 0xff, 0xff, 0xff, 0xff, 1), ErrUnsupported},
		"2^25 bytes":          {append(slices.Clone(good[:8]), 0xc6, 2, 0, 0, 0, 1), ErrDamaged},
		"2^62 versions":       {wrap([]byte{3, 3, 0xcf, 0x40, 0, 0, 0, 0, 0, 0, 0}), ErrDamaged},
		"-1 versions":         {wrap([]byte{3, 3, 0xff}), ErrDamaged},
		"header of 3":         {wrap(append([]byte{3, 3, 1}, msgp.AppendBytes(msgp.AppendBytes(nil, []byte{0x93, 1, 2, 3}), []byte{0x80})...)), ErrDamaged},
		"a version of type 9": {wrap(append([]byte{3, 3, 1}, msgp.AppendBytes(msgp.AppendBytes(nil, nil), pack(nil, map[string]any{"Type": 9, "V2Obj": map[string]any{}}))...)), ErrUnsupported},
		"two records":         {wrap(append([]byte{3, 3, 1}, msgp.AppendBytes(msgp.AppendBytes(nil, nil), pack(nil, map[string]any{"V1Obj": map[string]any{}, "V2Obj": map[string]any{}}))...)), ErrDamaged},
	} {
		if _, err := parse(test.b); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if x, err := parse(append(slices.Clone(good), "trailing"...)); err != nil || len(x.inline) != 2 {
		t.Errorf("trailing bytes: %v", err)
	}
	if x, err := parse(wrap([]byte{3, 3, 0})); err != nil || len(x.entries) != 0 {
		t.Errorf("no versions: %v", err)
	}
}

// wrap makes an xl.meta of minor 3 of its versions' bytes.
func wrap(body []byte) []byte {
	b := append([]byte("XL2 \x01\x00\x03\x00\xc6"), binary.BigEndian.AppendUint32(nil, uint32(len(body)))...)
	b = append(b, body...)
	return resum(append(b, 0xce, 0, 0, 0, 0))
}

// resum makes the checksum right again.
func resum(b []byte) []byte {
	n := int(binary.BigEndian.Uint32(b[9:]))
	binary.BigEndian.PutUint32(b[13+n+1:], uint32(xxhash.Sum64(b[13:13+n])))
	return b
}

// TestBrokenInline: what comes before the damage in the map is used.
func TestBrokenInline(t *testing.T) {
	good, data := sample1(t, 3, 3)
	// The map is sorted: the uuid first, then null.
	at := bytes.LastIndex(good, []byte("\xa4null"))
	c := newCluster(t, 1, 1)
	for name, edit := range map[string]func(b []byte) []byte{
		"cut":        func(b []byte) []byte { return b[:at+3] },
		"cut data":   func(b []byte) []byte { return b[:at+60] },
		"no string":  flip(at),
		"no bytes":   flip(at + 5),
		"longer bin": func(b []byte) []byte { b[at+6] = 0xff; return b },
	} {
		c.write(c.root(0, 0), "bucket/object/xl.meta", edit(slices.Clone(good)))
		o := lookup(t, c.open(), "bucket", "object")
		if len(o.Findings) != 1 || o.Findings[0].Problem != MetadataDamaged {
			t.Errorf("%s: %v", name, o.Findings)
		}
		if b, _, err := stored(t, o.Version(testUUID(1))); err != nil || !bytes.Equal(b, data[0]) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		if _, _, err := stored(t, o.Version(NullVersion)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: null version: %v", name, err)
		}
	}
}

// TestInlineKeys: under the id of the data directory, as early servers wrote it; an
// empty entry of the right id does not count.
func TestInlineKeys(t *testing.T) {
	c := newCluster(t, 1, 4)
	v := &version{id: testUUID(5), parts: [][]byte{testData("early", 1234)}, inline: true, dataDir: testUUID(6)}
	v.inlineBy = v.dataDir
	c.put(0, "bucket", "object", 3, v)
	if b, _, err := stored(t, latest(t, c.open(), "bucket", "object")); err != nil || !bytes.Equal(b, v.parts[0]) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestLargeInline reads inline data that is not kept, from a file over wholeFile.
func TestLargeInline(t *testing.T) {
	c := newCluster(t, 1, 2)
	a := &version{id: testUUID(5), parts: [][]byte{testData("a", wholeFile)}, inline: true}
	b := &version{id: testUUID(6), parts: [][]byte{testData("b", 3<<20)}, inline: true}
	c.put(0, "bucket", "object", 3, a, b)
	o := lookup(t, c.open(c.root(0, 1)), "bucket", "object")
	for _, v := range []*version{a, b} {
		if got, _, err := stored(t, o.Version(v.id)); err != nil || !bytes.Equal(got, v.parts[0]) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

// TestRecordRefused: what specification section 11 refuses is told, the object's other version is read.
func TestRecordRefused(t *testing.T) {
	huge := int64(1) << 60
	for name, test := range map[string]struct {
		set  map[string]any
		want error
	}{
		"erasure code":           {map[string]any{"EcAlgo": 2}, ErrUnsupported},
		"bitrot hash":            {map[string]any{"CSumAlgo": 2}, ErrUnsupported},
		"no data shards":         {map[string]any{"EcM": 0}, ErrDamaged},
		"negative parity":        {map[string]any{"EcN": -1}, ErrDamaged},
		"more parity than data":  {map[string]any{"EcM": 1, "EcN": 3}, ErrDamaged},
		"257 shards":             {map[string]any{"EcM": 129, "EcN": 128}, ErrDamaged},
		"2^60 shards":            {map[string]any{"EcM": huge, "EcN": huge}, ErrDamaged},
		"no blocks":              {map[string]any{"EcBSize": 0}, ErrDamaged},
		"blocks of 2^60":         {map[string]any{"EcBSize": huge}, ErrDamaged},
		"distribution short":     {map[string]any{"EcDist": []int{1, 2}}, ErrDamaged},
		"distribution twice":     {map[string]any{"EcDist": []int{1, 1, 2, 3}}, ErrDamaged},
		"distribution range":     {map[string]any{"EcDist": []int{0, 1, 2, 3}}, ErrDamaged},
		"another set":            {map[string]any{"EcM": 3, "EcN": 3, "EcDist": []int{1, 2, 3, 4, 5, 6}}, ErrDamaged},
		"parts of two lengths":   {map[string]any{"PartNums": []int{1, 2}}, ErrDamaged},
		"actual of two lengths":  {map[string]any{"PartASizes": []int{1, 2}}, ErrDamaged},
		"part number 0":          {map[string]any{"PartNums": []int{0}}, ErrDamaged},
		"a part of -1":           {map[string]any{"PartSizes": []int{-1}, "Size": -1}, ErrDamaged},
		"a part of 2^60":         {map[string]any{"PartSizes": []int64{huge}, "Size": huge}, ErrDamaged},
		"size of 2^60":           {map[string]any{"Size": huge}, ErrDamaged},
		"size of parts differs":  {map[string]any{"Size": 99}, ErrDamaged},
		"a part larger than its": {map[string]any{"PartSizes": []int64{1 << 47}, "Size": int64(1 << 47)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, 4)
			bad := &version{id: testUUID(2), modTime: 2e18, parts: [][]byte{testData("x", 100)}}
			bad.mutate = func(_ int, fields map[string]any) {
				for k, v := range test.set {
					fields[k] = v
				}
			}
			good := &version{id: testUUID(1), modTime: 1e18, parts: [][]byte{testData("y", 100)}}
			c.put(0, "bucket", "object", 3, bad, good)
			o := lookup(t, c.open(), "bucket", "object")
			v := o.Version(testUUID(2))
			if v == nil {
				t.Fatalf("the version is not there; unsettled %v", o.Unsettled)
			}
			_, err := v.Open(t.Context(), nil, nil)
			if test.want == nil { // reading finds out
				if _, _, err = stored(t, v); !errors.Is(err, ErrDamaged) {
					t.Errorf("%v", err)
				}
			} else if !errors.Is(err, test.want) || KindOf(err) == sse.KindNone {
				t.Errorf("%v, want %v", err, test.want)
			}
			if b, _, err := stored(t, o.Version(testUUID(1))); err != nil || !bytes.Equal(b, good.parts[0]) {
				t.Errorf("the good version: %v", err)
			}
		})
	}
}

// TestManyParts: 2^60 parts do not fit, 10001 are one too many.
func TestManyParts(t *testing.T) {
	c := newCluster(t, 1, 1)
	v := &version{m: 1}
	for range maxParts + 1 {
		v.parts = append(v.parts, nil)
	}
	c.put(0, "bucket", "object", 3, v)
	if _, err := latest(t, c.open(), "bucket", "object").Open(t.Context(), nil, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
	u := unpacker{b: []byte{0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2}}
	if u.ints(); !errors.Is(u.err, ErrDamaged) {
		t.Errorf("%v", u.err)
	}
	u = unpacker{b: []byte{0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2}}
	if u.fields(); !errors.Is(u.err, ErrDamaged) {
		t.Errorf("%v", u.err)
	}
}

// TestIntegerForms: servers and readers may use any width and sign.
func TestIntegerForms(t *testing.T) {
	for _, b := range [][]byte{{7}, {0xcc, 7}, {0xcd, 0, 7}, {0xce, 0, 0, 0, 7}, {0xcf, 0, 0, 0, 0, 0, 0, 0, 7}, {0xd0, 7}, {0xd1, 0, 7}, {0xd2, 0, 0, 0, 7}, {0xd3, 0, 0, 0, 0, 0, 0, 0, 7}} {
		u := unpacker{b: b}
		if n := u.int(); n != 7 || u.err != nil {
			t.Errorf("% x: %d, %v", b, n, u.err)
		}
		u = unpacker{b: b}
		if n := u.uint(); n != 7 || u.err != nil {
			t.Errorf("% x: %d, %v", b, n, u.err)
		}
	}
}

// TestSyntheticLegacy: xl.json, and the same after an upgrade; each bitrot hash, blocks of
// 10 MiB and small ones; the last with a single PUT that the server split.
func TestSyntheticLegacy(t *testing.T) {
	for _, minor := range []int{xlJSON, 0, 3} {
		for _, bitrot := range []string{"sha256", "blake2b", "highwayhash256", streaming} {
			t.Run(fmt.Sprintf("minor=%d,bitrot=%s", minor, bitrot), func(t *testing.T) {
				c := newCluster(t, 1, 4)
				block := 64 << 10
				if minor == xlJSON && bitrot == "highwayhash256" {
					block = 10 << 20 // what servers wrote
				}
				v := &version{kind: LegacyVersion, bitrot: bitrot, block: int64(block), usr: map[string]string{"md5Sum": "abc", "X-Amz-Meta-A": "b"},
					parts: [][]byte{testData("1", block+1), testData("2", 1), testData("3", 77_777)}}
				c.put(0, "bucket", "some/object", minor, v)
				want := bytes.Join(v.parts, nil)
				got := latest(t, c.open(c.without([]int{0, 2})...), "bucket", "some/object")
				if b, found, err := stored(t, got); err != nil || !bytes.Equal(b, want) || len(found) > 0 {
					t.Errorf("%d bytes, %v, %v", len(b), found, err)
				}
				if got.Type != LegacyVersion || got.ID != NullVersion || got.ETag() != "abc" || !got.IsLatest || !got.ModTime.Equal(time.Unix(0, v.modTime)) || got.Size != int64(len(want)) {
					t.Errorf("%+v", got)
				}

				// A bad shard is of no use for its part, and told.
				path := filepath.Join(c.root(0, slices.Index(v.dist, 1)), "bucket/some/object", v.partDir(minor), "part.3")
				change(t, path, flip(200))
				b, found, err := stored(t, latest(t, c.open(), "bucket", "some/object"))
				if err != nil || !bytes.Equal(b, want) || len(found) != 1 || found[0].Problem != ShardDamaged || found[0].Part != 3 {
					t.Errorf("damaged: %d bytes, %v, %v", len(b), found, err)
				}
				if bitrot == streaming {
					return
				}
				change(t, path, func(b []byte) []byte { return append(flip(200)(b), 0) })
				if _, found, err := stored(t, latest(t, c.open(), "bucket", "some/object")); err != nil || len(found) != 1 {
					t.Errorf("longer: %v, %v", found, err)
				}
			})
		}
	}
}

func TestLegacyRefused(t *testing.T) {
	for name, test := range map[string]struct{ old, new string }{
		"version":      {`"1.0.1"`, `"2.0.0"`},
		"format":       {`"xl"`, `"fs"`},
		"data":         {`"data":1`, `"data":0`},
		"parity":       {`"parity":0`, `"parity":2`},
		"negative":     {`"parity":0`, `"parity":-1`},
		"distribution": {`"distribution":[1]`, `"distribution":[2]`},
		"size":         {`Z","size":10}`, `Z","size":11}`},
		"part size":    {`"size":10}],`, `"size":-10}],`},
		"hash":         {`"hash":"`, `"hash":"x`},
		"text":         {`{`, `[`},
	} {
		c := newCluster(t, 1, 1)
		c.put(0, "bucket", "object", xlJSON, &version{kind: LegacyVersion, m: 1, bitrot: "sha256", parts: [][]byte{testData("1", 10)}})
		path := filepath.Join(c.root(0, 0), "bucket/object/xl.json")
		change(t, path, func(b []byte) []byte {
			if !bytes.Contains(b, []byte(test.old)) {
				t.Fatalf("%s: no %s in %s", name, test.old, b)
			}
			return bytes.Replace(b, []byte(test.old), []byte(test.new), 1)
		})
		o := lookup(t, c.open(), "bucket", "object")
		if len(o.Versions) != 0 || len(o.Findings) != 1 || o.Findings[0].Problem != MetadataDamaged {
			t.Errorf("%s: %+v", name, o)
		}
	}
	// An unknown hash makes a shard of no use.
	c := newCluster(t, 1, 1)
	c.put(0, "bucket", "object", xlJSON, &version{kind: LegacyVersion, m: 1, bitrot: "sha256", parts: [][]byte{testData("1", 10)}})
	change(t, filepath.Join(c.root(0, 0), "bucket/object/xl.json"), func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), "sha256", "sha257")) })
	if _, _, err := stored(t, latest(t, c.open(), "bucket", "object")); !errors.Is(err, ErrDamaged) {
		t.Errorf("sha257: %v", err)
	}
}

// TestBackup: xl.meta.bkp stands in for an xl.meta that cannot be used.
func TestBackup(t *testing.T) {
	c := newCluster(t, 1, 1)
	v := &version{m: 1, parts: [][]byte{testData("x", 10)}}
	c.put(0, "bucket", "object", 3, v)
	path := filepath.Join(c.root(0, 0), "bucket/object/xl.meta")
	b, err := os.ReadFile(path)
	must(t, err)
	c.write(c.root(0, 0), "bucket/object/xl.meta.bkp", b)
	c.write(c.root(0, 0), join("bucket/object", v.dataDir, "xl.meta.bkp"), b)
	change(t, path, flip(30))
	d := c.open()
	o := lookup(t, d, "bucket", "object")
	if got, _, err := stored(t, o.Latest()); err != nil || !bytes.Equal(got, v.parts[0]) || len(o.Findings) != 1 {
		t.Errorf("%d bytes, %v, %v", len(got), o.Findings, err)
	}
	must(t, os.Remove(path))
	must(t, os.Remove(path+".bkp"))
	must(t, d.Walk(t.Context(), nil, func(o *Object) error {
		t.Errorf("%s/%s", o.Bucket, o.Name)
		return nil
	}))
}
