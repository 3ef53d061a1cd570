package sse_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"strings"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
)

// A storage backend, in the form that docs/adding-sse.md explains piece by piece:
// what stands there is here, compiled and run.

// kept is what the backend keeps of an object beside its bytes.
type kept struct {
	metadata map[string]string // sse's entries, beside whatever else the backend keeps
	size     int64             // stored bytes
	parts    []sse.Part        // of a multipart object
}

func (r kept) stored() sse.Stored {
	return sse.Stored{Metadata: r.metadata, Size: r.size, Parts: r.parts}
}

// storage is the backend: bytes and records by name.
type storage struct {
	client  *kms.Client
	bucket  sse.BucketEncryption // of all buckets, to be short
	bytes   map[sse.ObjectName][]byte
	records map[sse.ObjectName]kept
}

func (s *storage) options(req *http.Request) *sse.RequestOptions {
	return &sse.RequestOptions{PlainHTTP: req.TLS == nil, Default: s.bucket}
}

func (s *storage) put(w http.ResponseWriter, req *http.Request, name sse.ObjectName) error {
	r, err := sse.ParseRequest(sse.PutObject, name, req.Header, s.options(req))
	if err != nil {
		return err
	}
	upload, err := sse.EncryptAny(req.Context(), s.client, r, name, req.Body, &sse.EncryptOptions{
		Size:     sse.KnownSize(req.ContentLength),
		Checksum: sse.CRC32C,
	})
	if err != nil {
		return err
	}
	var data bytes.Buffer // a temporary file
	if _, err := upload.WriteTo(&data); err != nil {
		return err
	}
	metadata, err := upload.Metadata() // exists only now: the ETag is in it
	if err != nil {
		return err
	}
	s.bytes[name], s.records[name] = data.Bytes(), kept{metadata: metadata, size: upload.StoredSize()}
	r.AddResponseHeaders(w.Header(), metadata)
	w.Header().Set("ETag", `"`+upload.ETag()+`"`)
	return nil
}

func (s *storage) get(w http.ResponseWriter, req *http.Request, name sse.ObjectName, span sse.Range) error {
	r, err := sse.ParseRequest(sse.GetObject, name, req.Header, s.options(req))
	if err != nil {
		return err
	}
	stored := s.records[name]
	opts, err := r.ReadOptions(stored.metadata) // the keys sent must fit the object
	if err != nil {
		return err
	}
	obj, err := sse.OpenAny(req.Context(), s.client, name, stored.stored(), opts)
	if err != nil {
		return err
	}
	defer obj.Wipe()
	etag, err := obj.ETag()
	if err != nil {
		return err
	}
	body, err := obj.NewReader(req.Context(), s.fetch(name), span)
	if err != nil {
		return err
	}
	defer body.Close()
	r.AddResponseHeaders(w.Header(), stored.metadata)
	w.Header().Set("ETag", `"`+etag+`"`)
	w.Header().Set("Content-Length", fmt.Sprint(body.Size()))
	if n, err := body.WriteTo(w); err != nil {
		if n > 0 {
			panic(http.ErrAbortHandler) // too late for an answer: cut the connection
		}
		clear(w.Header())
		return err
	}
	return nil
}

func (s *storage) fetch(name sse.ObjectName) sse.Fetch {
	return func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(s.bytes[name][off : off+n])), nil
	}
}

func (s *storage) create(req *http.Request, name sse.ObjectName) (map[string]string, error) {
	r, err := sse.ParseRequest(sse.CreateMultipartUpload, name, req.Header, s.options(req))
	if err != nil {
		return nil, err
	}
	m, err := sse.NewMultipartAny(req.Context(), s.client, r, name)
	if err != nil {
		return nil, err
	}
	defer m.Wipe()
	return m.Metadata(), nil // stored with the upload until it is completed
}

