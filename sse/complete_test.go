package sse_test

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"testing"

	"github.com/objseal/objseal/sse"
)

// TestCompleteWithChecksum: all five algorithms, composite and over the whole,
// stored with the object, told as S3 tells them, and proof of its content.
func TestCompleteWithChecksum(t *testing.T) {
	c := newClient(t)
	parts := [][]byte{someBytes(70001), someBytes(1), someBytes(payload), nil, someBytes(12345)}
	whole := bytes.Join(parts, nil)
	for typ := range hashes {
		for name, r := range requests(t) {
			m, err := sse.NewMultipart(background, c, r, object)
			if err != nil {
				t.Fatal(err)
			}
			var s multipartSealed
			var done []sse.CompletedPart
			var digests [][]byte
			for i, p := range parts {
				u, err := m.Part(background, i+1, bytes.NewReader(p), &sse.EncryptOptions{Checksum: typ})
				if err != nil {
					t.Fatal(err)
				}
				if u.Checksum().Type != sse.NoChecksum {
					t.Error("a checksum before the end")
				}
				data, err := io.ReadAll(u)
				if err != nil {
					t.Fatal(err)
				}
				if u.Checksum().Type != typ || !bytes.Equal(u.Checksum().Value, sumOf(typ, p)) {
					t.Errorf("%s: part %d has %v", typ, i+1, u.Checksum())
				}
				md, err := u.Metadata()
				if err != nil {
					t.Fatal(err)
				}
				etag, sums, err := m.OpenPart(md)
				if err != nil || etag != u.ETag() || len(sums) != 1 || sums[0].String() != u.Checksum().String() {
					t.Errorf("%s: part %d opens as %q, %v, %v; want %q", typ, i+1, etag, sums, err, u.ETag())
				}
				s.data = append(s.data, data...)
				s.Parts = append(s.Parts, sse.Part{Number: i + 1, Size: int64(len(data)), ActualSize: u.Size()})
				digests = append(digests, sums[0].Value)
				done = append(done, sse.CompletedPart{Number: i + 1, ETag: etag, ActualSize: u.Size(), Checksum: sums[0].Value})
			}
			s.Size = int64(len(s.data))
			for _, full := range []bool{false, true} {
				o := &sse.CompleteOptions{Checksum: typ, FullObject: full}
				sha := typ == sse.SHA1 || typ == sse.SHA256
				if sha && full || !full && typ == sse.CRC64NVME {
					if _, err := m.CompleteWith(done, o); !errors.Is(err, sse.ErrInvalidRequest) {
						t.Errorf("%s, full object %v: %v", typ, full, err)
					}
					continue
				}
				want := sumOf(typ, bytes.Join(digests, nil))
				if full {
					want = sumOf(typ, whole)
				}
				o.Want = want
				if s.Metadata, err = m.CompleteWith(done, o); err != nil {
					t.Fatal(err)
				}
				obj := s.mustOpen(t, c, object, openWith(r))
				sums, err := obj.Checksums()
				if err != nil || len(sums) != 1 || sums[0].Composite == full || !bytes.Equal(sums[0].Value, want) || len(sums[0].Parts) != len(parts) || sums[0].PartCount != len(parts) {
					t.Fatalf("%s %s, full object %v: %+v, %v", name, typ, full, sums, err)
				}
				if got, i, err := s.read(obj, sse.Whole); err != nil || !bytes.Equal(got, whole) || i.Level != sse.Content {
					t.Errorf("%s %s, full object %v: %+v, %v", name, typ, full, i, err)
				}
				o.Want = []byte("another")
				if _, err := m.CompleteWith(done, o); sse.ErrorResponse(err).Code != "BadDigest" {
					t.Errorf("another digest: %v", err)
				}
			}
		}
	}
}

