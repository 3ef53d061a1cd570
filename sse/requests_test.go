package sse_test

import (
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes/kestest"
	"github.com/objseal/objseal/sse"
)

// TestOneRequestPerObject counts at the key server what TestOneCallPerObject
// counts in the client.
func TestOneRequestPerObject(t *testing.T) {
	s := kestest.NewServer()
	defer s.Close()
	s.CreateKey("key-1")
	c := kms.NewClient(s.Backend(nil), &kms.Options{DefaultKeyID: "key-1"})
	want := 0
	expect := func(what string, requests int) {
		t.Helper()
		want += requests
		if got := s.Count(""); got != want {
			t.Errorf("%s: the server got %d requests, want %d", what, requests+got-want, requests)
			want = got
		}
	}
	for _, method := range []sse.Method{sse.S3, sse.KMS} {
		sealed := seal(t, c, sse.Request{Method: method}, object, someBytes(100), nil)
		expect("upload", 1)
		obj := sealed.mustOpen(t, c, object, nil)
		for range 3 {
			if _, _, err := sealed.read(obj, sse.Whole); err != nil {
				t.Fatal(err)
			}
		}
		expect("an open and three reads", 1)
	}
	if n := s.Count("/v1/key/generate/key-1"); n != 2 {
		t.Errorf("%d data keys for 2 uploads", n)
	}
}