func (s *storage) part(req *http.Request, name sse.ObjectName, upload map[string]string, number int, data io.Writer) (sse.CompletedPart, error) {
	r, err := sse.ParseRequest(sse.UploadPart, name, req.Header, s.options(req))
	if err != nil {
		return sse.CompletedPart{}, err
	}
	opts, err := r.UploadOptions(upload)
	if err != nil {
		return sse.CompletedPart{}, err
	}
	m, err := sse.ResumeMultipartAny(req.Context(), s.client, name, upload, opts)
	if err != nil {
		return sse.CompletedPart{}, err
	}
	defer m.Wipe()
	part, err := m.Part(req.Context(), number, req.Body, &sse.EncryptOptions{Checksum: sse.CRC64NVME})
	if err != nil {
		return sse.CompletedPart{}, err
	}
	if _, err := part.WriteTo(data); err != nil {
		return sse.CompletedPart{}, err
	}
	return sse.CompletedPart{Number: number, ETag: part.ETag(), ActualSize: part.Size(), Checksum: part.Checksum().Value}, nil
}

func (s *storage) complete(req *http.Request, name sse.ObjectName, upload map[string]string, parts []sse.CompletedPart) (map[string]string, error) {
	r, err := sse.ParseRequest(sse.CompleteMultipartUpload, name, req.Header, s.options(req))
	if err != nil {
		return nil, err
	}
	opts, err := r.UploadOptions(upload)
	if err != nil {
		return sse.CompleteUpload(name, upload, parts) // no customer key, no checksum
	}
	m, err := sse.ResumeMultipartAny(req.Context(), s.client, name, upload, opts)
	if err != nil {
		return nil, err
	}
	defer m.Wipe()
	return m.CompleteWith(parts, &sse.CompleteOptions{Checksum: sse.CRC64NVME, FullObject: true})
}

func (s *storage) copy(w http.ResponseWriter, req *http.Request, name, from sse.ObjectName) error {
	r, err := sse.ParseRequest(sse.CopyObject, name, req.Header, s.options(req))
	if err != nil {
		return err
	}
	source := s.records[from]
	opts, err := r.SourceOptions(source.metadata)
	if err != nil {
		return err
	}
	if sse.KeepsData(source.metadata, r) { // the bytes stay, only keys change
		metadata, err := sse.RewrapAs(req.Context(), s.client, from, source.metadata, opts, s.client, name, r)
		if err != nil {
			return err
		}
		source.metadata = metadata
		s.bytes[name], s.records[name] = s.bytes[from], source
		return nil
	}
	obj, err := sse.OpenAny(req.Context(), s.client, from, source.stored(), opts)
	if err != nil {
		return err
	}
	defer obj.Wipe()
	body, err := obj.NewReader(req.Context(), s.fetch(from), sse.Whole)
	if err != nil {
		return err
	}
	defer body.Close()
	return s.store(req.Context(), r, name, body)
}

func (s *storage) store(ctx context.Context, r sse.Request, name sse.ObjectName, body io.Reader) error {
	var data bytes.Buffer
	upload, err := sse.EncryptAny(ctx, s.client, r, name, body, nil)
	if err != nil {
		return err
	}
	if _, err := upload.WriteTo(&data); err != nil {
		return err
	}
	metadata, err := upload.Metadata()
	s.bytes[name], s.records[name] = data.Bytes(), kept{metadata: metadata, size: upload.StoredSize()}
	return err
}

func (s *storage) list(ctx context.Context) (names []sse.ObjectName, etags []string, err error) {
	var lines []sse.Listed
	for name, r := range s.records {
		names, lines = append(names, name), append(lines, sse.Listed{Name: name, Metadata: r.metadata})
	}
	etags, err = sse.ListETags(ctx, s.client, lines, 0)
	return names, etags, err
}

