package drive

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// onlyOn are the slots of a set of 4 that do not have it.
func onlyOn(slots ...int) (skip []int) {
	for slot := range 4 {
		if !slices.Contains(slots, slot) {
			skip = append(skip, slot)
		}
	}
	return skip
}

// TestAgreement: which versions stand, and which are told.
func TestAgreement(t *testing.T) {
	id := func(n int) string { return testUUID(n) }
	data := [][]byte{testData("agree", 100)}
	for name, test := range map[string]struct {
		versions  []*version // newest first
		lost      []int
		latest    string // id, or "" for none
		versionsN int
		unsettled []Problem // of each
	}{
		"all agree": {[]*version{{id: id(2), modTime: 2e18, parts: data}, {id: id(1), modTime: 1e18, parts: data}}, nil, id(2), 2, nil},
		"a write failed": {[]*version{{id: id(2), modTime: 2e18, parts: data, skipOn: onlyOn(3)}, {id: id(1), modTime: 1e18, parts: data}}, nil, id(1), 1,
			[]Problem{WriteUnfinished}},
		"a drive slept": {[]*version{{id: id(2), modTime: 2e18, parts: data, skipOn: onlyOn(0, 1, 2)}, {id: id(1), modTime: 1e18, parts: data}}, nil, id(2), 2, nil},
		"an overwrite failed": {[]*version{{modTime: 2e18, parts: data, skipOn: onlyOn(0)}, {modTime: 1e18, parts: data, skipOn: onlyOn(1, 2, 3)}}, nil, "null", 1,
			[]Problem{WriteUnfinished}},
		"an overwrite was missed": {[]*version{{modTime: 2e18, parts: data, skipOn: onlyOn(0, 1, 2)}, {modTime: 1e18, parts: data, skipOn: onlyOn(3)}}, nil, "null", 1,
			[]Problem{MetadataStale}},
		"a delete marker": {[]*version{{kind: DeleteMarker, id: id(2), modTime: 2e18, skipOn: onlyOn(0, 1, 3)}, {id: id(1), modTime: 1e18, parts: data}}, nil, id(2), 2, nil},
		"a delete marker on two of four": {[]*version{{kind: DeleteMarker, id: id(2), modTime: 2e18, skipOn: onlyOn(0, 1)}, {id: id(1), modTime: 1e18, parts: data}}, nil, id(1), 1,
			[]Problem{WriteUnfinished}},
		"a delete marker, two lost":   {[]*version{{kind: DeleteMarker, id: id(2), modTime: 2e18}, {id: id(1), modTime: 1e18, parts: data}}, []int{1, 2}, id(2), 2, nil},
		"a delete marker, three lost": {[]*version{{kind: DeleteMarker, id: id(2), modTime: 2e18}, {id: id(1), modTime: 1e18, parts: data}}, []int{1, 2, 3}, id(2), 2, nil},
		"might be written elsewhere":  {[]*version{{id: id(2), modTime: 2e18, parts: data, skipOn: onlyOn(0, 2)}, {id: id(1), modTime: 1e18, parts: data}}, []int{2}, id(2), 2, nil},
		"free version":                {[]*version{{kind: DeleteMarker, id: id(2), modTime: 2e18, free: true, sys: map[string]string{metaFreeMarker: ""}}, {id: id(1), modTime: 1e18, parts: data}}, nil, id(1), 2, nil},
		"free version only":           {[]*version{{kind: DeleteMarker, id: id(2), modTime: 2e18, sys: map[string]string{metaFreeMarker: ""}}}, nil, "", 1, nil},
		"purge pending":               {[]*version{{id: id(2), modTime: 2e18, parts: data, sys: map[string]string{metaPurgeStatus: "pending"}}, {id: id(1), modTime: 1e18, parts: data}}, nil, id(1), 2, nil},
		"same time, lower type first": {[]*version{{kind: DeleteMarker, id: id(2), modTime: 2e18}, {id: id(1), modTime: 2e18, parts: data}}, nil, id(1), 2, nil},
		"no versions":                 {nil, nil, "", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, 4)
			c.put(0, "bucket", "object", 3, test.versions...)
			d := c.open(c.without(test.lost)...)
			o, err := d.Lookup(t.Context(), "bucket", "object")
			if test.versions == nil {
				if !errors.Is(err, ErrNotFound) {
					t.Errorf("%+v, %v", o, err)
				}
				return
			}
			must(t, err)
			got := ""
			if v := o.Latest(); v != nil {
				got = v.ID
			}
			if got != test.latest || len(o.Versions) != test.versionsN {
				t.Errorf("latest %q of %d, want %q of %d", got, len(o.Versions), test.latest, test.versionsN)
			}
			var told []Problem
			for _, v := range o.Unsettled {
				told = append(told, problems(v.Findings)...)
				if _, err := v.Open(t.Context(), nil, nil); !errors.Is(err, ErrUnsettled) && !errors.Is(err, ErrDeleted) {
					t.Errorf("unsettled: %v", err)
				}
			}
			if !slices.Equal(told, test.unsettled) {
				t.Errorf("unsettled: %v, want %v", told, test.unsettled)
			}
			if v := o.Latest(); v != nil && v.Type == ObjectVersion && name != "might be written elsewhere" {
				if b, _, err := stored(t, v); err != nil || !bytes.Equal(b, data[0]) {
					t.Errorf("latest: %d bytes, %v", len(b), err)
				}
			}
		})
	}
}