// TestPartsUnderAChecksum: with a checksum of the whole a part that is missing,
// doubled or exchanged shows; without one the format cannot tell.
func TestPartsUnderAChecksum(t *testing.T) {
	c := newClient(t)
	for _, checksum := range []bool{true, false} {
		m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
		if err != nil {
			t.Fatal(err)
		}
		parts := [][]byte{someBytes(100), someBytes(200), someBytes(300)}
		s := multipart(t, m, []int{1, 2, 3}, parts, nil)
		if checksum {
			var done []sse.CompletedPart
			for i, p := range parts {
				done = append(done, sse.CompletedPart{Number: i + 1, ETag: plainETag, ActualSize: int64(len(p)), Checksum: sumOf(sse.CRC32C, p)})
			}
			if s.Metadata, err = m.CompleteWith(done, &sse.CompleteOptions{Checksum: sse.CRC32C, FullObject: true}); err != nil {
				t.Fatal(err)
			}
		}
		dropped := s
		dropped.Parts, dropped.data = s.Parts[:2], s.data[:100+32+200+32]
		dropped.Size = int64(len(dropped.data))
		if _, err := dropped.open(c, object, nil); !errors.Is(err, sse.ErrTampered) {
			t.Errorf("checksum %v: a part is missing, and the size was not adapted: %v", checksum, err)
		}
		dropped.Metadata = with(s.Metadata, metaActual, "300")
		obj, err := dropped.open(c, object, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, i, err := dropped.read(obj, sse.Whole)
		if checksum && !errors.Is(err, sse.ErrTampered) || !checksum && (err != nil || i.Level != sse.Packages) {
			t.Errorf("checksum %v: a part is missing: %+v, %v", checksum, i, err)
		}

		for name, order := range map[string][]int{"exchanged": {2, 1, 3}, "doubled": {1, 1, 2}} {
			other := s
			other.Parts, other.data = nil, nil
			starts := []int{0, 132, 364, 696}
			for _, n := range order {
				other.Parts = append(other.Parts, s.Parts[n-1])
				other.data = append(other.data, s.data[starts[n-1]:starts[n]]...)
			}
			other.Size, other.Metadata = int64(len(other.data)), with(s.Metadata, metaActual, fmt.Sprint(len(other.data)-96))
			if _, err := other.open(c, object, nil); !errors.Is(err, sse.ErrTampered) {
				t.Errorf("checksum %v, %s with their numbers: %v", checksum, name, err)
			}
			for i := range other.Parts {
				other.Parts[i].Number = i + 1
			}
			obj, err := other.open(c, object, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := other.read(obj, sse.Whole); sse.KindOf(err) != sse.KindTampered {
				t.Errorf("checksum %v, %s under new numbers: %v", checksum, name, err)
			}
		}
	}
}

func TestCompleteRefuses(t *testing.T) {
	c := newClient(t)
	m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
	if err != nil {
		t.Fatal(err)
	}
	good := sse.CompletedPart{Number: 1, ETag: plainETag, ActualSize: 1, Checksum: []byte("1234")}
	crc := &sse.CompleteOptions{Checksum: sse.CRC32}
	for _, test := range []struct {
		name  string
		parts []sse.CompletedPart
		o     *sse.CompleteOptions
		code  string
	}{
		{"none", nil, nil, "InvalidRequest"},
		{"number 0", []sse.CompletedPart{{ETag: plainETag}}, nil, "InvalidRequest"},
		{"twice", []sse.CompletedPart{good, good}, nil, "InvalidPartOrder"},
		{"no ETag", []sse.CompletedPart{{Number: 1}}, nil, "InvalidPart"},
		{"no checksum", []sse.CompletedPart{{Number: 1, ETag: plainETag}}, crc, "InvalidPart"},
		{"short checksum", []sse.CompletedPart{{Number: 1, ETag: plainETag, Checksum: []byte("123")}}, crc, "InvalidPart"},
		{"unknown checksum", []sse.CompletedPart{good}, &sse.CompleteOptions{Checksum: 1}, "InvalidRequest"},
	} {
		if _, err := m.CompleteWith(test.parts, test.o); sse.ErrorResponse(err).Code != test.code || !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	u, err := m.Part(background, 1, bytes.NewReader(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(u); err != nil {
		t.Fatal(err)
	}
	md, err := u.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]map[string]string{"checksum": with(md, metaCRC, "x"), "ETag": with(md, "etag", "a-b-c"), "sealed ETag": with(md, "etag", plainETag+plainETag+plainETag)} {
		if _, _, err := m.OpenPart(bad); err == nil {
			t.Errorf("a damaged %s opens", name)
		}
	}
	for _, upload := range []map[string]string{nil, seal(t, c, sse.Request{Method: sse.S3}, object, nil, nil).Metadata} {
		if _, err := sse.CompleteUpload(object, upload, []sse.CompletedPart{good}); err == nil {
			t.Errorf("completed what is no upload: %v", upload)
		}
	}
	want, err := m.Complete([]sse.CompletedPart{good})
	if got, err2 := sse.CompleteUpload(object, m.Metadata(), []sse.CompletedPart{good}); err != nil || err2 != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; by its metadata alone %v, %v", want, err, got, err2)
	}
	m.Wipe()
	if _, err := m.Complete([]sse.CompletedPart{good}); err != nil {
		t.Errorf("without a key: %v", err)
	}
	if _, err := m.CompleteWith([]sse.CompletedPart{good}, crc); err == nil {
		t.Error("a checksum was sealed without a key")
	}
	if _, _, err := m.OpenPart(md); err == nil {
		t.Error("a part was opened without a key")
	}
}

// TestContentMD5: the MD5 that the client announced is that of the body, or the
// upload fails at its end; and it may be computed by somebody else's hash.
func TestContentMD5(t *testing.T) {
	right, wrong := md5Sum("data"), md5Sum("date")
	made, closed := 0, 0
	lanes := func() hash.Hash { made++; return &lane{md5.New(), &closed} }
	for _, test := range []struct {
		o    sse.EncryptOptions
		code string // "": good
	}{
		{sse.EncryptOptions{ContentMD5: right[:]}, ""},
		{sse.EncryptOptions{ContentMD5: wrong[:]}, "BadDigest"},
		{sse.EncryptOptions{ContentMD5: right[:15]}, "InvalidDigest"},
		{sse.EncryptOptions{ContentMD5: right[:], Policy: sse.ETagRandom}, ""},
		{sse.EncryptOptions{ContentMD5: wrong[:], Policy: sse.ETagRandom}, "BadDigest"},
		{sse.EncryptOptions{ContentMD5: right[:], Policy: sse.ETagSupplied, ETag: right[:]}, ""},
		{sse.EncryptOptions{ContentMD5: right[:], Policy: sse.ETagSupplied, ETag: wrong[:]}, "BadDigest"},
		{sse.EncryptOptions{ContentMD5: right[:], NewMD5: lanes}, ""},
		{sse.EncryptOptions{ContentMD5: wrong[:], NewMD5: lanes}, "BadDigest"},
		{sse.EncryptOptions{NewMD5: hashes[sse.SHA1]}, "InvalidRequest"},
		{sse.EncryptOptions{Size: sse.KnownSize(5)}, "IncompleteBody"},
		{sse.EncryptOptions{Size: sse.KnownSize(3)}, "IncompleteBody"},
	} {
		u, err := sse.Encrypt(background, newClient(t), sse.Request{Method: sse.S3}, object, bytes.NewReader([]byte("data")), &test.o)
		if err == nil {
			_, err = io.Copy(io.Discard, u)
		}
		if test.code == "" && err != nil || test.code != "" && sse.ErrorResponse(err).Code != test.code {
			t.Errorf("%+v: %v; want %q", test.o, err, test.code)
		}
		if err == nil && u.ETag() != fmt.Sprintf("%x", right) {
			t.Errorf("ETag %s", u.ETag())
		}
	}
	if made != 2 || closed != 2 {
		t.Errorf("the hash given was made %d times and closed %d times", made, closed)
	}
}

// lane is a hash of somebody else, who wants to know when it is no longer needed.
type lane struct {
	hash.Hash
	closed *int
}

func (l *lane) Close() error { *l.closed++; return nil }
