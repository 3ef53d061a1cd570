package sse_test

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/objseal/objseal/sse"
)

// TestEncryptAny: what asks for no encryption is stored as it is, with its ETag and
// checksum, and OpenAny reads it; everything else is what Encrypt makes.
func TestEncryptAny(t *testing.T) {
	c := newClient(t)
	for _, size := range []int{0, 1, payload, payload + 1, 200_000} {
		plain := someBytes(size)
		for _, whole := range []bool{false, true} { // Read, WriteTo
			u, err := sse.EncryptAny(background, nil, sse.Request{}, object, bytes.NewReader(plain), &sse.EncryptOptions{Checksum: sse.CRC32C, Size: sse.KnownSize(int64(size))})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := u.Metadata(); !errors.Is(err, sse.ErrIncompleteUpload) {
				t.Errorf("metadata before the end: %v", err)
			}
			var data bytes.Buffer
			if whole {
				_, err = u.WriteTo(&data)
			} else {
				_, err = io.Copy(&data, struct{ io.Reader }{u})
			}
			if err != nil || !bytes.Equal(data.Bytes(), plain) || u.Size() != int64(size) || u.StoredSize() != int64(size) {
				t.Fatalf("%d bytes came out of %d, error %v", data.Len(), size, err)
			}
			m, err := u.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%x", md5.Sum(plain)); u.ETag() != want || m["etag"] != want {
				t.Errorf("ETag %s, stored %s, want %s", u.ETag(), m["etag"], want)
			}
			s := sse.Stored{Metadata: m, Size: int64(size)}
			if _, err := sse.Open(background, c, object, s, nil); !errors.Is(err, sse.ErrNotEncrypted) {
				t.Errorf("Open: %v", err)
			}
			o, err := sse.OpenAny(background, nil, object, s, nil)
			if err != nil {
				t.Fatal(err)
			}
			sums, err := o.Checksums()
			if err != nil || len(sums) != 1 || !bytes.Equal(sums[0].Value, sumOf(sse.CRC32C, plain)) || u.Checksum().String() != sums[0].String() {
				t.Errorf("checksums %v, %v", sums, err)
			}
			r, err := o.NewReader(background, sse.FetchReaderAt(bytes.NewReader(data.Bytes())), sse.Whole)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) || r.Integrity().Level != sse.Content {
				t.Errorf("%d bytes read, %v, %v", len(got), r.Integrity(), err)
			}
		}
	}
	for name, r := range requests(t) {
		u, err := sse.EncryptAny(background, c, r, object, bytes.NewReader(someBytes(100)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(u); err != nil || len(data) != 132 {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
}

// TestAnyRefuses: a request that names keys and no method is a mistake, not one for
// plaintext; and a body that is not what was announced makes no object.
func TestAnyRefuses(t *testing.T) {
	key := customerKey(t, 1)
	for name, r := range map[string]sse.Request{
		"key id":       {KMSKeyID: "k"},
		"context":      {Context: map[string]string{"a": "b"}},
		"no context":   {Context: map[string]string{}}, // ParseRequest's for SSE-KMS
		"part":         {Operation: sse.UploadPart},
		"part copy":    {Operation: sse.UploadPartCopy},
		"read":         {Operation: sse.GetObject},
		"customer key": {CustomerKey: key},
	} {
		if _, err := sse.EncryptAny(background, nil, r, object, bytes.NewReader(nil), nil); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("%s: object: %v", name, err)
		}
		if _, err := sse.NewMultipartAny(background, nil, r, object); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("%s: upload: %v", name, err)
		}
	}
	if _, err := sse.EncryptAny(background, nil, sse.Request{}, object, nil, nil); !errors.Is(err, sse.ErrInvalidRequest) {
		t.Errorf("no body: %v", err)
	}
	if _, err := sse.EncryptAny(background, nil, sse.Request{}, object, bytes.NewReader(nil), &sse.EncryptOptions{Workers: -1}); !errors.Is(err, sse.ErrInvalidRequest) {
		t.Errorf("options: %v", err)
	}
	for name, o := range map[string]*sse.EncryptOptions{
		"too short":   {Size: sse.KnownSize(11)},
		"too long":    {Size: sse.KnownSize(9)},
		"another MD5": {ContentMD5: make([]byte, 16)},
	} {
		u, err := sse.EncryptAny(background, nil, sse.Request{}, object, bytes.NewReader(someBytes(10)), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.WriteTo(io.Discard); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
		if m, err := u.Metadata(); err == nil {
			t.Errorf("%s: metadata %v", name, m)
		}
	}
}

// TestMultipartAny: parts without encryption, with checksums of both types, and parts of
// every method whose ETag is shown as far as that needs no key.
func TestMultipartAny(t *testing.T) {
	c := newClient(t)
	all := map[string]sse.Request{"none": {}}
	for name, r := range requests(t) {
		all[name] = r
	}
	plain := [][]byte{someBytes(70001), nil, someBytes(12)}
	for name, r := range all {
		for _, full := range []bool{false, true} {
			m, err := sse.NewMultipartAny(background, c, r, object)
			if err != nil {
				t.Fatal(err)
			}
			upload := m.Metadata()
			opts := &sse.OpenOptions{CustomerKey: r.CustomerKey}
			m, err = sse.ResumeMultipartAny(background, c, object, upload, opts)
			if err != nil {
				t.Fatal(err)
			}
			var s multipartSealed
			var done []sse.CompletedPart
			for i, p := range plain {
				u, err := m.Part(background, 2*i+1, bytes.NewReader(p), &sse.EncryptOptions{Checksum: sse.CRC32})
				if err != nil {
					t.Fatal(err)
				}
				data, err := io.ReadAll(u)
				if err != nil {
					t.Fatal(err)
				}
				part, err := u.Metadata()
				if err != nil {
					t.Fatal(err)
				}
				etag, sums, err := m.OpenPart(part)
				if err != nil || etag != u.ETag() || len(sums) != 1 || !bytes.Equal(sums[0].Value, sumOf(sse.CRC32, p)) {
					t.Errorf("%s: part opens as %q, %v, %v; want %q", name, etag, sums, err, u.ETag())
				}
				shown, ok := sse.ShownPartETag(upload, part)
				if hidden := r.Method == sse.S3; ok == hidden || ok && shown != etag {
					t.Errorf("%s: ETag %q is shown as %q, %v", name, etag, shown, ok)
				}
				if _, ok := sse.ShownPartETag(upload, nil); ok {
					t.Errorf("%s: the ETag of nothing is shown", name)
				}
				s.data = append(s.data, data...)
				s.Parts = append(s.Parts, sse.Part{Number: 2*i + 1, Size: int64(len(data)), ActualSize: u.Size()})
				done = append(done, sse.CompletedPart{Number: 2*i + 1, ETag: etag, ActualSize: u.Size(), Checksum: sums[0].Value})
			}
			s.Size = int64(len(s.data))
			if s.Metadata, err = m.CompleteWith(done, &sse.CompleteOptions{Checksum: sse.CRC32, FullObject: full}); err != nil {
				t.Fatal(err)
			}
			o, err := sse.OpenAny(background, c, object, s.Stored, opts)
			if err != nil {
				t.Fatal(err)
			}
			if sums, err := o.Checksums(); err != nil || len(sums) != 1 || sums[0].Composite == full || sums[0].PartCount != 3 {
				t.Errorf("%s: checksums %v, %v", name, sums, err)
			}
			rd, err := o.NewReader(background, sse.FetchReaderAt(bytes.NewReader(s.data)), sse.Whole)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(rd); err != nil || !bytes.Equal(got, bytes.Join(plain, nil)) || rd.Integrity().Level != sse.Content {
				t.Errorf("%s: %d bytes, %v, %v", name, len(got), rd.Integrity(), err)
			}
		}
	}
	for name, o := range map[string]*sse.OpenOptions{"required": {RequireEncrypted: true}, "customer key": {CustomerKey: customerKey(t, 1)}} {
		if _, err := sse.ResumeMultipartAny(background, c, object, nil, o); !errors.Is(err, sse.ErrNotEncrypted) {
			t.Errorf("an upload without encryption, %s: %v", name, err)
		}
	}
	if m, err := sse.ResumeMultipartAny(background, nil, object, nil, nil); err != nil || m.Metadata() == nil {
		t.Errorf("an upload without encryption, no options: %v", err)
	}
	other := map[string]string{"content-type": "text/plain"}
	m := must(sse.ResumeMultipartAny(background, nil, object, other, nil))
	done, err := m.Complete([]sse.CompletedPart{{Number: 1, ETag: strings.Repeat("01", 16)}})
	if err != nil || done["content-type"] != "text/plain" || len(m.Metadata()) != 1 || len(other) != 1 {
		t.Errorf("what else is stored with an upload: %v, %v", done, err)
	}
	for number, o := range map[int]*sse.EncryptOptions{0: nil, 10001: nil, 1: {Workers: -1}} {
		m := must(sse.NewMultipartAny(background, nil, sse.Request{}, object))
		if _, err := m.Part(background, number, bytes.NewReader(nil), o); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("part %d: %v", number, err)
		}
	}
	long := map[string]string{"etag": strings.Repeat("01", 48)}
	if etag, ok := sse.ShownPartETag(nil, long); !ok || etag != long["etag"] {
		t.Errorf("an ETag that looks sealed, of an upload without encryption, is shown as %q", etag)
	}
	if _, ok := sse.ShownPartETag(map[string]string{"X-Minio-Internal-Server-Side-Encryption-Iv": "?"}, map[string]string{"etag": "00"}); ok {
		t.Error("the ETag of a part of no upload is shown")
	}
}

func TestChecksumTypes(t *testing.T) {
	all := sse.ChecksumTypes()
	if len(all) != len(hashes) {
		t.Errorf("%v", all)
	}
	for _, typ := range all {
		if hashes[typ] == nil || typ.Size() != hashes[typ]().Size() {
			t.Errorf("%v has %d bytes", typ, typ.Size())
		}
		for _, name := range []string{typ.String(), strings.ToLower(typ.String())} {
			if got, ok := sse.ParseChecksumType(name); !ok || got != typ {
				t.Errorf("%s is %v, %v", name, got, ok)
			}
		}
	}
	for _, name := range []string{"", "none", "MD5", "CRC32 "} {
		if got, ok := sse.ParseChecksumType(name); ok || got != sse.NoChecksum || got.Size() != 0 {
			t.Errorf("%q is %v", name, got)
		}
	}
}
