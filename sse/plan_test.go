package sse_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/objseal/objseal/internal/aead/aeadtest"
	"github.com/objseal/objseal/sse"
)

var planCases = flag.Int("sse.cases", 20_000, "ranges that TestPlanProperty reads; 1000000 for the long mode, a tenth under the race detector")

const (
	payload = 65536
	pkg     = payload + 32
)

// TestPlanProperty: for random part sizes and ranges, plan and decryption give
// a slice of the plaintext, and what is fetched is exactly the packages that hold
// a byte of the range.
func TestPlanProperty(t *testing.T) {
	const ranges = 100 // of one object
	r := rand.New(rand.NewPCG(1, 2))
	all := someBytes(1 << 20)
	request := sse.Request{Method: sse.C, CustomerKey: customerKey(t, 1)}
	opts := &sse.OpenOptions{CustomerKey: request.CustomerKey, SkipContentCheck: true}
	near := func(most int) int { // a size or offset, often at the edge of a package
		if r.IntN(2) == 0 {
			return r.IntN(most + 1)
		}
		return min(max(r.IntN(most/payload+1)*payload+r.IntN(5)-2, 0), most)
	}
	cases := *planCases
	if aeadtest.Race {
		cases /= 10
	}
	for n := 0; n < cases; n += ranges {
		var s multipartSealed
		var plain []byte
		var parts [][]byte
		if r.IntN(4) == 0 {
			plain = all[:near(5*payload)]
			s.sealed = seal(t, nil, request, object, plain, &sse.EncryptOptions{Policy: sse.ETagRandom})
			parts = [][]byte{plain}
		} else {
			var numbers []int
			for number := 0; len(parts) < 1+r.IntN(6); {
				number += 1 + r.IntN(3)
				numbers = append(numbers, number)
				part := all[len(plain):][:min(near(2*payload), len(all)-len(plain))]
				parts = append(parts, part)
				plain = all[:len(plain)+len(part)]
			}
			m, err := sse.NewMultipart(background, nil, request, object)
			if err != nil {
				t.Fatal(err)
			}
			s = multipart(t, m, numbers, parts, &sse.EncryptOptions{Policy: sse.ETagRandom})
		}
		obj := s.mustOpen(t, nil, object, opts)
		for range ranges {
			span, off, end := sse.Whole, 0, len(plain)
			if len(plain) > 0 && r.IntN(20) > 0 {
				off = min(near(len(plain)), len(plain)-1)
				length := 1 + near(len(plain)-off)
				span, end = sse.Range{Offset: int64(off), Length: int64(length)}, min(off+length, len(plain))
			}
			name := fmt.Sprintf("parts %v, range %+v", sizes(parts), span)
			plan, err := obj.Plan(span)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if again, err := sse.PlanRange(s.Stored, span); err != nil || fmt.Sprint(again) != fmt.Sprint(plan) {
				t.Fatalf("%s: %+v without a key, %v; %+v with it", name, again, err, plan)
			}
			if plan.Start != int64(off) || plan.Size != int64(end-off) {
				t.Fatalf("%s: %+v", name, plan)
			}
			if from, to := wanted(parts, off, end); plan.Length != to-from || plan.Length > 0 && plan.Offset != from {
				t.Fatalf("%s: fetches %d+%d, the packages are %d+%d", name, plan.Offset, plan.Length, from, to-from)
			}
			var sum, delivered int64
			for _, segment := range plan.Segments {
				sum, delivered = sum+segment.Packages.Length, delivered+segment.Packages.N
				if segment.Packages.Offset != int64(segment.Packages.Sequence)*pkg || segment.Packages.Skip >= payload {
					t.Fatalf("%s: %+v", name, segment)
				}
			}
			if sum != plan.Length || delivered != plan.Size {
				t.Fatalf("%s: segments of %d bytes for %d, of %d", name, sum, delivered, plan.Length)
			}
			rd, err := obj.NewReader(background, func(_ context.Context, off, n int64) (io.ReadCloser, error) {
				if off != plan.Offset || n != plan.Length {
					t.Errorf("%s: fetch of %d+%d; the plan is %+v", name, off, n, plan)
				}
				return io.NopCloser(bytes.NewReader(s.data[off : off+n])), nil
			}, span)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var got bytes.Buffer
			if _, err := rd.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), plain[off:end]) {
				t.Fatalf("%s: %d bytes, %v", name, got.Len(), err)
			}
		}
	}
}

