package sse_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

const (
	prefix     = "X-Minio-Internal-Server-Side-Encryption-"
	metaIV     = prefix + "Iv"
	metaAlg    = prefix + "Seal-Algorithm"
	metaC      = prefix + "Sealed-Key"
	metaS3     = prefix + "S3-Sealed-Key"
	metaKMS    = prefix + "Kms-Sealed-Key"
	metaKeyID  = prefix + "S3-Kms-Key-Id"
	metaDEK    = prefix + "S3-Kms-Sealed-Key"
	metaCtx    = prefix + "Context"
	metaMP     = "X-Minio-Internal-Encrypted-Multipart"
	metaActual = "X-Minio-Internal-actual-size"
	metaComp   = "X-Minio-Internal-compression"
	metaCRC    = "x-minio-internal-crc"
)

func b64(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }

// TestHostileMetadata breaks one entry at a time (SSE spec section 2.1).
func TestHostileMetadata(t *testing.T) {
	c := newClient(t)
	rs := requests(t)
	for _, test := range []struct {
		name, request, entry, value string // value "-" deletes
		kind                        sse.Kind
	}{
		{"no IV", "SSE-S3", metaIV, "-", sse.KindTampered},
		{"empty IV", "SSE-C", metaIV, "", sse.KindTampered},
		{"IV not base64", "SSE-S3", metaIV, "%", sse.KindTampered},
		{"IV of 31 bytes", "SSE-S3", metaIV, b64(31), sse.KindTampered},
		{"IV of 33 bytes", "SSE-S3", metaIV, b64(33), sse.KindTampered},
		{"IV of 1 MB", "SSE-S3", metaIV, b64(1 << 20), sse.KindTampered},
		{"another IV", "SSE-S3", metaIV, b64(32), sse.KindNotAuthentic},
		{"no algorithm", "SSE-KMS", metaAlg, "-", sse.KindTampered},
		{"unknown algorithm", "SSE-KMS", metaAlg, "DAREv3", sse.KindUnsupported},
		{"legacy algorithm under SSE-S3", "SSE-S3", metaAlg, "DARE-SHA256", sse.KindUnsupported},
		{"legacy algorithm under SSE-KMS", "SSE-KMS", metaAlg, "DARE-SHA256", sse.KindUnsupported},
		{"legacy algorithm under SSE-C, not allowed", "SSE-C", metaAlg, "DARE-SHA256", sse.KindUnsupported},
		{"no sealed key", "SSE-S3", metaS3, "-", sse.KindTampered},
		{"empty sealed key", "SSE-S3", metaS3, "", sse.KindTampered},
		{"sealed key of 63 bytes", "SSE-S3", metaS3, b64(63), sse.KindTampered},
		{"sealed key of zeros", "SSE-C", metaC, b64(64), sse.KindNotAuthentic},
		{"no key id", "SSE-S3", metaKeyID, "-", sse.KindTampered},
		{"another key id", "SSE-S3", metaKeyID, "two", sse.KindNotAuthentic},
		{"unknown key id", "SSE-S3", metaKeyID, "three", sse.KindKeyNotFound},
		{"key id with a path", "SSE-S3", metaKeyID, "../x", sse.KindKeyNotFound}, // built-in keys have any name
		{"key id of 1 MB", "SSE-S3", metaKeyID, strings.Repeat("k", 1<<20), sse.KindInvalidRequest},
		{"key id not UTF-8", "SSE-S3", metaKeyID, "k\xff", sse.KindInvalidRequest},
		{"key id with a line end", "SSE-S3", metaKeyID, "k\nobjseal: error: all is well", sse.KindInvalidRequest},
		{"no data key", "SSE-S3", metaDEK, "-", sse.KindTampered},
		{"no key id and no data key", "SSE-S3", metaKeyID + " " + metaDEK, "-", sse.KindUnsupported}, // a mode of 2018
		{"empty data key", "SSE-S3", metaDEK, "", sse.KindNotAuthentic},
		{"data key not base64", "SSE-S3", metaDEK, "*", sse.KindTampered},
		{"data key of zeros", "SSE-S3", metaDEK, b64(76), sse.KindNotAuthentic},
		{"data key of 27 bytes", "SSE-S3", metaDEK, b64(27), sse.KindNotAuthentic},
		{"data key of 1 MB", "SSE-S3", metaDEK, b64(1 << 20), sse.KindTampered},
		{"context not base64", "SSE-KMS", metaCtx, "{}", sse.KindTampered},
		{"context not JSON", "SSE-KMS", metaCtx, b64(3), sse.KindTampered},
		{"context with a number", "SSE-KMS", metaCtx, base64.StdEncoding.EncodeToString([]byte(`{"a":1}`)), sse.KindTampered},
		{"context added", "SSE-KMS", metaCtx, base64.StdEncoding.EncodeToString([]byte(`{"a":"1"}`)), sse.KindNotAuthentic},
		{"context taken away", "SSE-KMS-context", metaCtx, "-", sse.KindNotAuthentic},
		{"context of 1 MB", "SSE-KMS", metaCtx, b64(1 << 20), sse.KindTampered},
		{"flagged as multipart", "SSE-S3", metaMP, "", sse.KindInvalidRequest}, // the part list is missing
		{"flagged as compressed", "SSE-S3", metaComp, "klauspost/compress/s2", sse.KindTampered},
		{"unknown compression", "SSE-S3", metaComp, "zip", sse.KindUnsupported},
		{"another size", "SSE-S3", metaActual, "99", sse.KindTampered},
		{"size beyond int64", "SSE-S3", metaActual, "9223372036854775808", sse.KindTampered},
		{"size 0", "SSE-S3", metaActual, "0", sse.KindTampered},
		{"a negative size", "SSE-S3", metaActual, "-1", sse.KindTampered},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := rs[test.request]
			s := seal(t, c, r, object, someBytes(100), nil)
			if test.value == "-" {
				for entry := range strings.FieldsSeq(test.entry) {
					delete(s.Metadata, entry)
				}
			} else {
				s.Metadata[test.entry] = test.value
			}
			obj, err := s.open(c, object, openWith(r))
			if obj != nil || err == nil || sse.KindOf(err) != test.kind {
				t.Fatalf("got kind %q, want %q: %v", sse.KindOf(err), test.kind, err)
			}
			if text := err.Error(); len(text) > 500 || strings.Contains(text, "\n") || !utf8.ValidString(text) {
				t.Errorf("the message has %d bytes: %.100q", len(text), text)
			}
			if test.kind == sse.KindTampered && !strings.Contains(err.Error(), test.entry) && test.entry != metaS3 && test.entry != metaComp {
				t.Errorf("the message does not name the entry: %v", err)
			}
		})
	}
}

