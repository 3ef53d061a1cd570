package sse_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
)

// A recorded request, and what MinIO answered: see testdata/README.md.
type recorded struct {
	ID, Server, Method, URL string
	RequestHeaders          map[string]string `json:"request_headers"`
	RequestBody             string            `json:"request_body"`
	Status                  int
	Code, Message           string
	ResponseHeaders         map[string]string `json:"response_headers"`
	ResponseBody            string            `json:"response_body"`
}

// notReplayed are the cases in which a backend on this package answers
// otherwise, each for a reason.
var notReplayed = map[string]string{
	"tls-builtin-kms/get-ssec-with-copy-headers-instead": "MinIO takes the customer key of a copy's source for a GET; here it must be sent as what it is",
	"tls-builtin-kms/initiate-kms-context-not-json":      "500 tells a client to try again what can never work; it is 400, as for a PUT",
	"tls-builtin-kms/complete-ssec-part-too-small":       "the size of a part is the backend's to judge",
	"tls-kes-down/head-s3":                               "MinIO shows the sealed ETag when the key server is down: another one than it shows else",
}

// TestReplay is a backend of the fewest lines: the recorded requests go through
// it, and the answers must be those of the recording, ETags and encryption
// headers among them.
func TestReplay(t *testing.T) {
	var golden struct {
		Cases []recorded
		Keys  map[string]string
	}
	readJSON(t, "testdata/errors.json", &golden)
	if len(golden.Cases) != 123 {
		t.Fatalf("%d cases", len(golden.Cases))
	}
	left := maps.Clone(notReplayed)
	servers := make(map[string]*replayServer)
	replayed := 0
	for _, c := range golden.Cases {
		s := servers[c.Server]
		if s == nil {
			s = newReplayServer(t, c.Server, unbase64(t, golden.Keys["K1"]))
			servers[c.Server] = s
		}
		if _, excluded := left[c.ID]; excluded {
			delete(left, c.ID)
			continue
		}
		replayed++
		t.Run(c.ID, func(t *testing.T) { s.replay(t, c) })
	}
	if len(left) > 0 {
		t.Errorf("not replayed, but unknown: %v", left)
	}
	t.Logf("%d cases were replayed", replayed)
}

