package s3_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/objseal/objseal/drive/recovery"
	"github.com/objseal/objseal/drive/recovery/s3"
	"github.com/objseal/objseal/sse"
)

// A store is as much of S3 as a Sink asks for. The real one is in internal/interop.
type store struct {
	t testing.TB
	*httptest.Server

	mu       sync.Mutex
	buckets  map[string]*storeBucket
	uploads  map[string]map[int][]byte
	headers  map[string]http.Header // of uploads
	requests map[string]int         // by kind

	noVersioning bool                            // the store has none
	fail         func(kind string, n int) string // an S3 error code for the nth request of a kind, or empty
	etag         func(string) string             // what becomes of ETags
	kms          bool                            // says that it encrypts
}

type storeBucket struct {
	versioned bool
	objects   map[string][]storeVersion // newest last
}

type storeVersion struct {
	id, etag string
	data     []byte
	header   http.Header
	marker   bool
}

func newStore(t testing.TB) *store {
	s := &store{t: t, buckets: make(map[string]*storeBucket), uploads: make(map[string]map[int][]byte), headers: make(map[string]http.Header), requests: make(map[string]int)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *store) sink(target string, resume bool) *s3.Sink {
	return s.sinkWith(target, s3.Options{Resume: resume})
}

func (s *store) sinkWith(target string, o s3.Options) *s3.Sink {
	s.t.Helper()
	t, err := s3.ParseTarget(target)
	if err != nil {
		s.t.Fatal(err)
	}
	o.Endpoint, o.AccessKey, o.SecretKey, o.Region = s.URL, "access", "secret", "us-east-1"
	sink, err := s3.New(t, o)
	if err != nil {
		s.t.Fatal(err)
	}
	sink.HoldLess(chunk, 6)
	return sink
}

// bucket makes one that was there before.
func (s *store) bucket(name string, versioned bool) *storeBucket {
	b := &storeBucket{versioned: versioned, objects: make(map[string][]storeVersion)}
	s.buckets[name] = b
	return b
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readSigned(r)
	if err != nil {
		return // the client has gone
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	kind := r.Method
	for _, sub := range []string{"versioning", "object-lock", "uploads", "partNumber", "uploadId", "list-type", "location"} {
		if q.Has(sub) {
			kind += " " + sub
			break
		}
	}
	if key == "" {
		kind += " bucket"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[kind]++
	if s.fail != nil {
		if code := s.fail(kind, s.requests[kind]); code != "" {
			refuse(w, http.StatusForbidden, code)
			return
		}
	}
	b := s.buckets[name]
	switch {
	case kind == "PUT bucket":
		s.bucket(name, false)
		return
	case b == nil:
		refuse(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	if sum := r.Header.Get("Content-Md5"); sum != "" && key != "" {
		if got := md5.Sum(body); base64.StdEncoding.EncodeToString(got[:]) != sum {
			refuse(w, http.StatusBadRequest, "BadDigest")
			return
		}
	}
	s.serve(w, r, kind, key, b, body)
}

func (s *store) serve(w http.ResponseWriter, r *http.Request, kind, key string, b *storeBucket, body []byte) {
	q := r.URL.Query()
	switch kind {
	case "HEAD bucket":
	case "PUT versioning bucket":
		if s.noVersioning {
			refuse(w, http.StatusNotImplemented, "NotImplemented")
			return
		}
		b.versioned = true
	case "GET versioning bucket":
		status := ""
		if b.versioned {
			status = "<Status>Enabled</Status>"
		}
		fmt.Fprintf(w, "<VersioningConfiguration>%s</VersioningConfiguration>", status)
	case "GET object-lock bucket":
		refuse(w, http.StatusNotFound, "ObjectLockConfigurationNotFoundError")
	case "GET list-type bucket":
		fmt.Fprint(w, "<ListBucketResult>")
		for name := range b.objects {
			fmt.Fprintf(w, "<Contents><Key>%s</Key></Contents>", name)
		}
		fmt.Fprint(w, "</ListBucketResult>")
	case "PUT":
		sum := md5.Sum(body)
		s.store(w, r.Header, b, key, storeVersion{etag: hex.EncodeToString(sum[:]), data: body, header: r.Header})
	case "POST uploads":
		id := fmt.Sprint("upload-", len(s.uploads))
		s.uploads[id], s.headers[id] = make(map[int][]byte), r.Header
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case "PUT partNumber":
		n, _ := strconv.Atoi(q.Get("partNumber"))
		s.uploads[q.Get("uploadId")][n] = body
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
	case "POST uploadId":
		s.complete(w, r, b, key, body)
	case "DELETE uploadId":
		delete(s.uploads, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case "DELETE":
		s.delete(w, b, key, q.Get("versionId"))
	case "HEAD", "GET":
		s.get(w, b, key, q.Get("versionId"))
	default:
		s.t.Errorf("unknown request: %s", kind)
	}
}

func (s *store) complete(w http.ResponseWriter, r *http.Request, b *storeBucket, key string, body []byte) {
	id := r.URL.Query().Get("uploadId")
	var asked struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.Unmarshal(body, &asked); err != nil {
		s.t.Error(err)
	}
	var data, sums []byte
	for _, p := range asked.Part {
		part := s.uploads[id][p.PartNumber]
		sum := md5.Sum(part)
		if strings.Trim(p.ETag, `"`) != hex.EncodeToString(sum[:]) {
			s.t.Errorf("part %d has another ETag", p.PartNumber)
		}
		data, sums = append(data, part...), append(sums, sum[:]...)
	}
	header := s.headers[id].Clone()
	if r.Header.Get("If-None-Match") != "" {
		header.Set("If-None-Match", "*")
	}
	recorder := httptest.NewRecorder()
	s.store(recorder, header, b, key, storeVersion{etag: fmt.Sprintf("%x-%d", md5.Sum(sums), len(asked.Part)), data: data, header: header})
	if recorder.Code != http.StatusOK {
		refuse(w, recorder.Code, "PreconditionFailed")
		return
	}
	delete(s.uploads, id)
	maps.Copy(w.Header(), recorder.Header())
	fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><ETag>%s</ETag></CompleteMultipartUploadResult>", recorder.Header().Get("ETag"))
}

func (s *store) store(w http.ResponseWriter, header http.Header, b *storeBucket, key string, v storeVersion) {
	old := b.objects[key]
	if len(old) > 0 && header.Get("If-None-Match") == "*" {
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	if s.etag != nil {
		v.etag = s.etag(v.etag)
	}
	if b.versioned {
		v.id = fmt.Sprintf("version-%d", len(old)+1)
		w.Header().Set("X-Amz-Version-Id", v.id)
		b.objects[key] = append(old, v)
	} else {
		b.objects[key] = []storeVersion{v}
	}
	w.Header().Set("ETag", strconv.Quote(v.etag))
}

func (s *store) delete(w http.ResponseWriter, b *storeBucket, key, version string) {
	if version == "" && b.versioned {
		b.objects[key] = append(b.objects[key], storeVersion{marker: true, id: "marker"})
	} else {
		b.objects[key] = slices.DeleteFunc(b.objects[key], func(v storeVersion) bool { return v.id == version })
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *store) get(w http.ResponseWriter, b *storeBucket, key, version string) {
	for _, v := range slices.Backward(b.objects[key]) {
		if version != "" && v.id != version {
			continue
		}
		if v.marker {
			w.Header().Set("X-Amz-Delete-Marker", "true")
			break
		}
		for name, values := range v.header {
			if strings.HasPrefix(name, "X-Amz-Meta-") {
				w.Header()[name] = values
			}
		}
		if s.kms {
			w.Header().Set("X-Amz-Server-Side-Encryption", "aws:kms")
		}
		w.Header().Set("X-Amz-Version-Id", v.id)
		w.Header().Set("ETag", strconv.Quote(v.etag))
		w.Header().Set("Last-Modified", "Tue, 15 Nov 1994 12:45:26 GMT")
		w.Header().Set("Content-Length", strconv.Itoa(len(v.data)))
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

// readSigned reads a body, out of the signed chunks that plain HTTP has.
func readSigned(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING") {
		return body, err
	}
	var data []byte
	for {
		head, rest, ok := bytes.Cut(body, []byte("\r\n"))
		text, _, _ := strings.Cut(string(head), ";")
		n, err := strconv.ParseInt(text, 16, 64)
		if !ok || err != nil || n == 0 {
			return data, err
		}
		data, body = append(data, rest[:n]...), rest[n+2:]
	}
}

var random = sync.OnceValue(func() []byte {
	b := make([]byte, 17*mib)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
})

// some is pseudo-random content, not to be changed.
func some(size int64) []byte { return random()[:size] }

func item(object string, size int64) *recovery.Item {
	return &recovery.Item{Bucket: "source", Object: object, VersionID: "null", IsLatest: true, Size: size}
}

func body(data []byte) *recovery.Body {
	return recovery.NewBody(iotest.HalfReader(bytes.NewReader(data)), int64(len(data)))
}

func parts(sizes ...int64) (parts []sse.Part) {
	for i, size := range sizes {
		parts = append(parts, sse.Part{Number: 2*i + 1, Size: size, ActualSize: size})
	}
	return parts
}

const (
	mib   = 1 << 20
	chunk = mib + 7
)

// TestPut: content of every size, in one request or in the parts it had.
func TestPut(t *testing.T) {
	for _, test := range []struct {
		size  int64
		parts []sse.Part
		want  string // the part of the ETag that counts
	}{
		{0, nil, ""},
		{1, nil, ""},
		{chunk - 1, nil, ""},
		{chunk, nil, ""},
		{chunk + 1, nil, ""},
		{6 * chunk, nil, ""},
		{6*chunk + 1, nil, "-2"},
		{5*mib + 3, parts(5*mib, 3), "-2"},
		{17 * mib, parts(5*mib, 7*mib, 5*mib), "-3"},
		{3, parts(3), "-1"},
		{0, parts(0), ""},
		{5, parts(3, 2), ""}, // too small for S3: servers before 2020 split so
		{9 * mib, parts(8*mib, 1*mib), "-2"},
		{5 * mib, parts(5*mib, 1), ""}, // sizes that do not fit together
	} {
		t.Run(fmt.Sprintf("size=%d,parts=%d", test.size, len(test.parts)), func(t *testing.T) {
			s := newStore(t)
			i, data := item("a/b c+é", test.size), some(test.size)
			i.Parts = test.parts
			sink := s.sink("s3://", false)
			path, err := sink.Put(t.Context(), i, body(data))
			if err != nil {
				t.Fatal(err)
			}
			got := s.buckets["source"].objects["a/b c+é"]
			if len(got) != 1 || !bytes.Equal(got[0].data, data) {
				t.Fatal("the content is another")
			}
			if _, n, _ := strings.Cut(got[0].etag, "-"); strings.TrimPrefix(test.want, "-") != n {
				t.Errorf("ETag %s, want …%s", got[0].etag, test.want)
			}
			if len(s.uploads) > 0 {
				t.Error("an upload is left")
			}
			if again := s.sink("s3://", true); !again.Holds(t.Context(), path, test.size) || again.Holds(t.Context(), "s3://other/o", 1) || again.Holds(t.Context(), "o", 1) {
				t.Errorf("Holds does not know %s", path)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	s := newStore(t)
	for _, object := range []string{"small", "large"} {
		i := item(object, 6*mib)
		if object == "large" {
			i.Parts = parts(5*mib, mib)
		}
		i.ContentType, i.Tags = "text/x-a; charset=utf-8", "a=1&b+c=x%3Dy"
		i.Headers = map[string]string{"Cache-Control": "max-age=1", "Content-Disposition": "inline", "Content-Encoding": "gzip", "Content-Language": "de", "Expires": "soon",
			"X-Amz-Object-Lock-Mode": "GOVERNANCE", "X-Amz-Object-Lock-Retain-Until-Date": "2999-01-01T00:00:00Z"}
		i.UserMetadata = map[string]string{"Name": "value", "content-type": "not the real one"}
		if object == "large" { // a bucket without object lock keeps none
			delete(s.buckets, "source")
			s.bucket("source", true)
		}
		sink := s.sinkWith("s3://", s3.Options{Source: func(context.Context, string) (bool, bool) { return false, true }})
		if _, err := sink.Put(t.Context(), i, body(some(6*mib))); err != nil {
			t.Fatal(err)
		}
		h := s.buckets["source"].objects[object][0].header
		for name, want := range map[string]string{"Content-Type": "text/x-a; charset=utf-8", "X-Amz-Tagging": "a=1&b+c=x%3Dy", "Cache-Control": "max-age=1", "Content-Disposition": "inline",
			"Content-Encoding": "gzip", "Content-Language": "de", "Expires": "soon", "X-Amz-Meta-Name": "value", "X-Amz-Meta-Content-Type": "not the real one",
			"X-Amz-Object-Lock-Mode": map[string]string{"small": "GOVERNANCE"}[object]} {
			got := h.Get(name)
			if name == "X-Amz-Tagging" {
				got = strings.ReplaceAll(got, "%20", "+")
			}
			if name == "Content-Encoding" {
				got = strings.TrimPrefix(got, "aws-chunked,")
			}
			if got != want {
				t.Errorf("%s: %s is %q, want %q", object, name, got, want)
			}
		}
	}
}

// history stores three versions with a delete marker among them, oldest first.
func history(t *testing.T, sink recovery.Sink) (stored []string, errs []error) {
	t.Helper()
	for n, size := range []int64{1, 2, -1, 3} {
		i := item("o", max(size, 0))
		i.VersionID, i.IsLatest, i.DeleteMarker = fmt.Sprint("old-", n), n == 3, size < 0
		var path string
		var err error
		if i.DeleteMarker {
			path, err = sink.Delete(t.Context(), i)
		} else {
			path, err = sink.Put(t.Context(), i, body(some(size)))
		}
		stored, errs = append(stored, path), append(errs, err)
	}
	return stored, errs
}

func TestVersions(t *testing.T) {
	sizes := func(s *store) (sizes []int) {
		for _, v := range s.buckets["source"].objects["o"] {
			if v.marker {
				sizes = append(sizes, -1)
			} else {
				sizes = append(sizes, len(v.data))
			}
		}
		return sizes
	}
	t.Run("bucket made", func(t *testing.T) {
		s := newStore(t)
		paths, errs := history(t, s.sink("s3://", false))
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if got := sizes(s); !slices.Equal(got, []int{1, 2, -1, 3}) || paths[1] != "s3://source/o?versionId=version-2" {
			t.Errorf("%v, %q", got, paths)
		}
		// A second run that knows nothing of the first stores nothing twice where it can see that.
		i := item("o", 3)
		i.VersionID = "old-3"
		if path, err := s.sink("s3://", true).Put(t.Context(), i, body(some(3))); err != nil || path != paths[3] || len(sizes(s)) != 4 {
			t.Errorf("resumed: %s, %v, %v", path, err, sizes(s))
		}
		// What the report has is another version, with the same content.
		again := s.sink("s3://", true)
		for _, path := range paths {
			again.Holds(t.Context(), path, 0)
		}
		if path, err := again.Put(t.Context(), i, body(some(3))); err != nil || path == paths[3] || len(sizes(s)) != 5 {
			t.Errorf("resumed with the report: %s, %v, %v", path, err, sizes(s))
		}
	})
	for _, why := range []string{"bucket without versioning", "store without versioning"} {
		t.Run(why, func(t *testing.T) {
			s := newStore(t)
			s.noVersioning = why == "store without versioning"
			if !s.noVersioning {
				s.bucket("source", false)
			}
			_, errs := history(t, s.sink("s3://", false))
			if got := sizes(s); !slices.Equal(got, []int{3}) || !errors.Is(errs[0], recovery.ErrNotTaken) || !errors.Is(errs[1], recovery.ErrNotTaken) || errs[2] != nil || errs[3] != nil {
				t.Errorf("%v, %v", got, errs)
			}
		})
	}
	t.Run("as the source", func(t *testing.T) {
		for _, versioning := range []bool{true, false} {
			s := newStore(t)
			sink := s.sinkWith("s3://", s3.Options{Source: func(context.Context, string) (bool, bool) { return versioning, false }})
			if _, err := sink.Put(t.Context(), item("o", 1), body(some(1))); err != nil || s.buckets["source"].versioned != versioning {
				t.Errorf("%v, want %v", err, versioning)
			}
			sink = s.sinkWith("s3://one", s3.Options{Versions: versioning})
			if _, err := sink.Put(t.Context(), item("o", 1), body(some(1))); err != nil || s.buckets["one"].versioned != versioning {
				t.Errorf("one bucket: %v, want %v", err, versioning)
			}
			// A run that ended between making a bucket and giving it versioning.
			s.bucket("source", false)
			sink = s.sinkWith("s3://", s3.Options{Resume: true, Source: func(context.Context, string) (bool, bool) { return versioning, false }})
			if _, err := sink.Put(t.Context(), item("o", 1), body(some(1))); err != nil || s.buckets["source"].versioned != versioning {
				t.Errorf("resumed: %v, want %v", err, versioning)
			}
		}
	})
	t.Run("resumed delete marker", func(t *testing.T) {
		s := newStore(t)
		i := item("o", 0)
		i.VersionID, i.DeleteMarker = "x", true
		for _, resume := range []bool{false, true} {
			if _, err := s.sink("s3://", resume).Delete(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		}
		if got := sizes(s); !slices.Equal(got, []int{-1}) {
			t.Errorf("%v", got)
		}
	})
}

// TestNothingOverwritten: what was in a bucket before stays.
func TestNothingOverwritten(t *testing.T) {
	s := newStore(t)
	for object, i := range map[string]*recovery.Item{"small": item("small", 3), "large": item("large", 6*mib)} {
		i.Parts = parts(5*mib, mib)
		s.bucket("source", false).objects[object] = []storeVersion{{data: []byte("mine")}}
		if _, err := s.sink("s3://", false).Put(t.Context(), i, body(some(i.Size))); err == nil || errors.Is(err, recovery.ErrStop) {
			t.Errorf("%s: %v", object, err)
		}
		if got := s.buckets["source"].objects[object]; len(got) != 1 || string(got[0].data) != "mine" || len(s.uploads) > 0 {
			t.Errorf("%s was overwritten", object)
		}
	}
}

// TestBadContent: content that fails at its very end leaves nothing, whatever its size.
func TestBadContent(t *testing.T) {
	damaged := errors.New("damaged")
	for _, i := range []*recovery.Item{item("o", 0), item("o", 1), item("o", 3*mib), item("o", 6*mib), item("o", 13*mib)} {
		switch i.Size {
		case 6 * mib:
			i.Parts = parts(5*mib, mib)
		case 13 * mib:
			i.Parts = parts(5*mib, 8*mib)
		}
		for name, tail := range map[string]io.Reader{"error": iotest.ErrReader(damaged), "short": strings.NewReader(""), "long": strings.NewReader("xx")} {
			if i.Size == 0 && name == "short" {
				continue
			}
			s := newStore(t)
			data := some(i.Size)
			if name == "short" {
				data = data[:len(data)-1]
			}
			_, err := s.sink("s3://", false).Put(t.Context(), i, recovery.NewBody(io.MultiReader(bytes.NewReader(data), tail), i.Size))
			if err == nil || errors.Is(err, recovery.ErrStop) || name == "error" && !errors.Is(err, damaged) {
				t.Errorf("size %d, %s: %v", i.Size, name, err)
			}
			if len(s.buckets["source"].objects["o"]) > 0 || len(s.uploads) > 0 {
				t.Errorf("size %d, %s: something was stored", i.Size, name)
			}
		}
	}
}

// TestVerified: a store that says it has something else is not believed.
func TestVerified(t *testing.T) {
	for name, test := range map[string]struct {
		kms bool
		ok  bool
	}{"another ETag": {false, false}, "ETag of a KMS": {true, true}} {
		for _, i := range []*recovery.Item{item("o", 3), item("o", 6*mib)} {
			i.Parts = parts(5*mib, mib)
			s := newStore(t)
			s.etag, s.kms = func(string) string { return strings.Repeat("0", 32) }, test.kms
			_, err := s.sink("s3://", false).Put(t.Context(), i, body(some(i.Size)))
			if (err == nil) != test.ok || (len(s.buckets["source"].objects["o"]) == 1) != test.ok {
				t.Errorf("%s, size %d: %v", name, i.Size, err)
			}
		}
	}
}

// TestFailures: which of them end the run, and which are told of one version.
func TestFailures(t *testing.T) {
	for _, test := range []struct {
		kind, code string
		stop       bool
	}{
		{"PUT", "AccessDenied", false},
		{"PUT", "InvalidAccessKeyId", true},
		{"PUT", "XMinioStorageFull", true},
		{"HEAD bucket", "AccessDenied", false},
		{"PUT bucket", "AccessDenied", false},
		{"POST uploads", "SignatureDoesNotMatch", true},
		{"PUT partNumber", "AccessDenied", false},
		{"POST uploadId", "AccessDenied", false},
	} {
		s := newStore(t)
		s.fail = func(kind string, _ int) string {
			if kind == test.kind {
				return test.code
			}
			return ""
		}
		i := item("o", 6*mib)
		if strings.Contains(test.kind, "upload") || strings.Contains(test.kind, "part") {
			i.Parts = parts(5*mib, mib)
		}
		_, err := s.sink("s3://", false).Put(t.Context(), i, body(some(i.Size)))
		if err == nil || errors.Is(err, recovery.ErrStop) != test.stop || len(s.uploads) > 0 {
			t.Errorf("%s, %s: %v", test.kind, test.code, err)
		}
	}
}

// TestUnreachable: a store that is gone ends the run.
func TestUnreachable(t *testing.T) {
	s := newStore(t)
	sink := s.sink("s3://", false)
	s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := sink.Put(ctx, item("o", 3), body(some(3))); !errors.Is(err, recovery.ErrStop) {
		t.Errorf("%v", err)
	}
	cancel()
	if _, err := sink.Put(ctx, item("o", 3), body(some(3))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestMany: uploads of many objects at once share the memory, and all come through.
func TestMany(t *testing.T) {
	s := newStore(t)
	sink := s.sink("s3://all/in one", false)
	var running sync.WaitGroup
	for n := range 6 {
		running.Go(func() {
			i := item(fmt.Sprint(n), 6*mib)
			i.Parts = parts(5*mib, mib)
			if _, err := sink.Put(t.Context(), i, body(some(i.Size))); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if got := s.buckets["all"].objects; len(got) != 6 || len(got["in one/source/5"]) != 1 {
		t.Errorf("%d objects", len(got))
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]string{
		"s3://":          "source/o",
		"s3://*":         "source/o",
		"s3://*/":        "source/o",
		"s3://*/p":       "source/p/o",
		"s3://old-*":     "old-source/o",
		"s3://old-*-x/p": "old-source-x/p/o",
		"s3://one":       "one/source/o",
		"s3://one/":      "one/source/o",
		"s3://one/a/b/":  "one/a/b/source/o",
	} {
		s := newStore(t)
		if _, err := s.sink(text, false).Put(t.Context(), item("o", 1), body(some(1))); err != nil {
			t.Fatal(err)
		}
		for bucket, b := range s.buckets {
			for key := range b.objects {
				if got := bucket + "/" + key; got != want {
					t.Errorf("%s: %s, want %s", text, got, want)
				}
			}
		}
	}
	for _, text := range []string{"", "s3:", "http://x", "s3://a*b*c"} {
		if _, err := s3.ParseTarget(text); !errors.Is(err, s3.ErrInvalidTarget) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, endpoint := range []string{"", "host:9000", "ftp://host", "https://user:very-secret@host", "https://"} {
		if _, err := s3.New(s3.Target{}, s3.Options{Endpoint: endpoint}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestUploadsNotTaken(t *testing.T) {
	i := item("o", 1)
	i.UploadID = "x"
	if _, err := newStore(t).sink("s3://", false).Put(t.Context(), i, body(some(1))); !errors.Is(err, recovery.ErrNotTaken) {
		t.Error(err)
	}
}
