package clients

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Options are what a run depends on.
type Options struct {
	// DefaultKey is the key of the server's key server that it uses by itself,
	// OtherKey is another one, if it has more than one.
	DefaultKey, OtherKey string

	// Short leaves out what takes most of the time: large objects.
	Short bool
}

// Run runs the program with every client, in buckets of its own, and returns the
// rows of all.
func Run(ctx context.Context, s *Server, o *Options) ([]Row, error) {
	var programs []*program
	var running sync.WaitGroup
	for _, make := range []func(*Server, http.RoundTripper) (Client, error){newMinioGo, newAWS} {
		rec := &recorder{next: s.Transport}
		client, err := make(s, rec)
		if err != nil {
			return nil, err
		}
		p := &program{ctx: ctx, client: client, rec: rec, Options: *o, bucket: client.Name() + "-objects", objects: map[string]*object{}, seen: map[string]bool{}}
		programs = append(programs, p)
		running.Go(p.run)
	}
	running.Wait()
	var rows []Row
	for _, p := range programs {
		if p.err != nil {
			return nil, p.err
		}
		rows = append(rows, p.rows...)
	}
	return rows, nil
}

// program is one run.
type program struct {
	ctx    context.Context
	client Client
	rec    *recorder
	bucket string
	rows   []Row
	err    error // of the program itself
	Options

	objects map[string]*object // what must be there, by bucket and key
	seen    map[string]bool    // the names of steps
}

// object is what the program knows of an object.
type object struct {
	data  []byte
	etag  string // as the client was told
	form  string
	parts [][]byte // of a multipart upload
}

var noise = func() []byte {
	b := make([]byte, 24<<20)
	rand.NewChaCha8(sha256.Sum256([]byte("clients"))).Read(b)
	return b
}()

// content returns size bytes that nothing else has.
func content(name string, size int) []byte {
	sum := sha256.Sum256([]byte(name))
	start := int(sum[0])<<8 | int(sum[1])
	return noise[start:][:size]
}

// The keys of clients.
var (
	customer1 = key("customer 1")
	customer2 = key("customer 2")
)

func key(name string) []byte {
	k := sha256.Sum256([]byte(name))
	return k[:]
}

// step makes a call and writes its row. A call that the client cannot say makes no
// row: the other one says it.
func (p *program) step(group, name string, c *Call) (*Result, *Row, error) {
	if c.Bucket == "" {
		c.Bucket = p.bucket
	}
	if c.Header == nil {
		c.Header = map[string]string{}
	}
	row := Row{Client: p.client.Name(), Group: group, Case: name, Fields: map[string]string{}}
	if p.seen[row.Step()] {
		p.err = errors.Join(p.err, fmt.Errorf("two steps %q", row.Step()))
	}
	p.seen[row.Step()] = true
	p.rec.last, p.rec.n = nil, 0
	r, err := p.client.Do(p.ctx, c)
	if errors.Is(err, errCannot) {
		return r, &Row{Fields: map[string]string{}}, err
	}
	f := row.Fields
	if resp := p.rec.last; resp != nil {
		f["status"] = fmt.Sprint(resp.StatusCode)
		isObject := (c.Operation == "GetObject" || c.Operation == "HeadObject" || c.Operation == "PresignedGet") && resp.StatusCode < 300
		maps.Copy(f, shown(resp, isObject))
	} else {
		f["status"] = "not sent"
	}
	if p.rec.n > 1 {
		f["requests"] = fmt.Sprint(p.rec.n)
	}
	if err != nil {
		f["code"] = p.client.Code(err)
		if resp := p.rec.last; resp != nil && (resp.StatusCode == http.StatusNotModified || resp.Request.Method == http.MethodHead) {
			f["code"] = "" // there is none without a body: each client makes up its own
			return r, p.add(row), err
		}
		var form *formError
		if errors.As(err, &form) {
			f["code"] = form.Code
		}
		if f["code"] == "" {
			f["code"] = "none: " + err.Error() // it is the client that fails
		}
	}
	if r != nil && r.Text != "" {
		f["result"] = r.Text
	}
	if r != nil && r.Shown != "" {
		f["checksum in the answer"] = r.Shown
	}
	return r, p.add(row), err
}

func (p *program) add(row Row) *Row {
	p.rows = append(p.rows, row)
	return &p.rows[len(p.rows)-1]
}

