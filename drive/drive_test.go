package drive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/sse"
)

func TestParseFormat(t *testing.T) {
	const a, b = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
	for name, test := range map[string]struct {
		text string
		want error
		sets int
	}{
		"v3":             {`{"version":"1","format":"xl","id":"I","xl":{"version":"3","this":"` + a + `","sets":[["` + a + `"],["` + b + `"]],"distributionAlgo":"SIPMOD+PARITY"}}`, nil, 2},
		"v2":             {`{"version":"1","format":"xl","id":"I","xl":{"version":"2","this":"` + a + `","sets":[["` + b + `","` + a + `"]],"distributionAlgo":"CRCMOD"}}`, nil, 1},
		"v1":             {`{"version":"1","format":"xl","xl":{"version":"1","drive":"` + a + `","jbod":["` + b + `","` + a + `"]}}`, nil, 1},
		"single":         {`{"version":"1","format":"xl-single","id":"I","xl":{"version":"3","this":"` + a + `","sets":[["` + a + `"]]}}`, nil, 1},
		"offline slot":   {`{"version":"1","format":"xl","id":"I","xl":{"version":"3","this":"` + a + `","sets":[["` + offlineID + `","` + a + `","` + offlineID + `"]]}}`, nil, 1},
		"single of two":  {`{"version":"1","format":"xl-single","id":"I","xl":{"version":"3","this":"` + a + `","sets":[["` + a + `","` + b + `"]]}}`, ErrDamaged, 0},
		"fs":             {`{"version":"1","format":"fs","id":"I","fs":{"version":"2"}}`, ErrUnsupported, 0},
		"other":          {`{"version":"1","format":"zfs"}`, ErrUnsupported, 0},
		"version 2":      {`{"version":"2","format":"xl"}`, ErrUnsupported, 0},
		"xl version 4":   {`{"version":"1","format":"xl","xl":{"version":"4"}}`, ErrUnsupported, 0},
		"not in sets":    {`{"version":"1","format":"xl","xl":{"version":"3","this":"` + a + `","sets":[["` + b + `"]]}}`, ErrDamaged, 0},
		"no sets":        {`{"version":"1","format":"xl","xl":{"version":"3","this":"` + a + `"}}`, ErrDamaged, 0},
		"empty set":      {`{"version":"1","format":"xl","xl":{"version":"3","this":"` + a + `","sets":[["` + a + `"],[]]}}`, ErrDamaged, 0},
		"two lengths":    {`{"version":"1","format":"xl","xl":{"version":"3","this":"` + a + `","sets":[["` + a + `"],["x","y"]]}}`, ErrDamaged, 0},
		"named twice":    {`{"version":"1","format":"xl","xl":{"version":"3","this":"` + a + `","sets":[["` + a + `"],["` + a + `"]]}}`, ErrDamaged, 0},
		"this offline":   {`{"version":"1","format":"xl","xl":{"version":"3","this":"` + offlineID + `","sets":[["` + offlineID + `"]]}}`, ErrDamaged, 0},
		"no JSON":        {`{"version":"1"`, ErrDamaged, 0},
		"nothing":        {``, ErrDamaged, 0},
		"another type":   {`{"version":1}`, ErrDamaged, 0},
		"257 in the set": {`{"version":"1","format":"xl","xl":{"version":"3","this":"a","sets":[["a"` + strings.Repeat(`,"b"`, 256) + `]]}}`, ErrDamaged, 0},
	} {
		f, err := parseFormat([]byte(test.text))
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if err == nil && (f.this != a || len(f.sets) != test.sets) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// filled is a cluster with an object of two versions in each set.
func filled(t testing.TB, sets, drives int) *cluster {
	c := newCluster(t, sets, drives)
	for s := range sets {
		for i := range 4 {
			name := fmt.Sprintf("set%d/object-%d", s, i)
			c.put(s, "bucket", name, 3, &version{id: testUUID(1), parts: [][]byte{testData(name, 4000+i)}, inline: i%2 == 0})
		}
	}
	return c
}

// checkFilled reads everything of it.
func (c *cluster) checkFilled(d *Deployment) {
	c.t.Helper()
	for s := range c.sets {
		for i := range 4 {
			name := fmt.Sprintf("set%d/object-%d", s, i)
			v := latest(c.t, d, "bucket", name)
			if b, _, err := stored(c.t, v); err != nil || !bytes.Equal(b, testData(name, 4000+i)) || v.Set != s {
				c.t.Errorf("%s: set %d, %d bytes, %v", name, v.Set, len(b), err)
			}
		}
	}
}

func problems(list []Finding) (all []Problem) {
	for _, f := range list {
		all = append(all, f.Problem)
		if s := f.String(); !strings.HasPrefix(s, string(f.Problem)) {
			all = append(all, Problem("String: "+s))
		}
	}
	slices.Sort(all)
	return all
}

func TestOpenInAnyOrder(t *testing.T) {
	c := filled(t, 2, 4)
	for range 5 {
		d := c.open()
		if len(d.Pools) != 1 || len(d.Pools[0].Sets) != 2 || d.ID != c.id || len(d.Findings()) != 0 {
			t.Fatalf("%+v, %v", d.Pools, d.Findings())
		}
		for s := range c.sets {
			for slot, drive := range d.Pools[0].Sets[s].Drives {
				if drive.ID != c.sets[s][slot] || drive.Root != c.root(s, slot) {
					t.Errorf("set %d, slot %d: %+v", s, slot, drive)
				}
			}
		}
		c.checkFilled(d)
	}
	d := c.open(c.root(1, 3), c.root(0, 1), c.root(0, 2), c.root(1, 0))
	c.checkFilled(d)
	if got := problems(d.Findings()); !slices.Equal(got, slices.Repeat([]Problem{DriveMissing}, 4)) {
		t.Errorf("%v", got)
	}
	if buckets, err := d.Buckets(t.Context()); err != nil || !slices.Equal(buckets, []string{"bucket"}) {
		t.Errorf("%q, %v", buckets, err)
	}
}

func TestOpenRefused(t *testing.T) {
	a, b := filled(t, 1, 2), filled(t, 1, 2)
	b.id = testUUID(8)
	b.sets = [][]string{{testUUID(900), testUUID(901)}}
	for slot := range 2 {
		b.writeFormat(b.root(0, slot), 0, slot)
	}
	fsRoot, empty, copied := t.TempDir(), t.TempDir(), t.TempDir()
	a.write(fsRoot, formatFile, []byte(`{"version":"1","format":"fs","id":"x","fs":{"version":"2"}}`))
	must(t, os.CopyFS(copied, os.DirFS(a.root(0, 0))))
	for name, test := range map[string]struct {
		roots []string
		want  error
	}{
		"none":      {nil, ErrNoDrive},
		"fs":        {[]string{fsRoot}, ErrUnsupported},
		"empty":     {[]string{empty}, ErrNoDrive},
		"no such":   {[]string{filepath.Join(empty, "x")}, fs.ErrNotExist},
		"mixed":     {slices.Concat(a.roots(), b.roots()), ErrForeign},
		"twice":     {append(a.roots(), a.root(0, 0)), ErrDuplicate},
		"as a copy": {append(a.roots(), copied), ErrDuplicate},
	} {
		if d, err := Open(t.Context(), test.roots, nil); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, %v, want %v", name, d, err, test.want)
		} else if KindOf(err) == sse.KindNone && test.want != fs.ErrNotExist {
			t.Errorf("%s: no kind", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, a.roots(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	// Left out, and the rest serves.
	d := a.open(a.root(0, 1), a.root(0, 0), b.root(0, 0), fsRoot, empty, filepath.Join(empty, "x"))
	a.checkFilled(d)
	if got, want := problems(d.Findings()), []Problem{DriveForeign, DriveRefused, DriveRefused, DriveRefused}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestOfflineSlot: a format.json that was written while a drive was away.
func TestOfflineSlot(t *testing.T) {
	c := filled(t, 2, 2)
	whole := c.sets
	c.sets = [][]string{{whole[0][0], offlineID}, {whole[1][0], whole[1][1]}}
	c.writeFormat(c.root(0, 0), 0, 0)
	c.sets = whole
	d := c.open()
	c.checkFilled(d)
	if len(d.Findings()) != 0 || len(d.Pools) != 1 {
		t.Errorf("%v, %d pools", d.Findings(), len(d.Pools))
	}
}

// TestAdopt: drives without a good format.json have the slot that their objects tell.
func TestAdopt(t *testing.T) {
	for name, test := range map[string]struct {
		lost      []int // of both sets
		rewritten bool
	}{
		"one":            {[]int{1}, false},
		"two":            {[]int{0, 3}, false},
		"two, rewritten": {[]int{1, 2}, true},
		"all":            {[]int{0, 1, 2, 3}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, 4)
			for s := range 2 {
				for i := range 12 {
					v := &version{id: testUUID(1), parts: [][]byte{testData(fmt.Sprint(s, i), 4000)}}
					if test.rewritten && i%2 == 0 {
						v.index = func(slot int) int { return slot + 1 }
					}
					c.put(s, "bucket", fmt.Sprintf("set%d/object-%d", s, i), 3, v)
				}
			}
			for s := range 2 {
				for i, slot := range test.lost {
					path := filepath.Join(c.root(s, slot), formatFile)
					if i == 0 {
						must(t, os.Remove(path))
					} else {
						must(t, os.WriteFile(path, []byte("{"), 0o644))
					}
				}
			}
			d := c.open()
			for _, s := range d.sets {
				for slot, m := range s.slots {
					if m == nil || !strings.HasSuffix(m.path, fmt.Sprintf("drive%d", slot)) {
						t.Errorf("slot %d: %+v", slot, m)
					}
				}
			}
			if got := problems(d.Findings()); !slices.Equal(got, slices.Repeat([]Problem{DriveAdopted}, 2*len(test.lost))) {
				t.Errorf("%v", got)
			}
			for s := range 2 {
				for i := range 12 {
					v := latest(t, d, "bucket", fmt.Sprintf("set%d/object-%d", s, i))
					if b, _, err := stored(t, v); err != nil || !bytes.Equal(b, testData(fmt.Sprint(s, i), 4000)) || v.Copies != 4 {
						t.Errorf("%d bytes, %d copies, %v", len(b), v.Copies, err)
					}
				}
			}
		})
	}
	// One that nothing tells of.
	c := filled(t, 1, 2)
	must(t, os.Remove(filepath.Join(c.root(0, 1), formatFile)))
	must(t, os.RemoveAll(filepath.Join(c.root(0, 1), "bucket")))
	d := c.open()
	c.checkFilled(d)
	if got := problems(d.Findings()); !slices.Equal(got, []Problem{DriveMissing, DriveRefused}) {
		t.Errorf("%v", got)
	}
}

// TestPools: two pools of one deployment, and an object that was being moved.
func TestPools(t *testing.T) {
	a, b := newCluster(t, 1, 2), newCluster(t, 1, 2)
	b.sets = [][]string{{testUUID(900), testUUID(901)}}
	for slot := range 2 {
		b.writeFormat(b.root(0, slot), 0, slot)
	}
	moved := func() *version {
		return &version{id: testUUID(1), modTime: 1e18, parts: [][]byte{testData("moved", 10)}}
	}
	a.put(0, "bucket", "both", 3, moved(), &version{id: testUUID(2), modTime: 5e17, parts: [][]byte{testData("a", 10)}})
	b.put(0, "bucket", "both", 3, &version{id: testUUID(3), modTime: 2e18, parts: [][]byte{testData("b", 10)}}, moved())
	a.put(0, "bucket", "in-a", 3, moved())
	b.put(0, "other", "in-b", 3, moved())
	d := openDrives(t, nil, slices.Concat(b.roots(), a.roots())...)
	if len(d.Pools) != 2 || len(d.Findings()) != 0 {
		t.Fatalf("%d pools, %v", len(d.Pools), d.Findings())
	}
	o := lookup(t, d, "bucket", "both")
	if len(o.Versions) != 3 || o.Latest().ID != testUUID(3) || o.Versions[1].ID != testUUID(1) || len(o.Unsettled) > 0 {
		t.Errorf("%+v", o)
	}
	for _, v := range o.Versions {
		if _, _, err := stored(t, v); err != nil {
			t.Errorf("%s: %v", v.ID, err)
		}
	}
	if buckets, err := d.Buckets(t.Context()); err != nil || !slices.Equal(buckets, []string{"bucket", "other"}) {
		t.Errorf("%q, %v", buckets, err)
	}
	if v := latest(t, d, "other", "in-b"); v.Pool != 1 {
		t.Errorf("pool %d", v.Pool)
	}
}

// TestNothingIsWritten: the drives are bit for bit as before, times included.
func TestNothingIsWritten(t *testing.T) {
	c := filled(t, 2, 4)
	state := func() string {
		var all []string
		must(t, filepath.WalkDir(c.dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err == nil {
				all = append(all, fmt.Sprint(path, info.Mode(), info.Size(), info.ModTime().UnixNano()))
			}
			return err
		}))
		return strings.Join(all, "\n")
	}
	before := state()
	must(t, filepath.WalkDir(c.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && path != c.dir {
			mode := fs.FileMode(0o444)
			if e.IsDir() {
				mode = 0o555
			}
			err = os.Chmod(path, mode)
		}
		return err
	}))
	t.Cleanup(func() {
		_ = filepath.WalkDir(c.dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
	})
	readOnly := state()
	d := c.open()
	c.checkFilled(d)
	must(t, d.Walk(t.Context(), &WalkOptions{System: true}, func(*Object) error { return nil }))
	must(t, d.Uploads(t.Context(), func(*Upload) error { return nil }))
	if after := state(); after != readOnly || before == "" {
		t.Error("something was changed")
	}
}

func TestKinds(t *testing.T) {
	for err, want := range map[error]sse.Kind{
		ErrDamaged: KindDamaged, ErrTiered: KindTiered, ErrDeleted: KindDeleted, ErrInClear: KindInClear, ErrUnsettled: KindUnsettled,
		ErrNotFound: KindNotFound, ErrForeign: sse.KindInvalidRequest, ErrUnsupported: sse.KindUnsupported, sse.ErrTampered: sse.KindTampered,
		os.ErrClosed: sse.KindNone,
	} {
		if got := KindOf(fmt.Errorf("outer: %w", err)); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	b, err := json.Marshal(Finding{Problem: ShardDamaged, Part: 1, Block: 2})
	if err != nil || !bytes.Contains(b, []byte("shard-damaged")) {
		t.Errorf("%s, %v", b, err)
	}
}
