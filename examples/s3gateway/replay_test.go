package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
)

// A recorded request, and what MinIO answered: see testdata of package sse.
type recorded struct {
	ID, Server, Method, URL string
	RequestHeaders          map[string]string `json:"request_headers"`
	RequestBody             string            `json:"request_body"`
	Status                  int
	Code, Message           string
}

// notReplayed are the cases that the gateway answers otherwise, each for a reason.
var notReplayed = map[string]string{
	"tls-builtin-kms/get-ssec-with-copy-headers-instead": "MinIO takes the customer key of a copy's source for a GET; here it must be sent as what it is",
	"tls-builtin-kms/initiate-kms-context-not-json":      "500 tells a client to try again what can never work; it is 400, as for a PUT",
	"tls-kes-down/head-s3":                               "MinIO shows the sealed ETag when the key server is down: another one than it shows else",
}

// restricted is a key server that denies all but some keys, or is down.
type restricted struct {
	kms.Backend
	allowed func(keyID string) error
}

func (r *restricted) GenerateKey(ctx context.Context, keyID string, ad kms.AssociatedData) (kms.GeneratedKey, error) {
	if err := r.allowed(keyID); err != nil {
		return kms.GeneratedKey{}, err
	}
	return r.Backend.GenerateKey(ctx, keyID, ad)
}

func (r *restricted) Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	if err := r.allowed(keyID); err != nil {
		return kms.DataKey{}, err
	}
	return r.Backend.Decrypt(ctx, keyID, ciphertext, ad)
}

// TestReplay sends the recorded requests to gateways that stand for the recorded servers,
// in their order: status, code and message must be those of MinIO.
func TestReplay(t *testing.T) {
	var golden struct {
		Cases []recorded
		Keys  map[string]string
	}
	text, err := os.ReadFile("../../sse/testdata/errors.json")
	if err == nil {
		err = json.Unmarshal(text, &golden)
	}
	if err != nil || len(golden.Cases) != 123 {
		t.Fatalf("%d cases, error %v", len(golden.Cases), err)
	}
	k1, err := base64.StdEncoding.DecodeString(golden.Keys["K1"])
	if err != nil {
		t.Fatal(err)
	}
	servers := make(map[string]*replayServer)
	replayed, excluded := 0, 0
	for _, c := range golden.Cases {
		s := servers[c.Server]
		if s == nil {
			s = newReplayServer(t, c.Server, k1)
			servers[c.Server] = s
		}
		got := s.send(t, c)
		same := got.status == c.Status && got.code == c.Code
		if reason, ok := notReplayed[c.ID]; ok {
			excluded++
			if same {
				t.Errorf("%s is answered as by MinIO, but excluded: %s", c.ID, reason)
			}
			continue
		}
		replayed++
		if !same {
			t.Errorf("%s: %d %s %q; MinIO's is %d %s %q", c.ID, got.status, got.code, got.message, c.Status, c.Code, c.Message)
		} else if !strings.Contains(c.ID, "-context-") && got.message != c.Message { // the texts of another JSON parser
			t.Errorf("%s: message %q; MinIO's is %q", c.ID, got.message, c.Message)
		}
	}
	if excluded != len(notReplayed) {
		t.Errorf("%d of %d excluded cases exist", excluded, len(notReplayed))
	}
	t.Logf("%d cases were replayed, %d excluded", replayed, excluded)
}

// replayServer stands for one of the recorded servers.
type replayServer struct {
	*httptest.Server
	uploads  map[string]string            // ids, by object
	etags    map[string]map[string]string // of parts, by object and number
	customer http.Header                  // with key K1
}

func newReplayServer(t *testing.T, kind string, k1 []byte) *replayServer {
	backend := &restricted{allowed: func(string) error { return nil }}
	g := &gateway{log: log.New(io.Discard, "", 0)}
	switch kind {
	case "tls-no-kms":
	case "tls-kes-restricted", "tls-kes-down":
		backend.Backend = staticKeys(t, "allowed-1", "allowed-2", "denied-1")
		g.client = kms.NewClient(backend, &kms.Options{DefaultKeyID: "allowed-1"})
	default:
		backend.Backend = staticKeys(t, "errors-key")
		g.client = kms.NewClient(backend, nil)
	}
	g.store = newStore(t)
	filling := httptest.NewTLSServer(g)
	defer filling.Close()
	s := &replayServer{Server: filling, uploads: make(map[string]string), etags: make(map[string]map[string]string)}
	s.must(t, "PUT", "/errs", nil, nil)

	customer := customerHeaders(k1)
	s.customer = customer
	objects := map[string]http.Header{"none": nil, "ssec": customer, "ssec-rot": customer}
	uploads := map[string]http.Header{"mp-none": nil, "mp-sse-c": customer}
	if g.client != nil {
		s3 := http.Header{"X-Amz-Server-Side-Encryption": {"AES256"}}
		managed := http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}}
		context := managed.Clone()
		context.Set("X-Amz-Server-Side-Encryption-Context", base64.StdEncoding.EncodeToString([]byte(`{"a":"b"}`)))
		objects["s3"], objects["kms"] = s3, context
		uploads["mp"], uploads["mp-sse-s3"], uploads["mp-sse-kms"] = s3, s3, managed
	}
	if strings.HasPrefix(kind, "tls-kes") {
		objects["kms2"] = http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}, "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": {"allowed-2"}}
	}
	for name, h := range objects {
		s.must(t, "PUT", "/errs/"+name, h, hundred)
	}
	for name, h := range uploads {
		var created struct{ UploadId string }
		if err := xml.Unmarshal(s.must(t, "POST", "/errs/"+name+"?uploads=", h, nil), &created); err != nil {
			t.Fatal(err)
		}
		s.uploads[name] = created.UploadId
	}
	for _, number := range []string{"1", "2"} {
		a, err := s.do("PUT", "/errs/mp-sse-c?partNumber="+number+"&uploadId="+s.uploads["mp-sse-c"], customer, hundred)
		if err != nil || a.status != 200 {
			t.Fatalf("%d %s, %v", a.status, a.code, err)
		}
		s.noteETag("mp-sse-c", number, a)
	}
	switch kind { // from now on
	case "tls-kes-restricted":
		backend.allowed = func(keyID string) error {
			if !strings.HasPrefix(keyID, "allowed-") {
				return kms.ErrNotPermitted
			}
			return nil
		}
	case "tls-kes-down":
		backend.allowed = func(string) error { return kms.ErrUnreachable }
	}
	if s.Server = httptest.NewTLSServer(g); kind == "plain-http-builtin-kms" {
		s.Server.Close()
		s.Server = httptest.NewServer(g)
	}
	t.Cleanup(s.Server.Close)
	return s
}

