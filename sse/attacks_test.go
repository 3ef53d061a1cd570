package sse_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"

	"github.com/objseal/objseal/sse"
)

// TestAttacksOnMetadata: what somebody can do who changes metadata and stored
// bytes but has no key. With a sealed digest every one shows at a full read; the
// rows marked unseen are those of which the format without one cannot tell, as the
// package documentation says.
func TestAttacksOnMetadata(t *testing.T) {
	c := newClient(t)
	plain := mixedBytes(300_000)
	packed := compress(t, plain)
	flag := func(s sealed, scheme string, size int) sealed {
		s.Metadata = with(s.Metadata, metaComp, scheme, metaActual, fmt.Sprint(size))
		return s
	}
	unflag := func(s sealed) sealed {
		s.Metadata = maps.Clone(s.Metadata)
		delete(s.Metadata, metaComp)
		delete(s.Metadata, metaActual)
		return s
	}
	empty := func(s sealed) sealed {
		s.Size, s.data, s.Metadata = 0, nil, maps.Clone(s.Metadata)
		delete(s.Metadata, metaActual)
		for i := range s.Parts {
			s.Parts[i].Size, s.Parts[i].ActualSize = 0, 0
		}
		return s
	}
	parts := func(o *sse.CompleteOptions) sealed {
		m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
		if err != nil {
			t.Fatal(err)
		}
		s := multipart(t, m, []int{1, 2}, [][]byte{plain[:100_000], plain[100_000:]}, nil)
		if s.Metadata, err = m.CompleteWith([]sse.CompletedPart{
			{Number: 1, ETag: plainETag, ActualSize: 100_000, Checksum: sumOf(sse.CRC64NVME, plain[:100_000])},
			{Number: 2, ETag: plainETag, ActualSize: 200_000, Checksum: sumOf(sse.CRC64NVME, plain[100_000:])}}, o); err != nil {
			t.Fatal(err)
		}
		return s.sealed
	}
	moved := func(s sealed) sealed { // 10 bytes of the first part to the second
		s.Parts[0].Size, s.Parts[1].Size = s.Parts[0].Size-10, s.Parts[1].Size+10
		return s
	}
	digest := &sse.EncryptOptions{}
	none := &sse.EncryptOptions{Policy: sse.ETagRandom}
	whole := &sse.CompleteOptions{Checksum: sse.CRC64NVME, FullObject: true}
	s3 := sse.Request{Method: sse.S3}
	for _, test := range []struct {
		name   string
		s      sealed
		unseen bool
	}{
		{"compression flag set", flag(seal(t, c, s3, object, plain, digest), schemeS2, len(plain)), false},
		{"compression flag set, no digest", flag(seal(t, c, s3, object, plain, none), schemeS2, len(plain)), false},
		{"compression flag set on what is an S2 stream", flag(seal(t, c, s3, object, packed, digest), schemeS2, len(plain)), false},
		{"compression flag set on what is an S2 stream, no digest", flag(seal(t, c, sse.Request{Method: sse.KMS}, object, packed, none), schemeS2, len(plain)), true},
		{"compression flag removed", unflag(sealCompressed(t, c, s3, packed, plain)), false},
		{"compression flag removed, no digest", unflag(flag(seal(t, c, sse.Request{Method: sse.KMS}, object, packed, none), schemeS2, len(plain))), true},
		{"emptied", empty(seal(t, c, s3, object, plain, digest)), false},
		{"emptied, no digest", empty(seal(t, c, sse.Request{Method: sse.KMS}, object, plain, none)), true},
		{"emptied parts", empty(parts(whole)), false},
		{"emptied parts, no digest", empty(parts(nil)), true},
		{"edge of parts moved", moved(parts(nil)), false},
	} {
		var got []byte
		var i sse.Integrity
		obj, err := test.s.open(c, object, nil)
		if err == nil {
			got, i, err = test.s.read(obj, sse.Whole)
		}
		k := sse.KindOf(err)
		if refused := k == sse.KindTampered || k == sse.KindTruncated || k == sse.KindUnsupported; refused == test.unseen || err != nil && !refused {
			t.Errorf("%s: %d bytes, %+v, %v", test.name, len(got), i, err)
		}
		if test.unseen && i.Level != sse.Packages {
			t.Errorf("%s: level %s", test.name, i.Level)
		}
	}
}

