package main

import (
	"errors"
	"sync"
	"testing"
)

// newPart is a part of text, which is stored.
func newPart(t *testing.T, s *store, u *upload, number int, text string) partRecord {
	t.Helper()
	f := newRecord(t, s, u.bucket, u.Name, text).Files[0]
	f.Part = number
	return partRecord{file: f}
}

// TestCompletedTwice: a process that dies between the two steps of a completion leaves an
// upload with the bytes of the object. Whatever becomes of it, the object keeps them.
func TestCompletedTwice(t *testing.T) {
	for name, end := range map[string]func(*store, *upload, *record) error{
		"abort":    func(s *store, u *upload, _ *record) error { return s.abort(u) },
		"complete": func(s *store, u *upload, r *record) error { return s.complete(u, r, nil) },
		"part sent again": func(s *store, u *upload, _ *record) error {
			return s.putPart(u, newPart(t, s, u, 1, "again"))
		},
		"part sent again, and abort": func(s *store, u *upload, _ *record) error {
			return errors.Join(s.putPart(u, newPart(t, s, u, 1, "again")), s.abort(u))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBucket(t, "abc")
			u := &upload{Name: "key", bucket: "abc"}
			if err := s.newUpload(u); err != nil {
				t.Fatal(err)
			}
			p, dropped := newPart(t, s, u, 1, "the object"), newPart(t, s, u, 2, "not of it")
			if err := errors.Join(s.putPart(u, p), s.putPart(u, dropped)); err != nil {
				t.Fatal(err)
			}
			r := &record{Name: "key", bucket: "abc", InParts: true, Files: []file{p.file}}
			if err := s.put(r, nil); err != nil { // the first step
				t.Fatal(err)
			}
			again := *r
			if err := end(s, u, &again); err != nil {
				t.Fatal(err)
			}
			r, err := s.get(r.name())
			if err != nil || content(t, s, r) != "the object" {
				t.Errorf("%v: %v", r, err)
			}
			if name == "part sent again" {
				return
			}
			if data, records := count(t, s); data != 1 || records != 1 {
				t.Errorf("%d data files, %d records", data, records)
			}
		})
	}
}

// TestPartsBesideCompletion: parts are sent again, and uploads given up, while they are
// completed. Whoever is first: an object has its bytes, and nothing else stays.
func TestPartsBesideCompletion(t *testing.T) {
	s := newBucket(t, "abc")
	for range 100 {
		u := &upload{Name: "key", bucket: "abc"}
		if err := s.newUpload(u); err != nil {
			t.Fatal(err)
		}
		p := newPart(t, s, u, 1, "first")
		if err := s.putPart(u, p); err != nil {
			t.Fatal(err)
		}
		again := newPart(t, s, u, 1, "again")
		var completed, put, aborted error
		var group sync.WaitGroup
		group.Go(func() {
			completed = s.complete(u, &record{Name: "key", bucket: "abc", InParts: true, Files: []file{p.file}}, nil)
		})
		group.Go(func() { put = s.putPart(u, again) })
		group.Go(func() { aborted = s.abort(u) })
		group.Wait()
		for _, err := range []error{completed, put, aborted} {
			if err != nil && !errors.Is(err, errNoSuchUpload) && !errors.Is(err, errDataGone) {
				t.Fatal(err)
			}
		}
		if (completed == nil) == (aborted == nil) {
			t.Fatalf("completed: %v; aborted: %v", completed, aborted)
		}
		if completed != nil {
			continue
		}
		r, err := s.get((&record{Name: "key", bucket: "abc"}).name())
		if err != nil || content(t, s, r) != "first" {
			t.Fatalf("%v: %v", r, err)
		}
		if data, records := count(t, s); data != 1 || records != 1 {
			t.Fatalf("%d data files, %d records", data, records)
		}
	}
}
