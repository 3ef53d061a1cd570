package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// walked are the names in the order of the walk.
func walked(t testing.TB, d *Deployment, o *WalkOptions) (names []string) {
	t.Helper()
	must(t, d.Walk(context.Background(), o, func(o *Object) error {
		names = append(names, o.Bucket+"/"+o.Name)
		return nil
	}))
	return names
}

// scattered is a cluster whose objects lie on few drives, nested, with names that need care.
func scattered(t testing.TB) (c *cluster, want []string) {
	c = newCluster(t, 2, 4)
	for i, name := range []string{"a", "a/b", "a/b/c", "a-b", "a b", "folder__XLDIR__", "folder/x", "ü/日本", "z/__XLDIR__y", "deep/1/2/3/4/5/6/7/8", "null", testUUID(77), "legacy", "xl.meta", "p/xl.meta", "folder/xl.json"} {
		c.put(i%2, "bucket-1", name, 3, &version{parts: [][]byte{testData(name, 50)}, inline: i%3 == 0, skipOn: onlyOn(i%4, (i+1)%4, (i+2)%4)})
		want = append(want, "bucket-1/"+objectName(name))
	}
	c.put(0, "bucket-2", "x", 3, &version{parts: [][]byte{testData("x", 50)}})
	c.put(0, SystemBucket, "config/config.json", 3, &version{parts: [][]byte{testData("x", 50)}})
	c.put(0, SystemBucket, "tmp/x", 3, &version{parts: [][]byte{testData("x", 50)}})
	c.put(0, SystemBucket, "tmp-old/x", 3, &version{parts: [][]byte{testData("x", 50)}})
	want = append(want, "bucket-2/x")
	slices.SortFunc(want, func(a, b string) int {
		return slices.Compare(strings.Split(storedName(a), "/"), strings.Split(storedName(b), "/"))
	})
	return c, want
}

