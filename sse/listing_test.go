package sse_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// TestListETags: a listing shows what a read shows, at one request for each
// whole object under SSE-S3 and none for all others.
func TestListETags(t *testing.T) {
	var calls, now, most atomic.Int64
	c := kms.NewClient(newClient(t).Backend(), &kms.Options{Observe: func(c kms.Call) {
		if c.Op == kms.OpDecrypt {
			calls.Add(1)
		}
	}, Authorize: func(_ context.Context, op kms.Operation, _ string, _ kms.AssociatedData) error {
		if op == kms.OpDecrypt {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			now.Add(-1)
		}
		return nil
	}})
	var list []sse.Listed
	var want []string
	add := func(n sse.ObjectName, metadata map[string]string, etag string) {
		list, want = append(list, sse.Listed{Name: n, Metadata: metadata}), append(want, etag)
	}
	s3 := 0
	for round := range 5 {
		for name, r := range requests(t) {
			n := sse.ObjectName{Bucket: "bucket", Object: fmt.Sprintf("%s-%d", name, round)}
			s := seal(t, c, r, n, []byte(name), nil)
			add(n, s.Metadata, s.etag)
			if r.Method == sse.S3 {
				s3++
				add(n, s.Metadata, s.etag) // another version under the same seal
			}
			m, err := sse.NewMultipart(background, c, r, n)
			if err != nil {
				t.Fatal(err)
			}
			p := multipart(t, m, []int{1, 5}, [][]byte{[]byte("a"), []byte("b")}, nil)
			add(n, p.Metadata, p.Metadata["etag"])
		}
	}
	add(object, map[string]string{"etag": plainETag}, plainETag)
	add(object, map[string]string{"etag": "any-form-of-it"}, "any-form-of-it")
	add(object, nil, "")
	for _, parallel := range []int{0, 1, 3, 32} {
		calls.Store(0)
		got, err := sse.ListETags(background, c, list, parallel)
		if err != nil || len(got) != len(want) || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%d: %q, %v; want %q", parallel, got, err, want)
		}
		if calls.Load() != int64(s3) {
			t.Errorf("%d requests for %d objects under SSE-S3", calls.Load(), s3)
		}
		if parallel > 0 && most.Load() > int64(parallel) {
			t.Errorf("%d requests at once, of %d", most.Load(), parallel)
		}
		most.Store(0)
	}
	if etags, err := sse.ListETags(background, nil, nil, 0); err != nil || len(etags) != 0 {
		t.Errorf("an empty listing: %q, %v", etags, err)
	}
	for _, parallel := range []int{-1, 33} {
		if _, err := sse.ListETags(background, c, list, parallel); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("%d at once: %v", parallel, err)
		}
	}
}

// TestListETagsFails: the first failure ends the listing, and is told as what it
// is.
func TestListETagsFails(t *testing.T) {
	c := newClient(t)
	var list []sse.Listed
	for i := range 100 {
		n := sse.ObjectName{Bucket: "bucket", Object: fmt.Sprint(i)}
		list = append(list, sse.Listed{Name: n, Metadata: seal(t, c, sse.Request{Method: sse.S3}, n, nil, nil).Metadata})
	}
	cancelled, cancel := context.WithCancel(background)
	cancel()
	if _, err := sse.ListETags(cancelled, c, list, 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	asked := 0
	down := kms.NewClient(c.Backend(), &kms.Options{Authorize: func(context.Context, kms.Operation, string, kms.AssociatedData) error {
		asked++
		return kms.ErrUnreachable
	}})
	if _, err := sse.ListETags(background, down, list, 1); !errors.Is(err, kms.ErrNotPermitted) || asked > 2 {
		t.Errorf("%v after %d requests", err, asked)
	}
	for name, change := range map[string]string{"damaged": hex.EncodeToString(bytes.Repeat([]byte{1}, 48)), "malformed": "a-b-c", "no hex": string(bytes.Repeat([]byte("x"), 96))} {
		bad := sse.Listed{Name: object, Metadata: with(seal(t, c, sse.Request{Method: sse.S3}, object, nil, nil).Metadata, "etag", change)}
		if _, err := sse.ListETags(background, c, []sse.Listed{list[0], bad}, 0); sse.KindOf(err) != sse.KindTampered && sse.KindOf(err) != sse.KindUnsupported {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sse.ListETags(background, c, []sse.Listed{{Name: object, Metadata: map[string]string{metaIV: "x"}}}, 0); !errors.Is(err, sse.ErrTampered) {
		t.Error(err)
	}
}

// TestOpenAny: encrypted and not, by what the metadata says; unless the backend
// knows that nothing is in plaintext.
func TestOpenAny(t *testing.T) {
	c := newClient(t)
	s := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("data"), nil)
	stripped := sealed{sse.Stored{Metadata: map[string]string{"etag": s.etag}, Size: s.Size}, s.data, s.etag}
	for _, test := range []struct {
		name string
		s    sealed
		o    *sse.OpenOptions
		want error
	}{
		{"sealed", s, nil, nil},
		{"sealed, required", s, &sse.OpenOptions{RequireEncrypted: true}, nil},
		{"plain", stripped, nil, nil},
		{"plain, options", stripped, new(sse.OpenOptions), nil},
		{"plain, required", stripped, &sse.OpenOptions{RequireEncrypted: true}, sse.ErrNotEncrypted},
		{"plain, customer key", stripped, &sse.OpenOptions{CustomerKey: customerKey(t, 1)}, sse.ErrNotEncrypted},
		{"stripped of its sealed key only", sealed{Stored: sse.Stored{Metadata: map[string]string{metaIV: s.Metadata[metaIV]}, Size: s.Size}}, nil, sse.ErrTampered},
	} {
		obj, err := sse.OpenAny(background, c, object, test.s.Stored, test.o)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if err != nil {
			continue
		}
		_, _, err = test.s.read(obj, sse.Whole)
		if fails := test.s.Metadata[metaIV] == ""; fails != errors.Is(err, sse.ErrTampered) { // its ETag was an MD5
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
