package sse_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"maps"
	"testing"

	"github.com/objseal/objseal/sse"
)

// record is a stored checksum record (SSE spec section 5), made here without
// the code under test.
func record(flags uint64, sum []byte, parts ...[]byte) []byte {
	b := append(binary.AppendUvarint(nil, flags), sum...)
	if flags&64 != 0 {
		b = binary.AppendUvarint(b, uint64(len(parts)))
	}
	if flags&128 != 0 {
		b = append(b, bytes.Join(parts, nil)...)
	}
	return b
}

var hashes = map[sse.ChecksumType]func() hash.Hash{
	sse.SHA256: sha256.New, sse.SHA1: sha1.New,
	sse.CRC32:     func() hash.Hash { return crc32.NewIEEE() },
	sse.CRC32C:    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	sse.CRC64NVME: func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
}

func sumOf(t sse.ChecksumType, b []byte) []byte {
	h := hashes[t]()
	h.Write(b)
	return h.Sum(nil)
}

// TestChecksumsAgainstKnownAnswers: the check values of the CRC catalogue, and
// FIPS 180 for "abc"; an upload stores exactly these.
func TestChecksumsAgainstKnownAnswers(t *testing.T) {
	c := newClient(t)
	for typ, want := range map[sse.ChecksumType]string{sse.CRC32: "cbf43926", sse.CRC32C: "e3069283", sse.CRC64NVME: "ae8b14860a799888"} {
		s := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("123456789"), &sse.EncryptOptions{Checksum: typ})
		sums, err := s.mustOpen(t, c, object, nil).Checksums()
		if err != nil || len(sums) != 1 || sums[0].Type != typ || !bytes.Equal(sums[0].Value, unhex(t, want)) || sums[0].Composite {
			t.Errorf("%s: %+v, %v; want %s", typ, sums, err, want)
		}
	}
	for typ, want := range map[sse.ChecksumType]string{sse.SHA1: "a9993e364706816aba3e25717850c26c9cd0d89d", sse.SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"} {
		s := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("abc"), &sse.EncryptOptions{Checksum: typ})
		if sums, err := s.mustOpen(t, c, object, nil).Checksums(); err != nil || len(sums) != 1 || !bytes.Equal(sums[0].Value, unhex(t, want)) {
			t.Errorf("%s: %+v, %v; want %s", typ, sums, err, want)
		}
	}
}

// TestCompositeChecksums: a checksum over the checksums of the parts proves
// every byte, in its part, of objects compressed or not.
func TestCompositeChecksums(t *testing.T) {
	c := newClient(t)
	for _, sizes := range [][]int{{70000}, {70000, 1, 100}, {0, 5}, {5, 0, 5}, {5, 0, 0}, {0}} {
		var parts [][]byte
		var packed []compressedPart
		var numbers []int
		var whole []byte
		for i, n := range sizes {
			p := mixedBytes(len(whole) + n)[len(whole):]
			whole = append(whole, p...)
			parts = append(parts, p)
			packed = append(packed, compressedPart{compress(t, p), int64(n)})
			numbers = append(numbers, i+1)
		}
		m, err := sse.NewMultipart(background, c, sse.Request{Method: sse.S3}, object)
		if err != nil {
			t.Fatal(err)
		}
		objects := map[string]multipartSealed{"plain": multipart(t, m, numbers, parts, nil), "compressed": sealCompressedParts(t, c, schemeS2, packed...)}
		for typ := range hashes {
			var digests [][]byte
			for _, p := range parts {
				digests = append(digests, sumOf(typ, p))
			}
			composite := sumOf(typ, bytes.Join(digests, nil))
			for name, s := range objects {
				bad := bytes.Clone(composite)
				bad[0] ^= 1
				for _, test := range []struct {
					name   string
					record []byte
					level  sse.Level // "": ErrTampered
				}{
					{"composite", record(uint64(typ)|64, composite, digests...), sse.Content},
					{"composite with parts", record(uint64(typ)|64|128, composite, digests...), sse.Content},
					{"composite of other content", record(uint64(typ)|64, bad, digests...), ""},
					{"composite of more parts", record(uint64(typ)|64, bad, append(digests, nil)...), ""},
					{"full object", record(uint64(typ)|64|512, sumOf(typ, whole), digests...), sse.Content},
					{"full object of other content", record(uint64(typ)|64|512, bad, digests...), ""},
				} {
					s.Metadata = maps.Clone(s.Metadata)
					s.Metadata[metaCRC] = sse.SealChecksums(s.mustOpen(t, c, object, nil), test.record)
					for how, read := range map[string]func(*sse.Reader) error{
						"Read":    func(r *sse.Reader) error { _, err := io.ReadAll(r); return err },
						"WriteTo": func(r *sse.Reader) error { _, err := r.WriteTo(io.Discard); return err },
					} {
						delete(s.Metadata, metaActual)
						if name == "compressed" && len(whole) == 0 {
							s.Metadata[metaActual] = "0"
						}
						obj := s.mustOpen(t, c, object, nil)
						rd, err := obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(s.data)), sse.Whole)
						var proof sse.Integrity
						if err == nil {
							if test.name == "composite of more parts" {
								t.Errorf("%v, %s %s: %s is read", sizes, name, typ, test.name)
							}
							err = read(rd)
							proof = rd.Integrity()
						}
						if (err != nil) != (test.level == "") || err != nil && sse.KindOf(err) != sse.KindTampered || proof.Level != test.level && err == nil {
							t.Errorf("%v, %s %s, %s, %s: %+v, %v", sizes, name, typ, test.name, how, proof, err)
						}
						if proof.Level == sse.Content && proof.Evidence != typ.String()+" checksum" {
							t.Errorf("%v, %s %s, %s: evidence %q", sizes, name, typ, test.name, proof.Evidence)
						}
					}
				}
			}
		}
	}
}

