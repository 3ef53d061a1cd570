//go:build unix

package minio_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/objseal/objseal/internal/interop/minio/xlmeta"
	"github.com/objseal/objseal/sse"
)

// A begun upload has a part that package sse sealed, and gets another one from the server.
type begun struct {
	object   sealed
	id       string
	metadata map[string]string // of the upload
	part     map[string]string // of its first part
}

// beginUploads begins an upload for every scheme.
func (s *sealedStore) beginUploads(t *testing.T) {
	t.Helper()
	for scheme := range sealedRequests(0) {
		o := sealed{name: fmt.Sprint("begun/", scheme), number: scheme, request: sealedRequests(scheme)[scheme], parts: []plainPart{{2, 5<<20 + 1}, {5, 70_000}}}
		first, data := o.parts[0], contents()[scheme:]
		o.data = data[:first.size+o.parts[1].size]
		m, err := sse.NewMultipart(t.Context(), s.keys, o.request, o.objectName())
		if err != nil {
			t.Fatal(err)
		}
		defer m.Wipe()
		b := &begun{object: o, metadata: m.Metadata()}
		upload, err := m.Part(t.Context(), first.number, bytes.NewReader(o.data[:first.size]), nil)
		if err != nil {
			t.Fatal(err)
		}
		ciphertext, err := io.ReadAll(upload)
		if err != nil {
			t.Fatal(err)
		}
		b.object.etag = upload.ETag() // of the part, until there is that of the object
		if b.part, err = upload.Metadata(); err != nil {
			t.Fatal(err)
		}
		if b.id, err = s.client.NewMultipartUpload(t.Context(), sealedBucket, o.name, o.putOptions()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.client.PutObjectPart(t.Context(), sealedBucket, o.name, b.id, first.number, bytes.NewReader(ciphertext), int64(len(ciphertext)), minio.PutObjectPartOptions{}); err != nil {
			t.Fatal(err)
		}
		s.uploads = append(s.uploads, b)
	}
}

// replaceUploads makes the uploads encrypted ones.
func (s *sealedStore) replaceUploads(t *testing.T) {
	t.Helper()
	for _, b := range s.uploads {
		id, err := base64.RawURLEncoding.DecodeString(b.id)
		if err != nil {
			t.Fatal(err)
		}
		_, id, _ = bytes.Cut(id, []byte("."))
		dir := filepath.Join(".minio.sys", "multipart", fmt.Sprintf("%x", sha256.Sum256([]byte(sealedBucket+"/"+b.object.name))), string(id))
		for _, drive := range s.server.Drives {
			name := filepath.Join(dir, xlmeta.FileName)
			f, err := xlmeta.Read(filepath.Join(drive, name))
			if err != nil {
				t.Fatal(err)
			}
			all, err := f.Versions[0].Metadata()
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(all, b.metadata)
			f.Versions[0].SetMetadata(all)
			if err := f.Write(drive, name); err != nil {
				t.Fatal(err)
			}
			first := b.object.parts[0]
			records, err := filepath.Glob(filepath.Join(drive, dir, "*", fmt.Sprintf("part.%d.meta", first.number)))
			if err != nil || len(records) != 1 {
				t.Fatalf("%d records of a part, %v", len(records), err)
			}
			if err := xlmeta.ReplacePart(records[0], b.part["etag"], first.size); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// endUploads lets the server go on with what package sse began.
func (s *sealedStore) endUploads(t *testing.T) {
	t.Helper()
	for _, b := range s.uploads {
		o := &b.object
		listed, err := s.client.ListObjectParts(t.Context(), sealedBucket, o.name, b.id, 0, 10)
		if err != nil || len(listed.ObjectParts) != 1 {
			s.mismatch(t, o, "%d parts are listed, %v", len(listed.ObjectParts), err)
			continue
		}
		if p := listed.ObjectParts[0]; strings.Trim(p.ETag, `"`) != o.etag || p.Size != o.parts[0].size {
			s.mismatch(t, o, "the part is listed with ETag %s and %d bytes, want %s", p.ETag, p.Size, o.etag)
		}
		second := o.parts[1]
		part, err := s.client.PutObjectPart(t.Context(), sealedBucket, o.name, b.id, second.number, bytes.NewReader(o.data[o.parts[0].size:]), second.size, minio.PutObjectPartOptions{SSE: o.customer(t)})
		if err != nil {
			s.mismatch(t, o, "another part: %v", err)
			continue
		}
		info, err := s.client.CompleteMultipartUpload(t.Context(), sealedBucket, o.name, b.id, []minio.CompletePart{{PartNumber: o.parts[0].number, ETag: o.etag}, {PartNumber: part.PartNumber, ETag: part.ETag}}, minio.PutObjectOptions{})
		if err != nil {
			s.mismatch(t, o, "completing it: %v", err)
			continue
		}
		o.etag = info.ETag
		s.readWhole(t, o)
		s.readRanges(t, o)
	}
	t.Logf("%d uploads went on, %d mismatches", len(s.uploads), s.mismatches.Load())
}