// where is an object's place in p.objects.
func (p *program) where(bucket, key string) string {
	if bucket == "" {
		bucket = p.bucket
	}
	return bucket + "/" + key
}

// form names an ETag of content.
func form(etag string, data []byte) string {
	sum := md5.Sum(data)
	switch {
	case etag == "":
		return "none"
	case etag == hex.EncodeToString(sum[:]):
		return "md5"
	}
	return shape(etag)
}

// shape names an ETag of which nothing is known.
func shape(etag string) string {
	digits, count, multipart := strings.Cut(etag, "-")
	if b, err := hex.DecodeString(digits); err != nil || len(b) != 16 {
		return fmt.Sprintf("%d characters", len(etag))
	}
	if multipart {
		return "opaque-" + count
	}
	return "opaque"
}

// multipartForm names the ETag of an upload's object.
func multipartForm(etag string, parts [][]byte, told []string) string {
	var ofData, ofTags []byte
	for i, data := range parts {
		sum := md5.Sum(data)
		ofData = append(ofData, sum[:]...)
		b, err := hex.DecodeString(told[i])
		if err != nil {
			return shape(etag)
		}
		ofTags = append(ofTags, b...)
	}
	tag := func(b []byte) string {
		sum := md5.Sum(b)
		return fmt.Sprintf("%x-%d", sum, len(parts))
	}
	switch etag {
	case tag(ofData):
		return fmt.Sprintf("md5-of-parts-%d", len(parts))
	case tag(ofTags):
		return fmt.Sprintf("md5-of-etags-%d", len(parts))
	}
	return shape(etag)
}

// known names the ETag of an object that was stored before: as it was then, or not.
func (o *object) known(etag string) string {
	switch {
	case o == nil:
		return shape(etag)
	case etag == o.etag:
		return o.form
	}
	return form(etag, o.data) + ", not that of the upload"
}

// put stores an object; it is what c says, but for its operation.
func (p *program) put(group, name string, c Call) {
	c.Operation = "PutObject"
	r, row, err := p.step(group, name, &c)
	p.stored(row, &c, r, err, c.Body)
}

// stored notes what an answer says of a new object.
func (p *program) stored(row *Row, c *Call, r *Result, err error, data []byte) {
	if err != nil {
		return
	}
	o := &object{data: data, etag: r.ETag, form: form(r.ETag, data)}
	row.Fields["etag"] = o.form
	p.objects[p.where(c.Bucket, c.Key)] = o
}

// get reads an object, or with the operation HeadObject asks about it. want is the
// content that a good answer has; nil for all of it.
func (p *program) get(group, name string, c Call, want []byte) *Result {
	if c.Operation == "" {
		c.Operation = "GetObject"
	}
	r, row, err := p.step(group, name, &c)
	if r == nil || row.Group == "" {
		return r
	}
	o := p.objects[p.where(c.Bucket, c.Key)]
	if err == nil {
		row.Fields["etag"] = o.known(r.ETag)
	}
	if c.Operation == "HeadObject" || r.Body == nil && err != nil {
		return r
	}
	if want == nil && o != nil {
		want = o.data
	}
	row.Fields["body"] = "ok"
	if o == nil {
		row.Fields["body"] = "of nothing stored"
		return r
	}
	if sha256.Sum256(r.Body) != sha256.Sum256(want) {
		row.Fields["body"] = fmt.Sprintf("mismatch: %d bytes, not the %d stored", len(r.Body), len(want))
		if err != nil && bytes.HasPrefix(want, r.Body) {
			row.Fields["body"] = "cut short"
		}
	}
	return r
}

// headAndGet reads an object whole.
func (p *program) headAndGet(name string, c Call) {
	c.Operation = "HeadObject"
	p.get("head", name, c, nil)
	c.Operation = "GetObject"
	p.get("get", name, c, nil)
}

// An upload is a multipart upload under way.
type upload struct {
	c     Call // bucket, key, encryption, id, checksum
	parts map[int]Part
	data  map[int][]byte
}

// create starts an upload.
func (p *program) create(group, name string, c Call) *upload {
	c.Operation = "CreateMultipartUpload"
	r, _, _ := p.step(group, name, &c)
	u := &upload{c: c, parts: map[int]Part{}, data: map[int][]byte{}}
	if r != nil {
		u.c.Upload = r.Upload
	}
	if u.c.Encryption.Scheme != C {
		u.c.Encryption = Encryption{} // S3 asks for it at creation only
	}
	u.c.Header = nil
	return u
}