// replayServer stands for one of the recorded servers.
type replayServer struct {
	client  *kms.Client
	plain   bool // plain HTTP
	objects map[string]sealed
	uploads map[string]map[string]string // metadata by object
	bucket  sse.BucketEncryption
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

func newReplayServer(t *testing.T, kind string, k1 []byte) *replayServer {
	s := &replayServer{plain: kind == "plain-http-builtin-kms", objects: make(map[string]sealed), uploads: make(map[string]map[string]string)}
	backend := &restricted{allowed: func(string) error { return nil }}
	switch kind {
	case "tls-no-kms":
	case "tls-kes-restricted", "tls-kes-down":
		backend.Backend = staticKeys(t, "allowed-1", "allowed-2", "denied-1")
		s.client = kms.NewClient(backend, &kms.Options{DefaultKeyID: "allowed-1"})
	default:
		backend.Backend = staticKeys(t, "errors-key")
		s.client = kms.NewClient(backend, nil)
	}
	key, err := sse.NewCustomerKey(k1)
	if err != nil {
		t.Fatal(err)
	}
	s.objects["none"] = sealed{sse.Stored{Metadata: map[string]string{"etag": plainETag}, Size: 100}, body, plainETag}
	all := map[string]sse.Request{"ssec": {Method: sse.C, CustomerKey: key}, "ssec-rot": {Method: sse.C, CustomerKey: key}}
	uploads := map[string]sse.Request{"mp-sse-c": all["ssec"]}
	if s.client != nil {
		all["s3"], all["kms"] = sse.Request{Method: sse.S3}, sse.Request{Method: sse.KMS, Context: kms.AssociatedData{"a": "b"}}
		uploads["mp"], uploads["mp-sse-s3"], uploads["mp-sse-kms"] = all["s3"], all["s3"], sse.Request{Method: sse.KMS}
	}
	if strings.HasPrefix(kind, "tls-kes") {
		all["kms2"] = sse.Request{Method: sse.KMS, KMSKeyID: "allowed-2"}
	}
	for name, r := range all {
		s.objects[name] = seal(t, s.client, r, sse.ObjectName{Bucket: "errs", Object: name}, body, nil)
	}
	for name, r := range uploads {
		m, err := sse.NewMultipart(background, s.client, r, sse.ObjectName{Bucket: "errs", Object: name})
		if err != nil {
			t.Fatal(err)
		}
		s.uploads[name] = m.Metadata()
	}
	s.uploads["mp-none"] = nil
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
	return s
}

var body = bytes.Repeat([]byte("e"), 100)

const plainETag = "3a8a958bdf9abdfecff6dda6057dc868" // MD5 of body

func staticKeys(t *testing.T, names ...string) kms.Backend {
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

func (s *replayServer) replay(t *testing.T, c recorded) {
	h := http.Header{}
	for k, v := range c.RequestHeaders {
		h[k] = []string{v}
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	bucket, name, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	answer := http.Header{}
	text, err := s.do(t, c, sse.ObjectName{Bucket: bucket, Object: name}, u.Query(), h, answer)
	got := sse.Response{Status: 200}
	if err != nil {
		got = sse.ErrorResponse(err)
		if errors.Is(err, errNoSuchKey) {
			got = sse.Response{Status: 404, Code: "NoSuchKey", Message: "The specified key does not exist."}
		}
		if errors.Is(err, errNoSuchUpload) {
			got = sse.Response{Status: 404, Code: "NoSuchUpload", Message: c.Message}
		}
	}
	if got.Status != c.Status || got.Code != c.Code {
		t.Fatalf("answer %+v for %v; MinIO's is %d %s %s", got, err, c.Status, c.Code, c.Message)
	}
	if !strings.Contains(c.ID, "-context-") && got.Message != c.Message { // the texts of another JSON parser
		t.Errorf("message %q; MinIO's is %q", got.Message, c.Message)
	}
	if c.ResponseBody != "" && text != c.ResponseBody {
		t.Errorf("body %q; MinIO's is %q", text, c.ResponseBody)
	}
	for name := range c.ResponseHeaders {
		if _, ok := answer[name]; !ok && name != "Etag" {
			t.Errorf("without %s", name)
		}
	}
	for name := range answer {
		got, want := answer.Get(name), c.ResponseHeaders[name]
		if name == "Etag" && want != `"`+plainETag+`"` { // random
			continue
		}
		if got != want {
			t.Errorf("%s: %q; MinIO's is %q", name, got, want)
		}
	}
}

var errNoSuchKey, errNoSuchUpload = errors.New("no such key"), errors.New("no such upload")

// do is the backend: all it knows of encryption is which operation it is.
func (s *replayServer) do(t *testing.T, c recorded, n sse.ObjectName, q url.Values, h, answer http.Header) (string, error) {
	opts := &sse.RequestOptions{PlainHTTP: s.plain, Default: s.bucket}
	switch {
	case q.Has("encryption") && c.Method == "PUT":
		b, err := sse.ParseBucketEncryption([]byte(c.RequestBody))
		if err == nil {
			err = b.Verify(background, s.client)
		}
		if err == nil {
			s.bucket = b
		}
		return "", err
	case q.Has("encryption"):
		text, err := s.bucket.Marshal()
		return string(text), err
	case n.Object == "": // a listing
		var list []sse.Listed
		for name, o := range s.objects {
			list = append(list, sse.Listed{Name: sse.ObjectName{Bucket: n.Bucket, Object: name}, Metadata: o.Metadata})
		}
		_, err := sse.ListETags(background, s.client, list, 0)
		return "", err
	case c.Method == "POST" && q.Has("uploads"):
		r, err := sse.ParseRequest(sse.CreateMultipartUpload, n, h, opts)
		if err == nil {
			_, err = sse.NewMultipart(background, s.client, r, n)
		}
		return "", err
	case c.Method == "POST":
		if _, err := sse.ParseRequest(sse.CompleteMultipartUpload, n, h, opts); err != nil {
			return "", err
		}
		upload, ok := s.uploads[n.Object]
		if !ok {
			return "", errNoSuchUpload
		}
		delete(s.uploads, n.Object)
		_, err := sse.CompleteUpload(n, upload, []sse.CompletedPart{{Number: 1, ETag: plainETag}})
		return "", err
	case q.Has("uploadId") && c.Method == "GET":
		_, err := sse.ParseRequest(sse.OtherOperation, n, h, opts)
		return "", err
	case q.Has("uploadId"):
		return "", s.part(n, q, h, answer, opts)
	case c.Method == "PUT":
		return "", s.put(n, h, answer, opts)
	}
	return "", s.get(c.Method, n, q, h, answer, opts)
}

// source returns the body of a request: that of the source of a copy, if it is
// one.
func (s *replayServer) source(r sse.Request, h http.Header) (io.Reader, error) {
	from := h.Get("X-Amz-Copy-Source")
	if from == "" {
		return bytes.NewReader(body), nil
	}
	bucket, name, _ := strings.Cut(strings.TrimPrefix(from, "/"), "/")
	stored := s.objects[name]
	opts, err := r.SourceOptions(stored.Metadata)
	if err != nil {
		return nil, err
	}
	obj, err := sse.OpenAny(background, s.client, sse.ObjectName{Bucket: bucket, Object: name}, stored.Stored, opts)
	if err != nil {
		return nil, err
	}
	return obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(stored.data)), sse.Whole)
}

func (s *replayServer) put(n sse.ObjectName, h, answer http.Header, opts *sse.RequestOptions) error {
	op := sse.PutObject
	if h.Get("X-Amz-Copy-Source") != "" {
		op = sse.CopyObject
	}
	r, err := sse.ParseRequest(op, n, h, opts)
	if err != nil {
		return err
	}
	src, err := s.source(r, h)
	if err != nil {
		return err
	}
	if r.Method == sse.None {
		answer.Set("Etag", `"`+plainETag+`"`)
		_, err := io.Copy(io.Discard, src)
		return err
	}
	u, err := sse.Encrypt(background, s.client, r, n, src, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, u); err != nil {
		return err
	}
	m, err := u.Metadata()
	if err != nil {
		return err
	}
	r.AddResponseHeaders(answer, m)
	answer.Set("Etag", `"`+u.ETag()+`"`)
	return nil
}

func (s *replayServer) part(n sse.ObjectName, q url.Values, h, answer http.Header, opts *sse.RequestOptions) error {
	op := sse.UploadPart
	if h.Get("X-Amz-Copy-Source") != "" {
		op = sse.UploadPartCopy
	}
	r, err := sse.ParseRequest(op, n, h, opts)
	if err != nil {
		return err
	}
	upload := s.uploads[n.Object]
	o, err := r.UploadOptions(upload)
	if err != nil {
		return err
	}
	src, err := s.source(r, h)
	if err != nil || len(upload) == 0 {
		return err
	}
	m, err := sse.ResumeMultipart(background, s.client, n, upload, o)
	if err != nil {
		return err
	}
	number, _ := strconv.Atoi(q.Get("partNumber"))
	u, err := m.Part(background, number, src, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, u); err != nil {
		return err
	}
	r.AddResponseHeaders(answer, m.Metadata())
	answer.Set("Etag", `"`+u.ETag()+`"`)
	return nil
}

func (s *replayServer) get(method string, n sse.ObjectName, q url.Values, h, answer http.Header, opts *sse.RequestOptions) error {
	op := sse.GetObject
	switch {
	case method == "HEAD":
		op = sse.HeadObject
	case q.Has("attributes"):
		op = sse.GetObjectAttributes
	}
	r, err := sse.ParseRequest(op, n, h, opts)
	if err != nil {
		return err
	}
	stored, ok := s.objects[n.Object]
	if !ok {
		return errNoSuchKey
	}
	o, err := r.ReadOptions(stored.Metadata)
	if err != nil || op == sse.GetObjectAttributes { // which shows nothing that a key hides
		return err
	}
	if etag, ok := sse.ShownETag(stored.Metadata); ok && op == sse.HeadObject && o.CustomerKey.IsZero() { // needs no key server
		answer.Set("Etag", `"`+etag+`"`)
		r.AddResponseHeaders(answer, stored.Metadata)
		return nil
	}
	obj, err := sse.OpenAny(background, s.client, n, stored.Stored, o)
	if err != nil {
		return err
	}
	etag, err := obj.ETag()
	if err != nil {
		return err
	}
	answer.Set("Etag", `"`+etag+`"`)
	r.AddResponseHeaders(answer, stored.Metadata)
	span := sse.Whole
	if h.Get("Range") == "bytes=0-9" {
		span = sse.Range{Length: 10}
	}
	rd, err := obj.NewReader(background, sse.FetchReaderAt(bytes.NewReader(stored.data)), span)
	if err != nil {
		return err
	}
	defer rd.Close()
	got, err := io.ReadAll(rd)
	if err == nil && !bytes.HasPrefix(body, got) {
		err = errors.New("other plaintext: " + base64.StdEncoding.EncodeToString(got))
	}
	return err
}