func refuse(w http.ResponseWriter, err error) {
	answer := sse.ErrorResponse(err)
	w.WriteHeader(answer.Status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", answer.Code, escapeXML(answer.Message))
}

func escapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// answer is an http.ResponseWriter that remembers.
type answer struct {
	header http.Header
	bytes.Buffer
	status int
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }

func newAnswer() *answer { return &answer{header: make(http.Header), status: http.StatusOK} }

func newRequest(body string, headers ...string) *http.Request {
	r, err := http.NewRequest("", "http://localhost/", strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// A storage backend: docs/adding-sse.md explains it.
func Example_backend() {
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	key, err := static.ParseKey("my-key:eEm+JI9/q4JhH8QwKvf3LKo4DEBl6QbfvAl1CAbMIv8=")
	check(err)
	backend, err := static.New([]static.Key{key}, "")
	check(err)
	s := &storage{client: kms.NewClient(backend, nil), bucket: sse.BucketEncryption{Method: sse.S3},
		bytes: make(map[sse.ObjectName][]byte), records: make(map[sse.ObjectName]kept)}
	ctx := context.Background()

	// A PUT that asks for nothing gets the bucket's default, a GET finds out.
	name := sse.ObjectName{Bucket: "photos", Object: "2026/cat.jpg"}
	w := newAnswer()
	check(s.put(w, newRequest("a picture of a cat"), name))
	fmt.Println("PUT:", w.header.Get("x-amz-server-side-encryption"), w.header.Get("ETag"))
	w = newAnswer()
	check(s.get(w, newRequest(""), name, sse.Range{Offset: 2, Length: 7}))
	fmt.Println("GET:", w.header.Get("x-amz-server-side-encryption"), w.String())

	// A copy to the same scheme moves no data, one to another does.
	mark := maps.Clone(s.bytes)
	for _, method := range []string{"AES256", "aws:kms"} {
		copied := sse.ObjectName{Bucket: "photos", Object: "copy under " + method}
		check(s.copy(newAnswer(), newRequest("", "x-amz-server-side-encryption", method), copied, name))
		fmt.Println("COPY:", method, "keeps the data:", bytes.Equal(s.bytes[copied], mark[name]))
	}

	// A multipart upload.
	big := sse.ObjectName{Bucket: "photos", Object: "big"}
	upload, err := s.create(newRequest(""), big)
	check(err)
	var data bytes.Buffer
	var parts []sse.CompletedPart
	var r kept
	for i, text := range []string{"the first part, ", "and the last one"} {
		before := data.Len()
		p, err := s.part(newRequest(text), big, upload, i+1, &data)
		check(err)
		parts = append(parts, p)
		r.parts = append(r.parts, sse.Part{Number: p.Number, Size: int64(data.Len() - before), ActualSize: p.ActualSize})
	}
	r.metadata, err = s.complete(newRequest(""), big, upload, parts)
	check(err)
	r.size = int64(data.Len())
	s.bytes[big], s.records[big] = data.Bytes(), r
	w = newAnswer()
	check(s.get(w, newRequest(""), big, sse.Range{Offset: -20, Length: -1}))
	fmt.Println("GET:", w.header.Get("ETag"), w.String())

	_, etags, err := s.list(ctx)
	check(err)
	fmt.Println("LIST:", len(etags), "ETags")

	// What is wrong is answered as S3 answers it.
	w = newAnswer()
	refuse(w, s.put(w, newRequest("", "x-amz-server-side-encryption", "aws:kms:dsse"), name))
	fmt.Println(w.status, w.String())
	// Output:
	// PUT: AES256 "d887c6276e61c39b5ad4aab3fc09467c"
	// GET: AES256 picture
	// COPY: AES256 keeps the data: true
	// COPY: aws:kms keeps the data: false
	// GET: "de37df3106ca3179462d7a48f9ed0c7e-2" rt, and the last one
	// LIST: 4 ETags
	// 400 <Error><Code>InvalidArgument</Code><Message>Invalid arguments provided for photos/2026/cat.jpg: (The encryption method is not supported)</Message></Error>
}