// TestMetadataDamaged: shards count whatever became of the xl.meta beside them, as long as one
// copy proves the version.
func TestMetadataDamaged(t *testing.T) {
	for _, damage := range []int{0, 1, 2, 3, 4} {
		for _, how := range []string{"flip", "remove", "cut"} {
			c := newCluster(t, 1, 4)
			v := &version{parts: [][]byte{testData("x", 5000)}}
			c.put(0, "bucket", "object", 3, v)
			for slot := range damage {
				path := filepath.Join(c.root(0, slot), "bucket/object/xl.meta")
				switch how {
				case "flip":
					change(t, path, flip(50))
				case "cut":
					must(t, os.Truncate(path, 100))
				case "remove":
					must(t, os.Remove(path))
				}
			}
			o, err := c.open().Lookup(t.Context(), "bucket", "object")
			if damage == 4 {
				if how == "remove" && !errors.Is(err, ErrNotFound) || how != "remove" && (err != nil || len(o.Versions) != 0 || len(o.Findings) != 4) {
					t.Errorf("%s: %+v, %v", how, o, err)
				}
				continue
			}
			must(t, err)
			if len(o.Findings) != damage {
				t.Errorf("%s %d: %v", how, damage, o.Findings)
			}
			if len(o.Versions) != 1 {
				t.Fatalf("%s %d: %d versions, %d unsettled", how, damage, len(o.Versions), len(o.Unsettled))
			}
			if b, _, err := stored(t, o.Versions[0]); err != nil || !bytes.Equal(b, v.parts[0]) {
				t.Errorf("%s %d: %d bytes, %v", how, damage, len(b), err)
			}
		}
	}
}

// TestDisagreement: one drive has other metadata for the same version.
func TestDisagreement(t *testing.T) {
	c := newCluster(t, 1, 4)
	v := &version{parts: [][]byte{testData("x", 5000)}, usr: map[string]string{"etag": "right"}}
	v.mutate = func(slot int, fields map[string]any) {
		if slot == 2 {
			fields["MetaUsr"] = map[string]any{"etag": "wrong"}
		}
	}
	c.put(0, "bucket", "object", 3, v)
	o := lookup(t, c.open(), "bucket", "object")
	got := o.Latest()
	if got.ETag() != "right" || got.Copies != 3 || len(got.Findings) != 1 || got.Findings[0].Problem != MetadataStale || got.Findings[0].Drive != c.root(0, 2) {
		t.Errorf("%+v", got)
	}
	if len(o.Unsettled) != 1 || o.Unsettled[0].ETag() != "wrong" {
		t.Errorf("%+v", o.Unsettled)
	}
	if b, _, err := stored(t, got); err != nil || !bytes.Equal(b, v.parts[0]) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestSharedDataDir: two versions over one data directory, as SSE-C rotation leaves them.
func TestSharedDataDir(t *testing.T) {
	c := newCluster(t, 1, 4)
	a := &version{id: testUUID(2), modTime: 2e18, parts: [][]byte{testData("x", 5000)}, dataDir: testUUID(50)}
	b := &version{id: testUUID(1), modTime: 1e18, parts: a.parts, dataDir: a.dataDir}
	c.put(0, "bucket", "object", 3, a, b)
	for _, v := range lookup(t, c.open(), "bucket", "object").Versions {
		if got, _, err := stored(t, v); err != nil || !bytes.Equal(got, a.parts[0]) {
			t.Errorf("%s: %d bytes, %v", v.ID, len(got), err)
		}
	}
}

// TestInlineDataLost: with the other copies of xl.meta inline data is gone too. They may as well
// have been deleted, so that this is told, and no loss for certain.
func TestInlineDataLost(t *testing.T) {
	c := newCluster(t, 1, 4)
	c.put(0, "bucket", "object", 3, &version{parts: [][]byte{testData("lost", 5000)}, inline: true})
	for slot := range 3 {
		must(t, os.Remove(filepath.Join(c.root(0, slot), "bucket", "object", xlMetaFile)))
	}
	o, err := c.open().Lookup(t.Context(), "bucket", "object")
	must(t, err)
	if len(o.Versions) != 0 || len(o.Unsettled) != 1 {
		t.Errorf("%+v", o)
	}
}
