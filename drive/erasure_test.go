package drive

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/objseal/objseal/sse"
)

// stored reads all stored bytes of a version.
func stored(t testing.TB, v *Version) ([]byte, []Finding, error) {
	t.Helper()
	r, err := v.fetch(context.Background(), 0, v.Size)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return b, r.Findings(), err
}

func lookup(t testing.TB, d *Deployment, bucket, object string) *Object {
	t.Helper()
	o, err := d.Lookup(context.Background(), bucket, object)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func latest(t testing.TB, d *Deployment, bucket, object string) *Version {
	t.Helper()
	v := lookup(t, d, bucket, object).Latest()
	if v == nil {
		t.Fatalf("%s/%s has no latest version", bucket, object)
	}
	return v
}

var codes = [][2]int{{1, 0}, {2, 2}, {3, 1}, {4, 4}, {8, 4}, {12, 4}}

// TestSizes crosses codes and sizes of specification section 12, inline and in files,
// with blocks of 64 KiB so that the edges of blocks are many.
func TestSizes(t *testing.T) {
	const block = 64 << 10
	for _, code := range codes {
		m, n := code[0], code[1]
		t.Run(fmt.Sprintf("data=%d,parity=%d", m, n), func(t *testing.T) {
			c := newCluster(t, 1, m+n)
			sizes := []int{0, 1, m - 1, m, m + 1, block - 1, block, block + 1, 10*block + 1}
			for _, inline := range []bool{false, true} {
				for _, size := range sizes {
					name := fmt.Sprintf("inline=%v/size=%d", inline, size)
					c.put(0, "bucket", name, 3, &version{m: m, n: n, block: block, parts: [][]byte{testData(name, size)}, inline: inline})
				}
			}
			d := c.open()
			for _, inline := range []bool{false, true} {
				for _, size := range sizes {
					name := fmt.Sprintf("inline=%v/size=%d", inline, size)
					v := latest(t, d, "bucket", name)
					want := testData(name, size)
					if b, found, err := stored(t, v); err != nil || !bytes.Equal(b, want) || len(found) > 0 || v.Inline != (inline && size > 0) {
						t.Errorf("%s: %d bytes, inline %v, %v, %v", name, len(b), v.Inline, found, err)
					}
					for _, off := range []int{0, 1, size / 2, block - 1, block, size - 1, size} {
						for _, n := range []int{0, 1, 2, block, size - off} {
							if off < 0 || n < 0 || off+n > size {
								continue
							}
							r, err := v.Fetch(t.Context(), int64(off), int64(n))
							if err != nil {
								t.Fatal(err)
							}
							b, err := io.ReadAll(r)
							if err != nil || !bytes.Equal(b, want[off:off+n]) {
								t.Fatalf("%s: %d+%d: %d bytes, %v", name, off, n, len(b), err)
							}
							r.Close()
						}
					}
				}
			}
		})
	}
}

// TestServerBlocks reads blocks of the sizes that servers write: 1 MiB, and 10 MiB as
// they were.
func TestServerBlocks(t *testing.T) {
	for _, code := range [][2]int{{1, 0}, {3, 1}, {8, 4}} {
		c := newCluster(t, 1, code[0]+code[1])
		for block, sizes := range map[int][]int{1 << 20: {1<<20 - 1, 1 << 20, 1<<20 + 1}, 10 << 20: {10<<20 + 1}} {
			for _, size := range sizes {
				name := fmt.Sprintf("block=%d/size=%d", block, size)
				v := &version{m: code[0], n: code[1], block: int64(block), parts: [][]byte{testData(name, size)}}
				c.put(0, "bucket", name, 3, v)
				roots := c.roots()
				d := c.open(roots[code[1]:]...) // as many missing as may be
				if b, _, err := stored(t, latest(t, d, "bucket", name)); err != nil || !bytes.Equal(b, v.parts[0]) {
					t.Errorf("%v, %s: %d bytes, %v", code, name, len(b), err)
				}
			}
		}
	}
}

// TestDrivesMissing takes every choice of N drives away, and some of N+1.
func TestDrivesMissing(t *testing.T) {
	for _, code := range codes {
		m, n := code[0], code[1]
		t.Run(fmt.Sprintf("data=%d,parity=%d", m, n), func(t *testing.T) {
			c := newCluster(t, 1, m+n)
			const block = 4 << 10
			file := &version{m: m, n: n, block: block, parts: [][]byte{testData("file", 3*block+5)}}
			inline := &version{m: m, n: n, block: block, parts: [][]byte{testData("inline", 3*block+5)}, inline: true}
			empty := &version{m: m, n: n, block: block, parts: [][]byte{nil}}
			objects := map[string]*version{"file": file, "inline": inline, "empty": empty}
			for name, v := range objects {
				c.put(0, "bucket", name, 3, v)
			}
			tries := 0
			for lost := range combinations(m+n, n) {
				if tries++; tries > 40 {
					break
				}
				d := c.open(c.without(lost)...)
				for name, w := range objects {
					v := latest(t, d, "bucket", name)
					content, err := v.Open(t.Context(), nil, nil)
					if err != nil {
						t.Fatal(err)
					}
					r, err := content.NewReader(t.Context(), sse.Whole)
					if err != nil {
						t.Fatal(err)
					}
					if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, w.parts[0]) {
						t.Errorf("without %v: %s: %d bytes, %v", lost, name, len(b), err)
					}
					r.Close()
				}
			}
			tries = 0
			for lost := range combinations(m+n, n+1) {
				if tries++; tries > 10 || n+1 == m+n {
					break
				}
				d := c.open(c.without(lost)...)
				for name := range objects {
					content, err := latest(t, d, "bucket", name).Open(t.Context(), nil, nil)
					var r *Reader
					if err == nil {
						if r, err = content.NewReader(t.Context(), sse.Whole); err == nil {
							_, err = io.Copy(io.Discard, r)
							r.Close()
						}
					}
					if !errors.Is(err, ErrDamaged) || KindOf(err) != KindDamaged {
						t.Errorf("without %v: %s: %v, want ErrDamaged", lost, name, err)
					}
				}
			}
		})
	}
}