func sizes(parts [][]byte) (n []int) {
	for _, p := range parts {
		n = append(n, len(p))
	}
	return n
}

// wanted walks over every package there is and returns where those begin and
// end that hold a byte of [off, end).
func wanted(parts [][]byte, off, end int) (from, to int64) {
	var plain int
	var stored int64
	for _, p := range parts {
		for at := 0; at < len(p); at += payload {
			n := min(payload, len(p)-at)
			if plain < end && plain+n > off {
				if to == 0 {
					from = stored
				}
				to = stored + int64(n) + 32
			}
			plain, stored = plain+n, stored+int64(n)+32
		}
	}
	return from, to
}

// TestPlanRefuses: a plan fails as the read would.
func TestPlanRefuses(t *testing.T) {
	c := newClient(t)
	s := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("data"), nil)
	if _, err := s.mustOpen(t, c, object, nil).Plan(sse.Range{Offset: 4, Length: 1}); !errors.Is(err, sse.ErrRange) {
		t.Error(err)
	}
	if _, err := sse.PlanRange(s.Stored, sse.Range{Offset: 4, Length: 1}); !errors.Is(err, sse.ErrRange) {
		t.Error(err)
	}
	if _, err := sse.PlanRange(sse.Stored{Size: 4}, sse.Whole); !errors.Is(err, sse.ErrNotEncrypted) {
		t.Error(err)
	}
	s.Size = 7
	if _, err := sse.PlanRange(s.Stored, sse.Whole); sse.KindOf(err) != sse.KindTruncated {
		t.Error(err)
	}
}

// TestPartNumber: what was sent as a part is what partNumber reads.
func TestPartNumber(t *testing.T) {
	c := newClient(t)
	m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
	if err != nil {
		t.Fatal(err)
	}
	parts := [][]byte{someBytes(70000), someBytes(3), nil, someBytes(payload)}
	numbers := []int{2, 3, 7, 10000}
	s := multipart(t, m, numbers, parts, nil)
	obj := s.mustOpen(t, c, object, nil)
	if obj.PartCount() != len(parts) {
		t.Errorf("%d parts", obj.PartCount())
	}
	start := int64(0)
	for i, number := range numbers {
		r, err := obj.PartRange(number)
		if err != nil || r.Offset != start || r.Length != int64(len(parts[i])) {
			t.Fatalf("part %d: %+v, %v", number, r, err)
		}
		if start += r.Length; r.Length == 0 {
			continue
		}
		if got, _, err := s.read(obj, r); err != nil || !bytes.Equal(got, parts[i]) {
			t.Errorf("part %d: %d bytes, %v", number, len(got), err)
		}
	}
	single := seal(t, c, sse.Request{Method: sse.S3}, object, nil, nil)
	whole := single.mustOpen(t, c, object, nil)
	if r, err := whole.PartRange(1); err != nil || r != sse.Whole || whole.PartCount() != 0 {
		t.Errorf("the only part: %+v, %v", r, err)
	}
	for _, test := range []struct {
		obj    *sse.Object
		number int
	}{{obj, 1}, {obj, 0}, {obj, -1}, {obj, 10001}, {whole, 0}, {whole, 2}} {
		if _, err := test.obj.PartRange(test.number); sse.ErrorResponse(err).Status != 416 || sse.ErrorResponse(err).Code != "InvalidPartNumber" {
			t.Errorf("part %d: %v", test.number, err)
		}
	}
}
