package sse_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/objseal/objseal/sse"
)

// FuzzCompressed: whatever S2 stream a key holder sealed, and whatever size is
// claimed for it, a read yields at most what was claimed, and the whole exactly
// if the stream has that size.
func FuzzCompressed(f *testing.F) {
	plain := mixedBytes(300)
	for _, w := range s2Writers {
		f.Add(compress(f, plain, w.options...), int64(300), int64(100), int64(50))
		f.Add(append(compress(f, plain, w.options...), compress(f, plain, w.options...)...), int64(600), int64(299), int64(2))
	}
	f.Add([]byte(s2Identifier+"\xfe\x03\x00\x00abc"), int64(0), int64(0), int64(1))
	f.Add(compress(f, make([]byte, 1<<20)), int64(10), int64(5), int64(5))
	f.Add([]byte{}, int64(1<<62), int64(1<<61), int64(-1))
	r := sse.Request{Method: sse.C, CustomerKey: customerKey(f, 1)}
	f.Fuzz(func(t *testing.T, packed []byte, claims, off, n int64) {
		// What the stream holds, up to one byte more than is claimed.
		const most = 8 << 20
		want, bad := io.ReadAll(io.LimitReader(s2.NewReader(bytes.NewReader(packed)), most+1))
		if claims < 0 || len(want) > most {
			return
		}
		s := seal(t, nil, r, object, packed, &sse.EncryptOptions{Policy: sse.ETagRandom})
		s.Metadata[metaComp], s.Metadata[metaActual] = schemeS2, strconv.FormatInt(claims, 10)
		obj, err := s.open(nil, object, openWith(r))
		if err != nil {
			if len(packed) > 0 || claims == 0 {
				t.Fatal(err)
			}
			return
		}
		got, _, err := s.read(obj, sse.Whole)
		if !bytes.HasPrefix(want, got) || int64(len(got)) > claims {
			t.Fatalf("%d bytes, of a stream with %d bytes that claims %d", len(got), len(want), claims)
		}
		if good := bad == nil && int64(len(want)) == claims; (err == nil) != good {
			t.Fatalf("read %d bytes of %d that claim to be %d: %v; the stream: %v", len(got), len(want), claims, err, bad)
		}
		part, _, err := s.read(obj, sse.Range{Offset: off, Length: n})
		if err != nil {
			return
		}
		if off < 0 {
			off = max(0, claims+off)
		}
		// Damage in front of a range does not show: those blocks are passed over.
		if bad == nil && (off > int64(len(want)) || !bytes.HasPrefix(want[off:], part)) || len(part) == 0 && claims > 0 || n >= 0 && int64(len(part)) > n {
			t.Fatalf("range %d+%d: %d bytes that are not there", off, n, len(part))
		}
	})
}

