package sse_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/kestest"
	"github.com/objseal/objseal/sse"
)

// TestKMSRequests counts at the key server: an upload, whatever its form, is one
// request; opening an object is one, and reading it none; SSE-C is none at all.
func TestKMSRequests(t *testing.T) {
	s := kestest.NewServer()
	defer s.Close()
	s.CreateKey("one", "two")
	c := kms.NewClient(s.Backend(&kes.Options{DefaultKeyID: "one"}), nil)
	before := 0
	want := func(t *testing.T, what, path string, n int) {
		t.Helper()
		all := s.Requests("")
		for _, r := range all[before:] {
			if !strings.HasPrefix(r.Path, path) {
				t.Errorf("%s: a request of %s", what, r.Path)
			}
		}
		if got := len(all) - before; got != n {
			t.Errorf("%s: %d requests, want %d", what, got, n)
		}
		before = len(all)
	}
	for name, r := range requests(t) {
		one := 1
		if r.Method == sse.C {
			one = 0
		}
		for _, size := range []int{0, 1, 200_000} {
			t.Run(name, func(t *testing.T) {
				plain := someBytes(size)
				o := seal(t, c, r, object, plain, nil)
				want(t, "upload", "/v1/key/generate/", one)
				opened := o.mustOpen(t, c, object, openWith(r))
				want(t, "open", "/v1/key/decrypt/", one)
				for range 2 {
					if got, _, err := o.read(opened, sse.Whole); err != nil || !bytes.Equal(got, plain) {
						t.Fatal(err)
					}
				}
				if _, err := opened.ETag(); err != nil {
					t.Fatal(err)
				}
				want(t, "reading twice and the ETag", "", 0)
			})
		}
		m, err := sse.NewMultipart(background, c, r, object)
		if err != nil {
			t.Fatal(err)
		}
		for part := 1; part <= 3; part++ {
			u, err := m.Part(background, part, bytes.NewReader(someBytes(100)), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.WriteTo(new(bytes.Buffer)); err != nil {
				t.Fatal(err)
			}
		}
		want(t, name+": multipart upload", "/v1/key/generate/", one)
	}
}