// keep notes a part.
func (u *upload) keep(row *Row, r *Result, err error, number int, data []byte) {
	if err != nil {
		return
	}
	row.Fields["etag"] = form(r.ETag, data)
	u.parts[number] = Part{Number: number, ETag: r.ETag, Algorithm: r.Algorithm, Checksum: r.Checksum}
	u.data[number] = data
}

// part uploads one.
func (p *program) part(group, name string, u *upload, number int, data []byte) {
	c := u.c
	c.Operation, c.PartNumber, c.Body = "UploadPart", number, data
	r, row, err := p.step(group, name, &c)
	u.keep(row, r, err, number, data)
}

// partCopy copies one from a stored object; a zero span is all of it.
func (p *program) partCopy(group, name string, u *upload, number int, source string, from Encryption, span [2]int64) {
	c := u.c
	c.Operation, c.PartNumber, c.Source, c.SourceEncryption, c.SourceRange = "UploadPartCopy", number, p.bucket+"/"+source, from, span
	r, row, err := p.step(group, name, &c)
	o := p.objects[p.where("", source)]
	if o == nil {
		return
	}
	data := o.data
	if span != [2]int64{} && span[1] < int64(len(data)) {
		data = data[span[0] : span[1]+1]
	}
	u.keep(row, r, err, number, data)
}

// complete ends an upload with the parts named.
func (p *program) complete(group, name string, u *upload, numbers ...int) {
	var parts []Part
	for _, n := range numbers {
		parts = append(parts, u.parts[n])
	}
	p.completeWith(group, name, u, parts)
}

func (p *program) completeWith(group, name string, u *upload, parts []Part) {
	c := u.c
	c.Operation, c.Parts = "CompleteMultipartUpload", parts
	r, row, err := p.step(group, name, &c)
	if err != nil {
		return
	}
	o := &object{etag: r.ETag}
	var told []string
	for _, part := range parts {
		o.data = append(o.data, u.data[part.Number]...)
		o.parts = append(o.parts, u.data[part.Number])
		told = append(told, part.ETag)
	}
	o.form = multipartForm(r.ETag, o.parts, told)
	row.Fields["etag"] = o.form
	p.objects[p.where(c.Bucket, c.Key)] = o
}

// listParts writes the parts of an upload into a row.
func (p *program) listParts(group, name string, u *upload) {
	c := u.c
	c.Operation = "ListParts"
	r, row, err := p.step(group, name, &c)
	if err != nil {
		return
	}
	var lines []string
	for _, part := range r.Parts {
		etag := "that of the upload"
		if part.ETag != u.parts[part.Number].ETag {
			etag = form(part.ETag, u.data[part.Number]) + ", not that of the upload"
		}
		lines = append(lines, fmt.Sprintf("%d: %d bytes, %s", part.Number, part.Size, etag))
	}
	row.Fields["result"] = strings.Join(lines, "; ")
}

// copy copies an object.
func (p *program) copy(group, name string, c Call) {
	c.Operation = "CopyObject"
	if !strings.HasPrefix(c.Source, p.bucket+"/") && !strings.HasPrefix(c.Source, "nobodys-bucket/") {
		c.Source = p.bucket + "/" + c.Source
	}
	r, row, err := p.step(group, name, &c)
	if err != nil {
		return
	}
	from := p.objects[c.Source]
	if from == nil {
		return
	}
	o := &object{data: from.data, etag: r.ETag, form: form(r.ETag, from.data)}
	row.Fields["etag"] = o.form
	if r.ETag == from.etag && o.form != "md5" {
		row.Fields["etag"] = "that of the source"
	}
	p.objects[p.where(c.Bucket, c.Key)] = o
}

// list writes what a listing shows into a row.
func (p *program) list(group, name string, c Call) {
	r, row, err := p.step(group, name, &c)
	if err != nil {
		return
	}
	var lines []string
	for _, e := range r.Entries {
		line := e.Key
		if e.ETag != "" {
			line = fmt.Sprintf("%s: %d bytes, %s", e.Key, e.Size, p.objects[p.where(c.Bucket, e.Key)].known(e.ETag))
		}
		lines = append(lines, line)
	}
	if c.Operation == "DeleteObjects" || c.Operation == "ListMultipartUploads" {
		slices.Sort(lines)
	}
	if r.Text != "" {
		lines = append(lines, r.Text)
	}
	row.Fields["result"] = strings.Join(lines, "; ")
}
