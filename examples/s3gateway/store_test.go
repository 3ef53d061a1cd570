package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/objseal/objseal/sse"
)

// bytesOf is an upload without a gateway.
type bytesOf string

func (b bytesOf) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(b))
	return int64(n), err
}

// newRecord is a record of text, which is stored.
func newRecord(t *testing.T, s *store, bucket, key, text string) *record {
	t.Helper()
	id, err := s.newData(bucket, bytesOf(text))
	if err != nil {
		t.Fatal(err)
	}
	n := int64(len(text))
	return &record{Name: key, bucket: bucket, Modified: now(), Files: []file{{ID: id, Stored: n, Actual: n}}}
}

func newBucket(t *testing.T, name string) *store {
	t.Helper()
	s := newStore(t)
	if err := s.makeBucket(name); err != nil {
		t.Fatal(err)
	}
	return s
}

func content(t *testing.T, s *store, r *record) string {
	t.Helper()
	f, err := s.fetch(r)(t.Context(), 0, r.size())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tree are the files of a store, without those of locks.
func tree(t *testing.T, s *store) (files []string) {
	t.Helper()
	err := filepath.WalkDir(s.root.Name(), func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), "_") {
			files = append(files, strings.TrimPrefix(name, s.root.Name()+string(filepath.Separator)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// count tells how many data files and records a bucket has.
func count(t *testing.T, s *store) (data, records int) {
	t.Helper()
	for _, name := range tree(t, s) {
		switch filepath.Base(filepath.Dir(name)) {
		case "data":
			data++
		default:
			if name = filepath.ToSlash(name); strings.Contains(name, "/objects/") {
				records++
			}
		}
		if strings.HasSuffix(name, tempSuffix) {
			t.Errorf("left behind: %s", name)
		}
	}
	return data, records
}

// TestPutIsExclusive: whoever has seen a record that is the object's no more replaces
// nothing, however often it has changed since.
func TestPutIsExclusive(t *testing.T) {
	s := newBucket(t, "abc")
	n := sse.ObjectName{Bucket: "abc", Object: "key"}
	first := newRecord(t, s, "abc", "key", "first")
	if err := s.put(first, nil); err != nil {
		t.Fatal(err)
	}
	seen, err := s.get(n)
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(old *record, when string) {
		t.Helper()
		r := newRecord(t, s, "abc", "key", "too late")
		if err := s.put(r, old); !errors.Is(err, errFaster) {
			t.Errorf("%s: %v", when, err)
		}
		s.dropFiles("abc", r.Files)
	}
	for _, text := range []string{"second", "third"} {
		old, err := s.get(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.put(newRecord(t, s, "abc", "key", text), old); err != nil {
			t.Fatal(err)
		}
		refuse(seen, "behind the "+text)
		refuse(nil, "as a new one, behind the "+text)
	}
	if err := s.delete(n); err != nil {
		t.Fatal(err)
	}
	refuse(seen, "behind the deletion")
	if err := s.put(newRecord(t, s, "abc", "key", "again"), nil); err != nil {
		t.Fatal(err)
	}
	refuse(seen, "after all")
	r, err := s.get(n)
	if err != nil || content(t, s, r) != "again" {
		t.Errorf("%v: %v", r, err)
	}
	if data, records := count(t, s); data != 1 || records != 1 {
		t.Errorf("%d data files, %d records", data, records)
	}
}

// TestStoreConcurrently: of writers, deleters and a rewrap at once there stays one object
// with its bytes, and nothing else.
func TestStoreConcurrently(t *testing.T) {
	s := newBucket(t, "abc")
	other, err := openStore(s.root.Name()) // as of another process
	if err != nil {
		t.Fatal(err)
	}
	n := sse.ObjectName{Bucket: "abc", Object: "key"}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 20 {
				text := strings.Repeat(string(rune('a'+i)), j+1)
				if err := s.overwrite(newRecord(t, s, "abc", "key", text), nil); err != nil {
					t.Error(err)
				}
				if i == 0 && j%5 == 0 {
					if err := s.delete(n); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Go(func() {
		for range 100 {
			old, err := other.get(n)
			if errors.Is(err, errNoSuchKey) {
				continue
			}
			if err != nil {
				t.Error(err)
				continue
			}
			changed := *old
			changed.Metadata = map[string][]byte{"new": {1}}
			if err := other.put(&changed, old); err != nil && !errors.Is(err, errFaster) {
				t.Error(err)
			}
		}
	})
	group.Go(func() {
		for range 100 {
			r, release, err := s.acquire(n)
			if errors.Is(err, errNoSuchKey) {
				continue
			}
			if err != nil {
				t.Error(err)
				continue
			}
			if text := content(t, s, r); int64(len(text)) != r.size() || strings.Trim(text, text[:1]) != "" {
				t.Errorf("read %q", text)
			}
			release()
		}
	})
	group.Wait()
	if err := s.overwrite(newRecord(t, s, "abc", "key", "the last"), nil); err != nil {
		t.Fatal(err)
	}
	if data, records := count(t, s); data != 1 || records != 1 {
		t.Errorf("%d data files, %d records", data, records)
	}
	if len(s.pins) != 0 {
		t.Errorf("%d files are pinned", len(s.pins))
	}
}

// TestReadOverwritten: an object that is being read is read to its end, and its bytes are
// removed behind that.
func TestReadOverwritten(t *testing.T) {
	s := newBucket(t, "abc")
	n := sse.ObjectName{Bucket: "abc", Object: "key"}
	for _, gone := range []func() error{
		func() error { return s.overwrite(newRecord(t, s, "abc", "key", "new"), nil) },
		func() error { return s.delete(n) },
	} {
		if err := s.overwrite(newRecord(t, s, "abc", "key", "old"), nil); err != nil {
			t.Fatal(err)
		}
		r, release, err := s.acquire(n)
		if err != nil {
			t.Fatal(err)
		}
		_, second, err := s.acquire(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := gone(); err != nil {
			t.Fatal(err)
		}
		for _, done := range []func(){release, release, second} {
			if text := content(t, s, r); text != "old" {
				t.Errorf("read %q", text)
			}
			done()
		}
		if slices.ContainsFunc(tree(t, s), func(name string) bool { return filepath.Base(name) == r.Files[0].ID }) {
			t.Error("the bytes are still there")
		}
	}
}

// TestPartSentAgain: a part that comes while its upload is completed takes nothing from
// the object, and an upload ends once.
func TestPartSentAgain(t *testing.T) {
	s := newBucket(t, "abc")
	u := &upload{Name: "key", bucket: "abc"}
	if err := s.newUpload(u); err != nil {
		t.Fatal(err)
	}
	part := func(text string) partRecord {
		f := newRecord(t, s, "abc", "key", text).Files[0]
		f.Part = 1
		return partRecord{file: f}
	}
	first, again := part("first"), part("again")
	for _, p := range []partRecord{first, again} {
		if err := s.putPart(u, p); err != nil {
			t.Fatal(err)
		}
	}
	r := &record{Name: "key", bucket: "abc", InParts: true, Files: []file{first.file}}
	if err := s.complete(u, r, nil); !errors.Is(err, errDataGone) {
		t.Errorf("completed with a part that was replaced: %v", err)
	}
	r.Files = []file{again.file}
	if err := s.complete(u, r, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.putPart(u, part("late")); !errors.Is(err, errNoSuchUpload) {
		t.Errorf("a part of a completed upload: %v", err)
	}
	if err := s.complete(u, r, nil); !errors.Is(err, errNoSuchUpload) {
		t.Errorf("completed twice: %v", err)
	}
	if err := s.abort(u); !errors.Is(err, errNoSuchUpload) {
		t.Errorf("aborted a completed upload: %v", err)
	}
	if err := s.replaceUpload(u, u); !errors.Is(err, errNoSuchUpload) {
		t.Errorf("changed a completed upload: %v", err)
	}
	if r, err := s.get(r.name()); err != nil || content(t, s, r) != "again" {
		t.Errorf("%v: %v", r, err)
	}
	if data, records := count(t, s); data != 1 || records != 1 {
		t.Errorf("%d data files, %d records", data, records)
	}
}

// TestBucketMadeAgain: what was on its way into a bucket that was deleted does not end up
// as an object without bytes in the next one of its name.
func TestBucketMadeAgain(t *testing.T) {
	s := newBucket(t, "abc")
	r := newRecord(t, s, "abc", "key", "text")
	u := &upload{Name: "key", bucket: "abc"}
	if err := s.newUpload(u); err != nil {
		t.Fatal(err)
	}
	if err := s.removeBucket("abc"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.newData("abc", bytesOf("late")); !errors.Is(err, errNoSuchBucket) {
		t.Errorf("data: %v", err)
	}
	if err := s.put(r, nil); !errors.Is(err, errNoSuchBucket) {
		t.Errorf("record: %v", err)
	}
	if err := s.newUpload(&upload{Name: "key", bucket: "abc"}); !errors.Is(err, errNoSuchBucket) {
		t.Errorf("upload: %v", err)
	}
	if err := s.makeBucket("abc"); err != nil {
		t.Fatal(err)
	}
	if err := s.put(r, nil); !errors.Is(err, errDataGone) {
		t.Errorf("record: %v", err)
	}
	if err := s.putPart(u, partRecord{file: r.Files[0]}); !errors.Is(err, errNoSuchUpload) {
		t.Errorf("part: %v", err)
	}
	if err := s.makeBucket("abc"); !errors.Is(err, errBucketExists) {
		t.Errorf("made twice: %v", err)
	}
}

// TestCrash makes what a process leaves that dies at each step of a PUT, an overwrite, a
// copy or a completion. Objects are as before or as after, and the next server clears away
// the rest, but nothing that is young enough to be of a process that lives.
func TestCrash(t *testing.T) {
	s := newBucket(t, "abc")
	n := sse.ObjectName{Bucket: "abc", Object: "key"}
	kept := newRecord(t, s, "abc", "key", "kept")
	if err := s.put(kept, nil); err != nil {
		t.Fatal(err)
	}
	dir := objectDir(n)
	before := tree(t, s)

	// Dead before the record is committed: bytes, and a record aside.
	newRecord(t, s, "abc", "key", "lost")
	leave := func(name, text string) {
		t.Helper()
		if err := s.root.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leave(dir+"/ABCDEF.tmp", `{"name":"ke`)
	leave("abc/GHIJKL.tmp.tmp", "") // not of the store: it stays
	if r, err := s.get(n); err != nil || content(t, s, r) != "kept" {
		t.Errorf("before the commit: %v, %v", r, err)
	}
	// Dead behind the commit, before the old record and its bytes are removed.
	old := newRecord(t, s, "abc", "key2", "old")
	if err := s.put(old, nil); err != nil {
		t.Fatal(err)
	}
	next := newRecord(t, s, "abc", "key2", "next")
	next.number = 2
	if err := s.writeJSON(recordFile(objectDir(next.name()), 2), next); err != nil {
		t.Fatal(err)
	}
	if r, err := s.get(next.name()); err != nil || content(t, s, r) != "next" {
		t.Errorf("behind the commit: %v, %v", r, err)
	}
	// Dead in the middle of ending an upload.
	u := &upload{Name: "key3", bucket: "abc"}
	if err := s.newUpload(u); err != nil {
		t.Fatal(err)
	}
	part := newRecord(t, s, "abc", "key3", "part").Files[0]
	part.Part = 1
	if err := s.putPart(u, partRecord{file: part}); err != nil {
		t.Fatal(err)
	}
	going := &upload{Name: "key3", bucket: "abc"}
	if err := s.newUpload(going); err != nil {
		t.Fatal(err)
	}
	if err := s.root.Remove(going.dir() + "/upload.json"); err != nil {
		t.Fatal(err)
	}

	young := tree(t, s)
	if err := s.sweep(); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, s); !slices.Equal(after, young) {
		t.Errorf("young files are gone: %q of %q", after, young)
	}
	for _, name := range tree(t, s) {
		then := time.Now().Add(-2 * leftBehind)
		if err := s.root.Chtimes(name, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.sweep(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"key": "kept", "key2": "next"} {
		if r, err := s.get(sse.ObjectName{Bucket: "abc", Object: name}); err != nil || content(t, s, r) != text {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	if parts, err := s.parts(u); err != nil || len(parts) != 1 {
		t.Errorf("%d parts: %v", len(parts), err)
	}
	var want []string
	want = append(want, before...)
	want = append(want, "abc/GHIJKL.tmp.tmp", "abc/data/"+next.Files[0].ID, "abc/data/"+part.ID,
		recordFile(objectDir(next.name()), 2), u.dir()+"/upload.json", u.dir()+"/1.part")
	slices.Sort(want)
	got := tree(t, s)
	for i := range got {
		got[i] = filepath.ToSlash(got[i])
	}
	slices.Sort(got)
	for i := range want {
		want[i] = filepath.ToSlash(want[i])
	}
	if !slices.Equal(got, want) {
		t.Errorf("files:\n%s\nnot:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestStoreOfOtherBytes: whatever a disk returns in place of a record is an error, and
// nobody waits for another one.
func TestStoreOfOtherBytes(t *testing.T) {
	s := newBucket(t, "abc")
	n := sse.ObjectName{Bucket: "abc", Object: "key"}
	if err := s.put(newRecord(t, s, "abc", "key", "text"), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.root.Mkdir(objectDir(n)+"/7", 0o700); err != nil { // no record
		t.Fatal(err)
	}
	if _, err := s.get(n); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "{", `[]`, `{"files":{}}`, "\x00"} {
		if err := s.root.WriteFile(recordFile(objectDir(n), 1), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.get(n); err == nil || errors.Is(err, errNoSuchKey) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := s.upload(n, "../../abc"); !errors.Is(err, errNoSuchUpload) {
		t.Errorf("an id that is a path: %v", err)
	}
}

func TestFilesReader(t *testing.T) {
	s := newBucket(t, "abc")
	r := &record{Name: "key", bucket: "abc"}
	var whole bytes.Buffer
	for i, text := range []string{"one", "", "three", "x"} {
		f := newRecord(t, s, "abc", "key", text).Files[0]
		f.Part = i + 1
		r.Files = append(r.Files, f)
		whole.WriteString(text)
	}
	for off := range int64(whole.Len()) {
		f, err := s.fetch(r)(t.Context(), off, int64(whole.Len())-off)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err != nil || string(text) != whole.String()[off:] {
			t.Errorf("from %d on: %q, %v", off, text, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNames(t *testing.T) {
	for name, valid := range map[string]bool{
		"abc": true, "a.b-c": true, "123": true, strings.Repeat("a", 63): true,
		"": false, "ab": false, strings.Repeat("a", 64): false, "_lock": false, "..": false, "a..b": false, ".ab": false, "ab-": false,
		"Abc": false, "a/b": false, `a\b`: false, "a b": false, "a\x00b": false, "äbc": false,
	} {
		if validBucket(name) != valid {
			t.Errorf("bucket %q: %v", name, !valid)
		}
	}
	for key, valid := range map[string]bool{
		"a": true, "a/b": true, "ä": true, "a b": true, "...": true, "..a": true, strings.Repeat("a", 1024): true,
		"..": false, "a/../b": false, "./a": false, "a/.": false, "../abc/b": false, "a/b/..": false, strings.Repeat("a", 1025): false,
	} {
		if validKey(key) != valid {
			t.Errorf("key %q: %v", key, !valid)
		}
	}
}