// TestCompositeOverOneStream: a copy may have kept the record of its multipart
// source; it says nothing of a single stream, and is no reason to refuse it.
func TestCompositeOverOneStream(t *testing.T) {
	c := newClient(t)
	s := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("data"), &sse.EncryptOptions{Policy: sse.ETagRandom})
	s.Metadata[metaCRC] = sse.SealChecksums(s.mustOpen(t, c, object, nil), record(uint64(sse.CRC32)|64, []byte("1234"), nil))
	if _, i, err := s.read(s.mustOpen(t, c, object, nil), sse.Whole); err != nil || i.Level != sse.Packages {
		t.Errorf("%+v, %v", i, err)
	}
}

// TestETagAsEvidence: which sealed ETags are an MD5 that must fit, and which
// are random (SSE spec section 4).
func TestETagAsEvidence(t *testing.T) {
	c := newClient(t)
	plain := []byte("data")
	right := md5.Sum(plain)
	wrong, random := right, right
	wrong[0] ^= 1
	random[6], random[8] = 0x4f&random[6]|0x40, 0x80
	for name, r := range requests(t) {
		for _, test := range []struct {
			name  string
			etag  [16]byte
			level sse.Level // "": ErrTampered
		}{{"MD5", right, sse.Content}, {"another MD5", wrong, ""}, {"random", random, sse.Packages}} {
			s := seal(t, c, r, object, plain, &sse.EncryptOptions{Policy: sse.ETagSupplied, ETag: test.etag[:]})
			_, i, err := s.read(s.mustOpen(t, c, object, openWith(r)), sse.Whole)
			if i.Level != test.level && err == nil || (err != nil) != (test.level == "") || err != nil && sse.KindOf(err) != sse.KindTampered {
				t.Errorf("%s, %s: %+v, %v", name, test.name, i, err)
			}
		}
	}
}

// TestNoToleranceWithoutCompression: the fault that Integrity.Warning tells of
// exists in compressed objects only.
func TestNoToleranceWithoutCompression(t *testing.T) {
	c := newClient(t)
	s := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("data"), &sse.EncryptOptions{Checksum: sse.CRC32})
	if _, i, err := s.read(s.mustOpen(t, c, object, nil), sse.Whole); err != nil || i.Evidence != "CRC32 checksum" {
		t.Errorf("%+v, %v: want no more than one digest computed", i, err)
	}
	s.Metadata[metaCRC] = sse.SealChecksums(s.mustOpen(t, c, object, nil), record(uint64(sse.CRC64NVME), make([]byte, 8)))
	if _, i, err := s.read(s.mustOpen(t, c, object, nil), sse.Whole); sse.KindOf(err) != sse.KindTampered || i.Warning != "" {
		t.Errorf("%+v, %v", i, err)
	}
}

