package main

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

func md5Of(b []byte) string {
	sum := md5.Sum(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// A testGateway is one over TLS.
type testGateway struct {
	*replayServer
	t     *testing.T
	g     *gateway
	calls *restricted // by which the key server is seen
}

// newGateway has two keys and the bucket "abc".
func newGateway(t *testing.T) *testGateway {
	t.Helper()
	backend := &restricted{Backend: staticKeys(t, "k1", "k2"), allowed: func(string) error { return nil }}
	s := serveStore(t, newStore(t), kms.NewClient(backend, &kms.Options{DefaultKeyID: "k1"}))
	s.calls = backend
	s.call("PUT", "/abc", nil, nil, 200)
	return s
}

func serveStore(t *testing.T, s *store, client *kms.Client) *testGateway {
	g := &gateway{store: s, client: client, log: log.New(io.Discard, "", 0)}
	srv := httptest.NewTLSServer(g)
	srv.Config.ErrorLog = g.log
	t.Cleanup(srv.Close)
	return &testGateway{replayServer: &replayServer{Server: srv}, t: t, g: g}
}

// call sends a request, whose answer must have this status.
func (s *testGateway) call(method, path string, h http.Header, body []byte, status int) answer {
	s.t.Helper()
	a, err := s.do(method, path, h, body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != status {
		s.t.Fatalf("%s %s %v: %d %s %s, not %d", method, path, h, a.status, a.code, a.message, status)
	}
	return a
}

// refused sends a request that must fail with this code.
func (s *testGateway) refused(method, path string, h http.Header, body []byte, code string) answer {
	s.t.Helper()
	a, err := s.do(method, path, h, body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.code != code {
		s.t.Errorf("%s %s %v: %d %s %s, not %s", method, path, h, a.status, a.code, a.message, code)
	}
	return a
}

func (s *testGateway) xml(a answer, v any) {
	s.t.Helper()
	if err := xml.Unmarshal(a.body, v); err != nil {
		s.t.Fatalf("%v: %q", err, a.body)
	}
}

// upload makes a multipart object of parts, by their numbers, and returns its ETag.
func (s *testGateway) upload(path string, h http.Header, parts map[int][]byte, order ...int) string {
	s.t.Helper()
	id := s.create(path, h)
	customer := customerOf(h)
	etags := make(map[int]string)
	for _, number := range order {
		etags[number] = s.part(path, id, number, customer, parts[number])
	}
	var done struct{ ETag string }
	s.xml(s.call("POST", path+"?uploadId="+id, customer, completionOf(etags), 200), &done)
	return strings.Trim(done.ETag, `"`)
}

func (s *testGateway) create(path string, h http.Header) (id string) {
	s.t.Helper()
	var created struct{ UploadId string }
	s.xml(s.call("POST", path+"?uploads=", h, nil, 200), &created)
	return created.UploadId
}

func (s *testGateway) part(path, id string, number int, h http.Header, body []byte) (etag string) {
	s.t.Helper()
	return strings.Trim(s.call("PUT", fmt.Sprintf("%s?partNumber=%d&uploadId=%s", path, number, id), h, body, 200).header.Get("Etag"), `"`)
}

// completionOf lists parts by rising numbers.
func completionOf(etags map[int]string) []byte {
	var b bytes.Buffer
	b.WriteString("<CompleteMultipartUpload>")
	for number := range maxPart + 1 {
		if etag, ok := etags[number]; ok {
			fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag></Part>", number, etag)
		}
	}
	b.WriteString("</CompleteMultipartUpload>")
	return b.Bytes()
}

// scheme is a way of encryption, and the headers that ask for it and that read.
type scheme struct {
	name        string
	write, read http.Header
}

// copyHeaders are those by which a copy reads.
func (s scheme) copyHeaders(from string) http.Header {
	h := http.Header{"X-Amz-Copy-Source": {from}}
	for name, values := range s.read {
		h["X-Amz-Copy-Source-"+strings.TrimPrefix(name, "X-Amz-")] = values
	}
	return h
}

func schemes() []scheme {
	customer := customerHeaders(bytes.Repeat([]byte{7}, 32))
	return []scheme{
		{"none", nil, nil},
		{"S3", header("X-Amz-Server-Side-Encryption", "AES256"), nil},
		{"KMS", header("X-Amz-Server-Side-Encryption", "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "k2",
			"X-Amz-Server-Side-Encryption-Context", base64.StdEncoding.EncodeToString([]byte(`{"a":"b"}`))), nil},
		{"C", customer, customer},
	}
}

// customerOf are those headers of h that must be sent again and again.
func customerOf(h http.Header) http.Header {
	customer := make(http.Header)
	for name, values := range h {
		if strings.Contains(name, "-Customer-") {
			customer[name] = values
		}
	}
	return customer
}

// with is h and more headers.
func with(h http.Header, pairs ...string) http.Header {
	more := header(pairs...)
	for name, values := range h {
		more[name] = values
	}
	return more
}

// text is n bytes that do not repeat within any range that is looked at.
func text(n int) []byte {
	b := make([]byte, 0, n+4)
	for i := uint32(0); len(b) < n; i++ {
		b = binary.BigEndian.AppendUint32(b, i*0x9e3779b1)
	}
	return b[:n]
}

// dataOf are the data files of an object, with their whole names.
func (s *testGateway) dataOf(key string) (names []string) {
	s.t.Helper()
	r, err := s.g.store.get(sse.ObjectName{Bucket: "abc", Object: key})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range r.Files {
		names = append(names, filepath.Join(s.g.store.root.Name(), dataFile("abc", f.ID)))
	}
	return names
}

// damage changes a byte of a file.
func damage(t *testing.T, name string, at int) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