var hundred = bytes.Repeat([]byte("e"), 100)

func customerHeaders(key []byte) http.Header {
	return http.Header{
		"X-Amz-Server-Side-Encryption-Customer-Algorithm": {"AES256"},
		"X-Amz-Server-Side-Encryption-Customer-Key":       {base64.StdEncoding.EncodeToString(key)},
		"X-Amz-Server-Side-Encryption-Customer-Key-Md5":   {md5Of(key)},
	}
}

func staticKeys(t *testing.T, names ...string) kms.Backend {
	t.Helper()
	var keys []static.Key
	for _, name := range names {
		k, err := static.NewKey(name)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	b, err := static.New(keys, "")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newStore(t *testing.T) *store {
	t.Helper()
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type answer struct {
	status        int
	code, message string
	header        http.Header
	body          []byte
}

func (s *replayServer) do(method, path string, h http.Header, body []byte) (answer, error) {
	req, err := http.NewRequest(method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for name, values := range h {
		req.Header[name] = values
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, header: resp.Header, body: text}
	if resp.StatusCode < 300 || resp.StatusCode == http.StatusNotModified || err != nil {
		return a, err
	}
	if method == "HEAD" {
		a.code, a.message = resp.Header.Get("X-Minio-Error-Code"), strings.Trim(resp.Header.Get("X-Minio-Error-Desc"), `"`)
		return a, nil
	}
	var told struct{ Code, Message string }
	if err := xml.Unmarshal(text, &told); err != nil {
		return a, errors.Join(err, fmt.Errorf("an answer of %d that is no XML: %q", a.status, text))
	}
	a.code, a.message = told.Code, told.Message
	return a, nil
}

func (s *replayServer) must(t *testing.T, method, path string, h http.Header, body []byte) []byte {
	t.Helper()
	a, err := s.do(method, path, h, body)
	if err != nil || a.status >= 300 {
		t.Fatalf("%s %s: %d %s %s, %v", method, path, a.status, a.code, a.message, err)
	}
	return a.body
}

var partLine = regexp.MustCompile(`<PartNumber>(\d+)</PartNumber><ETag>[^<]*</ETag>`)

// send replays a case with the ids and ETags of this server in place of the recorded ones.
func (s *replayServer) send(t *testing.T, c recorded) answer {
	t.Helper()
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	object := strings.TrimPrefix(u.Path, "/errs/")
	if object == "ssec-rot" && s.customer != nil {
		// The first of these copies leaves it without encryption, as it asks for. What
		// the others show is about an object that still is under a customer key.
		s.must(t, "PUT", "/errs/ssec-rot", s.customer, hundred)
	}
	q := u.Query()
	if q.Has("uploadId") {
		q.Set("uploadId", s.uploads[object])
	}
	u.RawQuery = q.Encode()
	body := []byte(c.RequestBody)
	if c.Method == "PUT" && len(body) == 0 && !q.Has("encryption") && c.RequestHeaders["X-Amz-Copy-Source"] == "" {
		body = hundred
	}
	body = partLine.ReplaceAllFunc(body, func(line []byte) []byte {
		number := string(partLine.FindSubmatch(line)[1])
		return fmt.Appendf(nil, "<PartNumber>%s</PartNumber><ETag>%s</ETag>", number, s.etags[object][number])
	})
	h := make(http.Header)
	for name, value := range c.RequestHeaders {
		h.Set(name, value)
	}
	a, err := s.do(c.Method, u.String(), h, body)
	if err != nil {
		t.Errorf("%s: %v", c.ID, err)
	}
	if q.Has("partNumber") && a.status == 200 {
		s.noteETag(object, q.Get("partNumber"), a)
	}
	return a
}

func (s *replayServer) noteETag(object, number string, a answer) {
	etag := a.header.Get("Etag")
	var copied struct{ ETag string }
	if xml.Unmarshal(a.body, &copied) == nil {
		etag = copied.ETag
	}
	if s.etags[object] == nil {
		s.etags[object] = make(map[string]string)
	}
	s.etags[object][number] = etag
}