// TestRandomETags are shaped so that a reader knows them, and differ.
func TestRandomETags(t *testing.T) {
	c := newClient(t)
	seen := map[string]bool{}
	for range 100 {
		s := seal(t, c, sse.Request{Method: sse.S3}, object, nil, &sse.EncryptOptions{Policy: sse.ETagRandom})
		obj := s.mustOpen(t, c, object, nil)
		if etag := sse.OpenedETag(obj); len(etag) != 16 || !uuidShaped(etag) {
			t.Fatalf("ETag %x", etag)
		}
		seen[s.etag] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d different ETags of 100", len(seen))
	}
}

// TestDamagedSeals: what is sealed in metadata and does not open is told where
// it is asked for and by full reads, never by ranges.
func TestDamagedSeals(t *testing.T) {
	c := newClient(t)
	for _, entry := range []string{"etag", metaCRC} {
		s := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("data"), &sse.EncryptOptions{Checksum: sse.SHA1})
		damaged := []byte(s.Metadata[entry])
		damaged[len(damaged)-1] ^= 1
		s.Metadata[entry] = string(damaged)
		obj := s.mustOpen(t, c, object, nil)
		if _, err := obj.ETag(); (err != nil) != (entry == "etag") {
			t.Errorf("%s: ETag: %v", entry, err)
		}
		if sums, err := obj.Checksums(); (err != nil) != (entry == metaCRC) || err != nil && sums != nil {
			t.Errorf("%s: checksums: %v", entry, err)
		}
		if _, _, err := s.read(obj, sse.Whole); sse.KindOf(err) != sse.KindTampered {
			t.Errorf("%s: full read: %v", entry, err)
		}
		if got, _, err := s.read(obj, sse.Range{Offset: 1, Length: 2}); err != nil || string(got) != "at" {
			t.Errorf("%s: range: %q, %v", entry, got, err)
		}
		loose := s.mustOpen(t, c, object, &sse.OpenOptions{SkipContentCheck: true})
		if got, i, err := s.read(loose, sse.Whole); err != nil || string(got) != "data" || i.Level != sse.Packages {
			t.Errorf("%s: not checked: %q, %+v, %v", entry, got, i, err)
		}
	}
}

// TestLastBytesWait: where the content is not what was sealed nobody gets all of it, as
// a client that was told the size would not see what comes behind it.
func TestLastBytesWait(t *testing.T) {
	c := newClient(t)
	for _, size := range []int{1, 2, payload, payload + 1, 200_000} {
		plain := someBytes(size)
		wrong := &sse.EncryptOptions{Policy: sse.ETagSupplied, ETag: make([]byte, md5.Size)}
		for name, r := range map[string]sse.Request{"SSE-S3": {Method: sse.S3}, "none": {}} {
			u, err := sse.EncryptAny(background, c, r, object, bytes.NewReader(plain), wrong)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(u)
			if err != nil {
				t.Fatal(err)
			}
			m, err := u.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			o, err := sse.OpenAny(background, c, object, sse.Stored{Metadata: m, Size: int64(len(data))}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range []int{0, 1, 1000, payload, size} { // 0: WriteTo
				if step == 1 && size > payload {
					continue
				}
				rd, err := o.NewReader(background, sse.FetchReaderAt(bytes.NewReader(data)), sse.Whole)
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				if step == 0 {
					_, err = rd.WriteTo(&got)
				} else {
					_, err = io.CopyBuffer(&got, struct{ io.Reader }{rd}, make([]byte, step))
				}
				if sse.KindOf(err) != sse.KindTampered || got.Len() >= size || !bytes.HasPrefix(plain, got.Bytes()) || rd.Integrity().Level != "" {
					t.Errorf("%s, %d bytes by %d: %d came, %v, %+v", name, size, step, got.Len(), err, rd.Integrity())
				}
			}
		}
	}
}