// TestStrippedByEntry: entry by entry, an object that lost one does not open, as
// plaintext least of all. Without all of them it is what OpenAny refuses if the
// backend says so.
func TestStrippedByEntry(t *testing.T) {
	c := newClient(t)
	for name, r := range requests(t) {
		s := seal(t, c, r, object, []byte("data"), nil)
		for entry := range s.Metadata {
			if !sse.IsReservedMetadata(entry) {
				continue
			}
			stripped := maps.Clone(s.Metadata)
			delete(stripped, entry)
			obj, err := sse.OpenAny(background, c, object, sse.Stored{Metadata: stripped, Size: s.Size}, openWith(r))
			if err == nil {
				t.Errorf("%s without %s opens: %+v", name, entry, obj.Description)
			}
			if _, err := sse.OpenPlain(object, sse.Stored{Metadata: stripped, Size: s.Size}, nil); !errors.Is(err, sse.ErrInvalidRequest) {
				t.Errorf("%s without %s opens as plaintext: %v", name, entry, err)
			}
		}
	}
}

// recorder remembers what is drawn from the system's generator.
type recorder struct {
	io.Reader
	draws map[string]int
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.draws[string(p[:n])]++
	return n, err
}

// TestNonces: the nonce of every stream is 12 bytes drawn from the system's
// generator for it alone, whatever the object, the upload and the part number;
// a part that is sent again gets another one.
func TestNonces(t *testing.T) {
	r := &recorder{rand.Reader, make(map[string]int)}
	rand.Reader = r
	defer func() { rand.Reader = r.Reader }()
	c := newClient(t)
	seen := make(map[string]bool)
	streams := 0
	check := func(what string, packages []byte) {
		t.Helper()
		if len(packages) < 32 {
			t.Fatalf("%s: %d bytes", what, len(packages))
		}
		streams++
		nonce := bytes.Clone(packages[4:16])
		nonce[0] &^= 0x80 // the mark of the last package
		flagged := bytes.Clone(nonce)
		flagged[0] |= 0x80
		if r.draws[string(nonce)]+r.draws[string(flagged)] != 1 || seen[string(nonce)] {
			t.Errorf("%s: its nonce was not drawn for it", what)
		}
		seen[string(nonce)] = true
	}
	o := &sse.EncryptOptions{Checksum: sse.CRC32C}
	values := func(what string, m map[string]string) {
		check(what+": ETag", unhex(t, m["etag"]))
		check(what+": checksum", []byte(m[metaCRC]))
	}
	keys := func(what string, m map[string]string) {
		for _, slot := range []string{"-S3-Sealed-Key", "-Kms-Sealed-Key", "-Sealed-Key"} {
			if sealed := m["X-Minio-Internal-Server-Side-Encryption"+slot]; sealed != "" {
				check(what+": object key", unbase64(t, sealed))
			}
		}
	}
	for name, request := range requests(t) {
		for range 3 {
			s := seal(t, c, request, object, []byte("the same data"), o)
			check(name, s.data)
			values(name, s.Metadata)
			keys(name, s.Metadata)
		}
		m, err := sse.NewMultipart(background, c, request, object)
		if err != nil {
			t.Fatal(err)
		}
		keys(name+", multipart", m.Metadata())
		for _, number := range []int{1, 1, 2, 1} { // twice more
			u, err := m.Part(background, number, bytes.NewReader(make([]byte, 100_000)), o)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(u)
			if err != nil {
				t.Fatal(err)
			}
			md, err := u.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("%s, part %d", name, number)
			check(what, data)
			values(what, md)
		}
	}
	twelve := 0
	for draw, n := range r.draws {
		if len(draw) == 12 {
			twelve += n
		}
	}
	if twelve != streams {
		t.Errorf("%d draws of 12 bytes for %d streams", twelve, streams)
	}
}