// without are the roots of all drives but some, of a single set.
func (c *cluster) without(lost []int) (roots []string) {
	for slot := range c.sets[0] {
		if !slices.Contains(lost, slot) {
			roots = append(roots, c.root(0, slot))
		}
	}
	return roots
}

func (c *cluster) shardFile(slot int, bucket, dir string, v *version) string {
	return filepath.Join(c.root(0, slot), bucket, dir, v.dataDir, "part.1")
}

// change edits a file in place.
func change(t testing.TB, path string, edit func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(b), 0o644); err != nil {
		t.Fatal(err)
	}
}

func flip(off int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[off] ^= 0x55
		return b
	}
}

// TestRotAtDifferentBlocks damages every shard, no block more than N times: each block
// is rebuilt from other drives. One more is too much, and nothing is made up.
func TestRotAtDifferentBlocks(t *testing.T) {
	for _, code := range codes[1:] {
		m, n := code[0], code[1]
		t.Run(fmt.Sprintf("data=%d,parity=%d", m, n), func(t *testing.T) {
			const block, blocks = 8 << 10, 40
			c := newCluster(t, 1, m+n)
			v := &version{m: m, n: n, block: block, parts: [][]byte{testData("rot", blocks*block-3)}}
			c.put(0, "bucket", "object", 3, v)
			g := geometry{m, block, int64(len(v.parts[0]))}
			bad := 0
			for b := range blocks {
				for i := range n {
					slot := (b + i) % (m + n)
					at := int(g.offset(int64(b), hashSize)) + (b*7)%int(g.piece(int64(b))+hashSize)
					change(t, c.shardFile(slot, "bucket", "object", v), flip(at))
					bad++
				}
			}
			var mu sync.Mutex
			var told []Finding
			d := openDrives(t, &Options{CheckAll: true, Report: func(f Finding) {
				mu.Lock()
				told = append(told, f)
				mu.Unlock()
			}}, c.roots()...)
			b, found, err := stored(t, latest(t, d, "bucket", "object"))
			if err != nil || !bytes.Equal(b, v.parts[0]) {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			if len(found) != bad || len(told) != bad {
				t.Errorf("%d findings, %d told, want %d", len(found), len(told), bad)
			}
			for _, f := range found {
				if f.Problem != ShardDamaged || f.Part != 1 || f.Block < 0 || f.Bucket != "bucket" || f.Object != "object" || f.Drive == "" {
					t.Errorf("%+v", f)
				}
			}
			if b, _, err := stored(t, latest(t, c.open(), "bucket", "object")); err != nil || !bytes.Equal(b, v.parts[0]) {
				t.Errorf("without CheckAll: %d bytes, %v", len(b), err)
			}

			// One more in block 7.
			slot := (7 + n) % (m + n)
			change(t, c.shardFile(slot, "bucket", "object", v), flip(int(g.offset(7, hashSize))))
			b, _, err = stored(t, latest(t, c.open(), "bucket", "object"))
			if !errors.Is(err, ErrDamaged) || !bytes.HasPrefix(v.parts[0], b) || len(b) > 7*block {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
}

// TestShardFiles: whatever is wrong with a file, the other drives serve.
func TestShardFiles(t *testing.T) {
	const block = 4 << 10
	for name, test := range map[string]struct {
		edit func(t *testing.T, path string)
		want Problem
	}{
		"missing":      {func(t *testing.T, path string) { must(t, os.Remove(path)) }, ShardMissing},
		"empty":        {func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }, ShardMissing},
		"cut":          {func(t *testing.T, path string) { must(t, os.Truncate(path, 100)) }, ShardMissing},
		"cut at frame": {func(t *testing.T, path string) { must(t, os.Truncate(path, 2048+32)) }, ShardMissing},
		"cut a byte": {func(t *testing.T, path string) {
			change(t, path, func(b []byte) []byte { return b[:len(b)-1] })
		}, ShardMissing},
		"longer": {func(t *testing.T, path string) {
			change(t, path, func(b []byte) []byte { return append(b, 0) })
		}, ""},
		"link": {func(t *testing.T, path string) {
			must(t, os.Rename(path, path+".away"))
			must(t, os.Symlink("part.1.away", path))
		}, NotRegular},
		"link on the way": {func(t *testing.T, path string) {
			dir := filepath.Dir(path)
			must(t, os.Rename(dir, dir+".away"))
			must(t, os.Symlink(filepath.Base(dir)+".away", dir))
		}, NotRegular},
		"directory": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Mkdir(path, 0o755))
		}, NotRegular},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, 4)
			v := &version{block: block, parts: [][]byte{testData(name, 3*block)}}
			c.put(0, "bucket", "object", 3, v)
			slot := slices.Index(v.dist, 1)
			test.edit(t, c.shardFile(slot, "bucket", "object", v))
			b, found, err := stored(t, latest(t, c.open(), "bucket", "object"))
			if err != nil || !bytes.Equal(b, v.parts[0]) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
			if test.want == "" && len(found) > 0 || test.want != "" && (len(found) == 0 || found[0].Problem != test.want || found[0].Drive != c.root(0, slot)) {
				t.Errorf("%v, want %q", found, test.want)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSwappedShards exchanges files between drives: their hashes are right. With a single
// parity shard, which is a plain sum, that is left to what reads the data.
func TestSwappedShards(t *testing.T) {
	for _, code := range [][2]int{{2, 2}, {3, 2}, {4, 4}, {8, 4}} {
		t.Run(fmt.Sprintf("data=%d,parity=%d", code[0], code[1]), func(t *testing.T) {
			c := newCluster(t, 1, code[0]+code[1])
			v := &version{m: code[0], n: code[1], block: 8 << 10, parts: [][]byte{testData("swap", 50<<10)},
				sys: map[string]string{"X-Minio-Internal-compression": "klauspost/compress/s2", "X-Minio-Internal-actual-size": "9"}}
			copy(v.parts[0], "\xff\x06\x00\x00S2sTwO")
			c.put(0, "bucket", "object", 3, v)
			a, b := c.shardFile(0, "bucket", "object", v), c.shardFile(1, "bucket", "object", v)
			must(t, os.Rename(a, a+"~"))
			must(t, os.Rename(b, a))
			must(t, os.Rename(a+"~", b))
			got, found, err := stored(t, latest(t, c.open(), "bucket", "object"))
			if err != nil || !bytes.Equal(got, v.parts[0]) {
				t.Errorf("%d bytes, %v, %v", len(got), found, err)
			}
			for _, f := range found {
				if f.Problem != ShardDamaged {
					t.Errorf("%v", f)
				}
			}
		})
	}
}

// TestIndexWrong: which shard a drive has is not what its xl.meta says if a server
// rewrote metadata alone (specification section 5).
func TestIndexWrong(t *testing.T) {
	data := testData("index", 20<<10)
	for _, inline := range []bool{false, true} {
		for name, test := range map[string]struct {
			index func(v *version) func(slot int) int
			lost  []int
			want  int // findings of the version
		}{
			"rewritten":                {func(*version) func(int) int { return func(slot int) int { return slot + 1 } }, nil, 0},
			"rewritten, two are lost":  {func(*version) func(int) int { return func(slot int) int { return slot + 1 } }, []int{0, 3}, 0},
			"rewritten, others lost":   {func(*version) func(int) int { return func(slot int) int { return slot + 1 } }, []int{1, 2}, 0},
			"wrong on one":             {func(v *version) func(int) int { return onOne(v, 2, 0) }, nil, 1},
			"wrong on one, and needed": {func(v *version) func(int) int { return onOne(v, 2, 0) }, []int{0}, 1},
			"out of range on one":      {func(v *version) func(int) int { return onOne(v, 1, 99) }, nil, 1},
			"senseless on all": {func(v *version) func(int) int {
				return func(slot int) int { return 1 + (v.dist[slot]+1)%4 }
			}, nil, 4},
		} {
			t.Run(fmt.Sprintf("%s,inline=%v", name, inline), func(t *testing.T) {
				c := newCluster(t, 1, 4)
				v := &version{parts: [][]byte{data}, inline: inline, dist: []int{2, 4, 1, 3}}
				v.index = test.index(v)
				c.put(0, "bucket", "object", 3, v)
				got := latest(t, c.open(c.without(test.lost)...), "bucket", "object")
				if b, _, err := stored(t, got); err != nil || !bytes.Equal(b, data) {
					t.Errorf("%d bytes, %v", len(b), err)
				}
				if len(got.Findings) != test.want {
					t.Errorf("%v, want %d", got.Findings, test.want)
				}
				for _, f := range got.Findings {
					if f.Problem != IndexWrong {
						t.Errorf("%v", f)
					}
				}
			})
		}
	}
}

func onOne(v *version, wrong, index int) func(int) int {
	return func(slot int) int {
		if slot == wrong {
			return index
		}
		return v.dist[slot]
	}
}

// TestParityOfTheVersion: the set's default says nothing.
func TestParityOfTheVersion(t *testing.T) {
	c := newCluster(t, 1, 6)
	for parity := range 4 {
		name := fmt.Sprintf("parity=%d", parity)
		v := &version{m: 6 - parity, n: parity, parts: [][]byte{testData(name, 9999)}, sys: map[string]string{"x-minio-internal-erasure-upgraded": "1->3"}}
		c.put(0, "bucket", name, 3, v)
		lost := []int{0, 2, 4}[:parity]
		got := latest(t, c.open(c.without(lost)...), "bucket", name)
		if b, _, err := stored(t, got); err != nil || !bytes.Equal(b, v.parts[0]) || got.ParityShards != parity {
			t.Errorf("%s: %d bytes, parity %d, %v", name, len(b), got.ParityShards, err)
		}
	}
}

func TestReaderEndsAndCloses(t *testing.T) {
	c := newCluster(t, 1, 4)
	v := &version{parts: [][]byte{testData("a", 9<<20), testData("b", 5), testData("c", 9<<20)}}
	c.put(0, "bucket", "object", 3, v)
	got := latest(t, c.open(), "bucket", "object")
	want := bytes.Join(v.parts, nil)

	r, err := got.fetch(t.Context(), 0, got.Size)
	must(t, err)
	var out bytes.Buffer
	if n, err := r.WriteTo(&out); err != nil || n != got.Size || !bytes.Equal(out.Bytes(), want) {
		t.Errorf("WriteTo: %d bytes, %v", n, err)
	}
	must(t, r.Close())
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}

	r, err = got.fetch(t.Context(), 3, got.Size-3)
	must(t, err)
	if b, err := io.ReadAll(io.LimitReader(r, 100)); err != nil || !bytes.Equal(b, want[3:103]) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	must(t, r.Close())
	must(t, r.Close())
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	r, err = got.fetch(ctx, 0, got.Size)
	must(t, err)
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
	must(t, r.Close())

	for _, bad := range [][2]int64{{-1, 1}, {0, -1}, {0, got.Size + 1}, {got.Size + 1, 0}, {1 << 62, 1 << 62}} {
		if _, err := got.Fetch(t.Context(), bad[0], bad[1]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestBitrotHash(t *testing.T) {
	// The self-test of specification section 6.
	want := "39c0407ed3f01b18d22c85db4aeff11e060ca5f43131b0126731ca197cd42313"
	h, err := newWholeHash("highwayhash256")
	must(t, err)
	var msg, sum []byte
	for range 32 {
		h.Reset()
		h.Write(msg)
		sum = h.Sum(nil)
		msg = append(msg, sum...)
	}
	if got := fmt.Sprintf("%x", sum); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := newWholeHash("md5"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("md5: %v", err)
	}
}

// TestUnreadableSectors: a block that the disk cannot read says nothing about the others of its file.
func TestUnreadableSectors(t *testing.T) {
	const block, blocks = 1 << 10, 20
	v := &version{m: 1, block: block, parts: [][]byte{testData("x", blocks*block)}}
	file := framed(v.shards(t, v.parts[0])[0])
	g := geometry{1, block, blocks * block}
	s := &shard{source: &source{}, r: badSectors{bytes.NewReader(file), g.offset(3, hashSize) + 5, g.offset(5, hashSize) + 5}, size: int64(len(file)), opened: true, hash: hashSize}
	r := s.read(g, 1, blocks-1)
	defer r.release()
	for i, err := range r.errs {
		switch n := int64(i + 1); {
		case n >= 3 && n <= 5:
			if !errors.Is(err, errSector) || problemOf(err) != Unreadable {
				t.Errorf("block %d: %v", n, err)
			}
		case err != nil || !bytes.Equal(r.frame(g, n)[hashSize:], v.parts[0][n*block:(n+1)*block]):
			t.Errorf("block %d: %v", n, err)
		}
	}
}

var errSector = errors.New("input/output error")

// badSectors cannot read the bytes from one offset to another.
type badSectors struct {
	*bytes.Reader
	from, to int64
}

func (r badSectors) ReadAt(p []byte, off int64) (int, error) {
	if off < r.to && off+int64(len(p)) > r.from {
		return 0, errSector
	}
	return r.Reader.ReadAt(p, off)
}

// TestMemoryIsBounded looks at the heap while a large object is read, and after one that
// only claims to be large.
func TestMemoryIsBounded(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	c := newCluster(t, 1, 4)
	const size = 48 << 20
	func() {
		c.put(0, "bucket", "object", 3, &version{parts: [][]byte{testData("large", size)}})
		c.put(0, "bucket", "claims", 3, &version{parts: [][]byte{[]byte("x")}, mutate: func(_ int, f map[string]any) {
			f["PartSizes"], f["Size"], f["EcBSize"] = []int64{1 << 47}, int64(1<<47), maxBlockSize
		}})
	}()
	for _, lost := range [][]int{nil, {0, 1}, {2, 3}} {
		v := latest(t, c.open(c.without(lost)...), "bucket", "object")
		before := heap()
		r, err := v.fetch(t.Context(), 0, v.Size)
		must(t, err)
		var most, n int64
		for err == nil {
			var m int64
			m, err = io.CopyN(io.Discard, r, 7<<20)
			n += m
			most = max(most, heap()-before)
		}
		if err != io.EOF || n != size {
			t.Fatalf("%d bytes, %v", n, err)
		}
		must(t, r.Close())
		if most > 24<<20 { // two batches of 4 MiB, and as much again for what is rebuilt
			t.Errorf("without %v: %d bytes of heap", lost, most)
		}
	}
	v := latest(t, c.open(), "bucket", "claims")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := m.TotalAlloc
	if _, _, err := stored(t, v); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
	if runtime.ReadMemStats(&m); m.TotalAlloc-before > 1<<20 {
		t.Errorf("%d bytes were allocated for one of a file", m.TotalAlloc-before)
	}
}

// TestContradiction: of two data and two parity shards, of which two were swapped, either pair may
// be right. Content that nothing else proves is then refused, not guessed.
func TestContradiction(t *testing.T) {
	data := testData("contradiction", 50<<10)
	c := newCluster(t, 1, 4)
	for name, etag := range map[string]string{"unproved": "of its own", "proved": md5Text(data)} {
		v := &version{m: 2, n: 2, block: 8 << 10, parts: [][]byte{data}, usr: map[string]string{"etag": etag}}
		c.put(0, "bucket", name, 3, v)
		a, b := c.shardFile(2, "bucket", name, v), c.shardFile(3, "bucket", name, v)
		for _, swap := range []bool{false, true} {
			if swap {
				must(t, os.Rename(a, a+"~"))
				must(t, os.Rename(b, a))
				must(t, os.Rename(a+"~", b))
			}
			got, _, _, err := plaintext(t, latest(t, c.open(), "bucket", name), nil, nil)
			if swap && name == "unproved" {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			} else if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s, swapped %v: %d bytes, %v", name, swap, len(got), err)
			}
		}
	}
}

func md5Text(b []byte) string { return fmt.Sprintf("%x", md5.Sum(b)) }