// TestLegacySealOnlyUnderSSEC: allowed or not.
func TestLegacySealOnlyUnderSSEC(t *testing.T) {
	c := newClient(t)
	for name, r := range requests(t) {
		s := seal(t, c, r, object, nil, nil)
		s.Metadata[metaAlg] = "DARE-SHA256"
		want := sse.KindUnsupported
		if r.Method == sse.C {
			want = sse.KindNotAuthentic // it is no such seal
		}
		o := openWith(r)
		o.AllowLegacySeal, o.AllowLegacyStream = true, true
		if _, err := s.open(c, object, o); sse.KindOf(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestContextOnlyUnderSSEKMS: for the other two it is no entry at all.
func TestContextOnlyUnderSSEKMS(t *testing.T) {
	c := newClient(t)
	for _, r := range []sse.Request{{Method: sse.S3}, {Method: sse.C, CustomerKey: customerKey(t, 1)}} {
		s := seal(t, c, r, object, []byte("data"), nil)
		for _, context := range []string{"*", base64.StdEncoding.EncodeToString([]byte(`{"a":"b"}`))} {
			s.Metadata[metaCtx] = context
			if obj := s.mustOpen(t, c, object, openWith(r)); len(obj.Context) != 0 {
				t.Errorf("%s: context %v", r.Method, obj.Context)
			}
		}
	}
}

// TestStrippedMetadata: what is left of encryption is never plaintext.
func TestStrippedMetadata(t *testing.T) {
	for _, entry := range []string{metaMP, metaIV, metaAlg, metaKeyID, metaDEK, metaCtx} {
		for _, value := range []string{"", "x"} {
			_, err := sse.Open(background, nil, object, sse.Stored{Metadata: map[string]string{entry: value, "etag": "00"}}, nil)
			if !errors.Is(err, sse.ErrTampered) {
				t.Errorf("only %s: %v", entry, err)
			}
		}
	}
	for _, m := range []map[string]string{nil, {"content-type": "text/plain"}, {metaComp: "klauspost/compress/s2"}} {
		if _, err := sse.Open(background, nil, object, sse.Stored{Metadata: m, Size: 5}, nil); !errors.Is(err, sse.ErrNotEncrypted) {
			t.Errorf("%v: %v", m, err)
		}
		if _, err := sse.Describe(sse.Stored{Metadata: m, Size: 5}); !errors.Is(err, sse.ErrNotEncrypted) {
			t.Errorf("Describe %v: %v", m, err)
		}
	}
}

// TestMethodPrecedence: KMS before S3 before C (SSE spec section 2).
func TestMethodPrecedence(t *testing.T) {
	c := newClient(t)
	s := seal(t, c, sse.Request{Method: sse.KMS}, object, nil, nil)
	for _, slot := range []string{metaS3, metaC} {
		s.Metadata[slot] = b64(64)
		if d, err := sse.Describe(s.Stored); err != nil || d.Method != sse.KMS {
			t.Errorf("with %s: %v, %v", slot, d.Method, err)
		}
		s.mustOpen(t, c, object, nil)
	}
	s = seal(t, c, sse.Request{Method: sse.S3}, object, nil, nil)
	s.Metadata[metaC] = b64(64)
	s.mustOpen(t, c, object, nil)
	// A slot moved is a seal for another method.
	s.Metadata[metaKMS] = s.Metadata[metaS3]
	if _, err := s.open(c, object, nil); !errors.Is(err, sse.ErrNotAuthentic) {
		t.Errorf("an SSE-S3 seal in the SSE-KMS slot: %v", err)
	}
}

// TestETags is the table of SSE spec section 4, plain forms.
func TestETags(t *testing.T) {
	c := newClient(t)
	const md5hex = "d41d8cd98f00b204e9800998ecf8427e"
	for _, test := range []struct {
		stored, want string
		bad          bool
	}{
		{"", "", false},
		{md5hex, md5hex, false},
		{md5hex + "-1", md5hex + "-1", false},
		{md5hex + "-10000", md5hex + "-10000", false},
		{md5hex + "-", "", true},
		{md5hex + "-x", "", true},
		{md5hex + "-1-2", "", true},
		{md5hex + "--1", "", true},
		{md5hex + "-+1", "", true},
		{md5hex + "-99999999999999999999", "", true},
		{"-1", "", true},
		{md5hex[1:] + "-1", "", true},
		{"not hexadecimal", "", true},
		{md5hex + "00", "", true},            // too short for a seal
		{strings.Repeat("20", 48), "", true}, // not sealed by this key
		{strings.Repeat("20", 1<<20), "", true},
	} {
		for name, r := range requests(t) {
			s := seal(t, c, r, object, []byte("data"), nil)
			s.Metadata["etag"] = test.stored
			obj := s.mustOpen(t, c, object, openWith(r))
			got, err := obj.ETag()
			if got != test.want || (err != nil) != test.bad {
				t.Errorf("%s %.50q: %q, %v", name, test.stored, got, err)
			}
			// The data does not depend on it, but a full read does not look away.
			if _, i, err := s.read(obj, sse.Whole); (err != nil) != test.bad || err == nil && i.Level != sse.Packages {
				t.Errorf("%s %.50q: read %+v, %v", name, test.stored, i, err)
			}
			if _, _, err := s.read(obj, sse.Range{Offset: 0, Length: 1}); err != nil {
				t.Errorf("%s %.50q: a range: %v", name, test.stored, err)
			}
		}
	}
}

// TestETagFromAnotherObject: sealed ETags hang off the object key.
func TestETagFromAnotherObject(t *testing.T) {
	c := newClient(t)
	a := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("a"), &sse.EncryptOptions{Checksum: sse.CRC32})
	b := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("b"), &sse.EncryptOptions{Checksum: sse.CRC32})
	for _, entry := range []string{"etag", metaCRC} {
		s := a
		s.Metadata = maps.Clone(a.Metadata)
		s.Metadata[entry] = b.Metadata[entry]
		obj := s.mustOpen(t, c, object, nil)
		_, etagErr := obj.ETag()
		_, sumErr := obj.Checksums()
		if (etagErr != nil) != (entry == "etag") || (sumErr != nil) != (entry == metaCRC) {
			t.Errorf("%s: %v, %v", entry, etagErr, sumErr)
		}
		if _, _, err := s.read(obj, sse.Whole); sse.KindOf(err) != sse.KindTampered {
			t.Errorf("%s: read: %v", entry, err)
		}
	}
}

// TestChecksumRecords reads every type, multipart, with part checksums, with
// the trailing flag (SSE spec section 5).
func TestChecksumRecords(t *testing.T) {
	sizes := map[sse.ChecksumType]int{sse.SHA256: 32, sse.SHA1: 20, sse.CRC32: 4, sse.CRC32C: 4, sse.CRC64NVME: 8}
	for typ, size := range sizes {
		value := bytes.Repeat([]byte{7}, size)
		record := func(flags uint64, rest ...byte) []byte {
			return append(append(binary.AppendUvarint(nil, uint64(typ)|flags), value...), rest...)
		}
		for _, test := range []struct {
			name      string
			record    []byte
			composite bool
			parts     int
			shown     string
		}{
			{"single", record(0), false, 0, base64.StdEncoding.EncodeToString(value)},
			{"trailing", record(1), false, 0, base64.StdEncoding.EncodeToString(value)},
			{"full object", record(512), false, 0, base64.StdEncoding.EncodeToString(value)},
			{"full object, multipart", record(512|64, 3), false, 3, base64.StdEncoding.EncodeToString(value)},
			{"composite", record(64, 2), true, 2, base64.StdEncoding.EncodeToString(value) + "-2"},
			{"composite with parts", record(64|128, append([]byte{2}, bytes.Repeat([]byte{9}, 2*size)...)...), true, 2, base64.StdEncoding.EncodeToString(value) + "-2"},
		} {
			got := sse.ParseChecksums(test.record)
			if len(got) != 1 || got[0].Type != typ || got[0].Composite != test.composite || got[0].PartCount != test.parts || got[0].String() != test.shown {
				t.Errorf("%s %s: %+v", typ, test.name, got)
			}
			if wants := strings.Contains(test.name, "with parts"); len(got) == 1 && (len(got[0].Parts) == 2) != wants {
				t.Errorf("%s %s: parts %v", typ, test.name, got[0].Parts)
			}
			for n := range test.record {
				if got := sse.ParseChecksums(test.record[:n]); len(got) != 0 {
					t.Errorf("%s %s: cut to %d bytes: %+v", typ, test.name, n, got)
				}
			}
			if got := sse.ParseChecksums(append(test.record, record(0)...)); len(got) != 2 {
				t.Errorf("%s %s and another: %+v", typ, test.name, got)
			}
		}
	}
	for _, bad := range [][]byte{{}, {0}, {1}, {32}, {0x80}, bytes.Repeat([]byte{0xff}, 20), {6, 1, 2, 3},
		binary.AppendUvarint([]byte{8 | 64, 1, 2, 3, 4}, 10001), binary.AppendUvarint([]byte{8 | 64, 1, 2, 3, 4}, 1<<63),
		append(binary.AppendUvarint(nil, 1<<40|8), 1, 2, 3, 4)} {
		if got := sse.ParseChecksums(bad); len(got) != 0 {
			t.Errorf("% x: %+v", bad, got)
		}
	}
}

func TestReservedMetadata(t *testing.T) {
	for _, name := range []string{metaIV, metaMP, strings.ToUpper(metaIV), strings.ToLower(metaActual), metaCRC} {
		if !sse.IsReservedMetadata(name) {
			t.Errorf("%s is not reserved", name)
		}
	}
	for _, name := range []string{"", "etag", "X-Minio-Meta", "X-Amz-Meta-X-Minio-Internal-x"} {
		if sse.IsReservedMetadata(name) {
			t.Errorf("%s is reserved", name)
		}
	}
}

// FuzzOpen: whatever metadata says, nothing panics, and what opens is the
// plaintext or a failure.
func FuzzOpen(f *testing.F) {
	c := newClient(f)
	plain := someBytes(300)
	base := seal(f, c, sse.Request{Method: sse.KMS, Context: kms.AssociatedData{"a": "b"}}, object, plain, &sse.EncryptOptions{Checksum: sse.CRC32C})
	for _, entry := range []string{metaIV, metaAlg, metaKMS, metaS3, metaC, metaKeyID, metaDEK, metaCtx, metaMP, metaActual, metaComp, metaCRC, "etag"} {
		f.Add(entry, base.Metadata[entry], int64(332), 0, int64(0))
		f.Add(entry, "", int64(1<<62), 1, int64(1<<62))
	}
	f.Fuzz(func(t *testing.T, entry, value string, size int64, part int, partSize int64) {
		s := base
		s.Metadata = maps.Clone(base.Metadata)
		s.Metadata[entry] = value
		s.Size = size
		if part != 0 {
			s.Parts = []sse.Part{{Number: part, Size: partSize, ActualSize: size}, {Number: part + 1, Size: size - partSize}}
		}
		sse.Describe(s.Stored)
		obj, err := s.open(c, object, nil)
		if err != nil {
			if sse.KindOf(err) == sse.KindNone {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		obj.ETag()
		obj.Checksums()
		r, err := obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(base.data)), sse.Whole)
		if err != nil {
			return
		}
		got, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if !bytes.HasPrefix(plain, got) || err == nil && len(got) != len(plain) && obj.Size != 0 {
			t.Errorf("read %d bytes that are not the plaintext, %v", len(got), err)
		}
	})
}