func TestWalk(t *testing.T) {
	c, want := scattered(t)
	for _, window := range []int{0, 1, 40, 100} {
		d := c.open()
		d.window = window
		if got := walked(t, d, nil); !slices.Equal(got, want) {
			t.Errorf("window %d: %q\nwant %q", window, got, want)
		}
		if got := walked(t, d, &WalkOptions{System: true}); !slices.Equal(got, append([]string{".minio.sys/config/config.json"}, want...)) {
			t.Errorf("window %d: %q", window, got)
		}
		if got := walked(t, d, &WalkOptions{Bucket: SystemBucket}); !slices.Equal(got, []string{".minio.sys/config/config.json"}) {
			t.Errorf("%q", got)
		}
		for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/c", "folder", "folder/", "folder/x", "ü", "deep/1/2/3", "deep/1/2/3/4/5/6/7/8/9", "z", "none", "a/c"} {
			var part []string
			for _, name := range want {
				if strings.HasPrefix(name, "bucket-1/"+prefix) {
					part = append(part, name)
				}
			}
			if got := walked(t, d, &WalkOptions{Bucket: "bucket-1", Prefix: prefix}); !slices.Equal(got, part) {
				t.Errorf("prefix %q: %q, want %q", prefix, got, part)
			}
		}
		for _, n := range []int{1, 2, 3, 7} {
			var all []string
			for i := range n {
				part := walked(t, d, &WalkOptions{Shard: i, Shards: n})
				if again := walked(t, d, &WalkOptions{Shard: i, Shards: n}); !slices.Equal(part, again) {
					t.Errorf("shard %d of %d: %q, then %q", i, n, part, again)
				}
				all = append(all, part...)
			}
			slices.Sort(all)
			sorted := slices.Sorted(slices.Values(want))
			if !slices.Equal(all, sorted) {
				t.Errorf("%d shards: %q, want %q", n, all, sorted)
			}
		}
	}
	d := c.open()
	if got := walked(t, d, &WalkOptions{Bucket: "none"}); got != nil {
		t.Errorf("%q", got)
	}
	for _, bad := range []*WalkOptions{{Shard: 1}, {Shard: -1, Shards: 2}, {Prefix: "x"}} {
		if err := d.Walk(t.Context(), bad, nil); !errors.Is(err, errInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for _, bad := range []string{"..", ".", "a/b", "a/../b", "a\x00"} {
		if err := d.Walk(t.Context(), &WalkOptions{Bucket: bad}, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	stop := errors.New("stop")
	n := 0
	if err := d.Walk(t.Context(), nil, func(*Object) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	}); err != stop || n != 3 {
		t.Errorf("%v after %d", err, n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := d.Walk(ctx, nil, func(*Object) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestWalkMany: directories over the window, on drives that have different ones.
func TestWalkMany(t *testing.T) {
	c := newCluster(t, 1, 3)
	var want []string
	v := &version{m: 2, n: 1, parts: [][]byte{[]byte("x")}, inline: true}
	for i := range 300 {
		name := fmt.Sprintf("%d/%03d", i%2, i)
		v.dist, v.skipOn = nil, []int{i % 3}
		c.put(0, "bucket", name, 3, v)
		want = append(want, "bucket/"+name)
	}
	slices.Sort(want)
	for _, window := range []int{1, 500, 0} {
		d := c.open()
		d.window = window
		if got := walked(t, d, nil); !slices.Equal(got, want) {
			t.Errorf("window %d: %d names, want %d", window, len(got), len(want))
		}
	}
}

func TestLookup(t *testing.T) {
	c, want := scattered(t)
	d := c.open()
	for _, name := range want {
		bucket, object, _ := strings.Cut(name, "/")
		o := lookup(t, d, bucket, object)
		dir := storedName(object)
		if o.Bucket != bucket || o.Name != object {
			t.Errorf("%q: %q", name, o.Name)
		}
		if b, _, err := stored(t, o.Latest()); bucket == "bucket-1" && (err != nil || !bytes.Equal(b, testData(dir, 50))) {
			t.Errorf("%q: %d bytes, %v", name, len(b), err)
		}
	}
	for _, bad := range [][2]string{{"bucket-1", "none"}, {"none", "a"}, {"bucket-1", ""}, {"", "a"}, {"bucket-1", "../bucket-2/x"}, {"..", "a"}, {"bucket-1", "a/../a"}, {"bucket-1", "a//b"},
		{"bucket-1", "./a"}, {"bucket-1", "/a"}, {"bucket-1/a", "b"}, {"bucket-1", "a\x00"}, {"bucket-1", strings.Repeat("x", 5000)}} {
		if o, err := d.Lookup(t.Context(), bad[0], bad[1]); err == nil && len(o.Versions) > 0 {
			t.Errorf("%q: %+v", bad, o)
		}
	}
}

// TestLinks: nothing is followed, inside of the drive or out of it, and pipes are not opened.
func TestLinks(t *testing.T) {
	c := newCluster(t, 1, 2)
	outside := newCluster(t, 1, 2)
	for _, x := range []*cluster{c, outside} {
		x.put(0, "bucket", "object", 3, &version{parts: [][]byte{testData("x", 50)}})
		x.put(0, "bucket", "other", 3, &version{parts: [][]byte{testData("x", 50)}})
	}
	for slot := range 2 {
		root, out := c.root(0, slot), outside.root(0, slot)
		must(t, os.Symlink(filepath.Join(out, "bucket"), filepath.Join(root, "linked-bucket")))
		must(t, os.Symlink(filepath.Join(out, "bucket/object"), filepath.Join(root, "bucket/link-out")))
		must(t, os.Symlink("object", filepath.Join(root, "bucket/link-in")))
		must(t, os.Symlink(".", filepath.Join(root, "bucket/loop")))
		must(t, os.Remove(filepath.Join(root, "bucket/other/xl.meta")))
		must(t, os.Symlink(filepath.Join(out, "bucket/other/xl.meta"), filepath.Join(root, "bucket/other/xl.meta")))
		makePipe(t, filepath.Join(root, "bucket/object/pipe"))
		c.mkdir(root, "bucket/piped")
		makePipe(t, filepath.Join(root, "bucket/piped/xl.meta"))
	}
	var mu sync.Mutex
	var told []Finding
	d := openDrives(t, &Options{Report: func(f Finding) {
		mu.Lock()
		told = append(told, f)
		mu.Unlock()
	}}, c.roots()...)
	names := make(map[string]*Object)
	must(t, d.Walk(t.Context(), nil, func(o *Object) error {
		names[o.Name] = o
		return nil
	}))
	for name, o := range names {
		if name == "object" {
			if len(o.Versions) != 1 {
				t.Errorf("%s: %+v", name, o)
			}
			continue
		}
		if len(o.Versions) != 0 || len(o.Findings) != 2 || o.Findings[0].Problem != NotRegular {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if len(names) > 3 || len(told) == 0 {
		t.Errorf("%v, %v", names, told)
	}
	for _, f := range told {
		if f.Problem != NotRegular {
			t.Errorf("%v", f)
		}
	}
	for _, name := range []string{"link-out", "link-in", "loop/object", "other"} {
		if o, err := d.Lookup(t.Context(), "bucket", name); err == nil && len(o.Versions) > 0 {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if o, err := d.Lookup(t.Context(), "linked-bucket", "object"); err == nil && len(o.Versions) > 0 {
		t.Errorf("%+v", o)
	}
}

// TestManyVersions: objects of so many versions that not all that could be loaded at once
// fit into memory are walked over all the same.
func TestManyVersions(t *testing.T) {
	c := newCluster(t, 1, 2)
	versions := make([]*version, 3000)
	for i := range versions {
		versions[i] = &version{kind: DeleteMarker, id: testUUID(i + 1), modTime: 1_700_000_000_000_000_000 - int64(i)}
	}
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprintf("object-%d", i))
		c.put(0, "bucket", names[i], 3, versions...)
	}
	d := c.open()
	w := &walker{ctx: t.Context(), d: d, bucket: "bucket", o: WalkOptions{Shards: 1}, fn: func(*Object) error { return nil }}
	level := w.open("")
	defer closeAll(level)
	if n := len(w.load(level, "", names)); n < 1 || n > 4 { // 6 MB each, on two drives
		t.Errorf("%d objects of %d versions were loaded at once", n, len(versions))
	}
	n := 0
	must(t, d.Walk(t.Context(), nil, func(o *Object) error {
		if n++; len(o.Versions) != len(versions) || o.Name != names[n-1] || len(o.Findings) > 0 {
			t.Errorf("%q: %d versions, %v", o.Name, len(o.Versions), o.Findings)
		}
		return nil
	}))
	if n != len(names) {
		t.Errorf("%d objects, want %d", n, len(names))
	}
}