// FuzzChecksums: what is read from records has the sizes of its type.
func FuzzChecksums(f *testing.F) {
	for typ := range hashes {
		sum := sumOf(typ, nil)
		f.Add(record(uint64(typ), sum))
		f.Add(append(record(uint64(typ)|1, sum), record(uint64(typ)|64|128, sum, sum, sum)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		for _, c := range sse.ParseChecksums(b) {
			n := hashes[c.Type]().Size()
			if len(c.Value) != n || c.PartCount > 10000 || len(c.Parts) != 0 && len(c.Parts) != c.PartCount || c.Composite && c.String() == base64.StdEncoding.EncodeToString(c.Value) {
				t.Fatalf("%+v", c)
			}
			size += n * (1 + len(c.Parts))
		}
		if size > len(b) {
			t.Fatalf("%d bytes of digests from %d", size, len(b))
		}
	})
}

// FuzzParseRequest: a request is refused, or one that Encrypt understands; and
// a key sent is never shown.
func FuzzParseRequest(f *testing.F) {
	const key = "0123456789abcdef0123456789abcdef"
	for k, v := range customerHeaders(key) {
		f.Add(k, v, amz, "AES256")
		f.Add(k, v, k, v+"x")
	}
	f.Add(amz, "aws:kms", amz+"-Context", base64.StdEncoding.EncodeToString([]byte(`{"a":"b"}`)))
	f.Add(strings.ToLower(amz), "aws:kms", amz+"-Aws-Kms-Key-Id", "arn:aws:kms:k")
	f.Add(metaIV, "x", "", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		if k := sse.KindOf(parseOnly(sse.CopyObject, k1, v1, k2, v2)); k != sse.KindNone && k != sse.KindInvalidRequest {
			t.Fatalf("copy: %s", k)
		}
		h := http.Header{}
		for name, value := range customerHeaders(key) {
			if strings.HasPrefix(k1, "X-Amz-Server-Side-Encryption-C") {
				h[name] = []string{value}
			}
		}
		h[k1] = []string{v1}
		h[k2] = append(h[k2], v2)
		r, err := sse.ParseRequest(sse.PutObject, object, h, nil)
		if err != nil {
			if sse.KindOf(err) != sse.KindInvalidRequest || sse.ErrorResponse(err).Status != 400 || strings.Contains(err.Error(), key) {
				t.Fatalf("%v: %+v", err, sse.ErrorResponse(err))
			}
			return
		}
		for name := range h {
			if sse.IsReservedMetadata(name) || sse.IsReservedHeader(name) {
				t.Fatalf("%q was let through", name)
			}
			for _, asks := range []string{"", "-Aws-Kms-Key-Id", "-Context", "-Customer-Algorithm", "-Customer-Key", "-Customer-Key-Md5"} {
				if http.CanonicalHeaderKey(name) == amz+asks && r.Method == sse.None {
					t.Fatalf("%q was looked over", name)
				}
			}
		}
		if r.Method == sse.C || r.Method == sse.S3 {
			seal(t, newClient(t), r, object, []byte("data"), nil)
		}
	})
}

// parseOnly parses two headers as those of a request to op.
func parseOnly(op sse.Operation, k1, v1, k2, v2 string) error {
	_, err := sse.ParseRequest(op, object, http.Header{k1: {v1}, k2: {v2}}, nil)
	return err
}

// FuzzBucketEncryption: whatever is accepted is one of the two that exist, and
// the same after a round trip.
func FuzzBucketEncryption(f *testing.F) {
	for _, body := range []string{"", "<x/>", rule("<SSEAlgorithm>AES256</SSEAlgorithm>"), rule("<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>arn:aws:kms:a&amp;b</KMSMasterKeyID>") + "<!-- end -->"} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := sse.ParseBucketEncryption(body)
		if err != nil {
			if r := sse.ErrorResponse(err); r.Code != "MalformedXML" || r.Status != 400 || b != (sse.BucketEncryption{}) {
				t.Fatalf("%+v", r)
			}
			return
		}
		text, err := b.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := sse.ParseBucketEncryption(text); err != nil || again != b {
			t.Fatalf("%+v became %+v, %v", b, again, err)
		}
	})
}

// FuzzIndex: whatever index an object without encryption has, a range yields no
// more than was asked for, and with the writer's own exactly that.
func FuzzIndex(f *testing.F) {
	plain := make([]byte, 9<<20)
	for i := range 9 {
		plain[i<<20] = byte(i)
	}
	packed, index := compressIndexed(f, plain)
	f.Add(index, int64(5<<20-1), int64(3))
	f.Add(index[:len(index)-1], int64(1<<20), int64(1<<20))
	f.Add([]byte{}, int64(0), int64(1))
	f.Fuzz(func(t *testing.T, b []byte, off, n int64) {
		s := sealed{sse.Stored{Metadata: map[string]string{metaComp: schemeS2, metaActual: strconv.Itoa(len(plain))}, Size: int64(len(packed)), Indexes: map[int][]byte{1: b}}, packed, ""}
		obj, err := sse.OpenAny(background, nil, object, s.Stored, nil)
		if err != nil {
			t.Fatal(err)
		}
		if off < 0 || n < 1 || n > 100_000 || off >= int64(len(plain)) {
			return
		}
		want := plain[off:min(off+n, int64(len(plain)))]
		got, _, err := s.read(obj, sse.Range{Offset: off, Length: n})
		if len(got) > len(want) || err == nil && len(got) != len(want) {
			t.Fatalf("%d bytes, %v; asked for %d", len(got), err, len(want))
		}
		if bytes.Equal(b, index) && !bytes.Equal(got, want) {
			t.Fatalf("other bytes: %v", err)
		}
	})
}
