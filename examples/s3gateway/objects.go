package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/objseal/objseal/sse"
)

// keptHeaders are the headers of an upload that come back with the object.
var keptHeaders = []string{"Content-Type", "Content-Language", "Content-Disposition", "Content-Encoding", "Cache-Control", "Expires"}

const metaHeader = "X-Amz-Meta-"

func headersOf(h http.Header) map[string]string {
	kept := make(map[string]string)
	for name, values := range h {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if strings.HasPrefix(name, metaHeader) && sse.IsStorable(name) {
			kept[name] = strings.Join(values, ",")
		}
	}
	for _, name := range keptHeaders {
		value := h.Get(name)
		if name == "Content-Encoding" {
			value = contentEncoding(h)
		}
		if value != "" {
			kept[name] = value
		}
	}
	if kept["Content-Type"] == "" {
		kept["Content-Type"] = "binary/octet-stream"
	}
	return kept
}

func (g *gateway) putObject(w http.ResponseWriter, req *http.Request, n sse.ObjectName) error {
	b, err := newBody(req)
	if err != nil {
		return err
	}
	r, err := g.parse(sse.PutObject, n, req, req.Header)
	if err != nil {
		return err
	}
	opts, err := g.uploadOptions(r, b)
	if err != nil {
		return err
	}
	rec, u, err := g.seal(req.Context(), r, n, b, opts, b.verify)
	if err != nil {
		return err
	}
	rec.Headers = headersOf(req.Header)
	if err := g.commit(req.Context(), rec, req.Header); err != nil {
		return err
	}
	answerUpload(w.Header(), r, rec, u)
	return nil
}

// uploadOptions are those of an upload of b.
func (g *gateway) uploadOptions(r sse.Request, b *body) (*sse.EncryptOptions, error) {
	if b.size < 0 {
		return nil, refused(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
	}
	sum, err := b.contentMD5()
	return &sse.EncryptOptions{Size: sse.KnownSize(b.size), Checksum: b.checksum, ContentMD5: sum, Policy: g.policyOf(r)}, err
}

// seal stores data, and returns the record that is still to be committed.
func (g *gateway) seal(ctx context.Context, r sse.Request, n sse.ObjectName, data io.Reader, o *sse.EncryptOptions, verify func(sse.Checksum) error) (*record, *sse.Upload, error) {
	u, err := sse.EncryptAny(ctx, g.client, r, n, data, o)
	if err != nil {
		return nil, nil, err
	}
	f, metadata, err := g.keep(n, 0, u, verify)
	if err != nil {
		return nil, nil, err
	}
	return &record{Name: n.Object, bucket: n.Bucket, Metadata: metadata, Modified: now(), Files: []file{f}}, u, nil
}

// keep stores the bytes of an upload; none if it fails, or verify does.
func (g *gateway) keep(n sse.ObjectName, part int, u *sse.Upload, verify func(sse.Checksum) error) (file, map[string][]byte, error) {
	id, err := g.store.newData(n.Bucket, u)
	if err != nil {
		return file{}, nil, err
	}
	metadata, err := u.Metadata()
	if err == nil && verify != nil {
		err = verify(u.Checksum())
	}
	if err != nil {
		g.store.dropData(n.Bucket, id)
		return file{}, nil, err
	}
	return file{part, id, u.StoredSize(), u.Size()}, toBytes(metadata), nil
}

// policyOf spares MD5 where no client can expect it, if so configured.
func (g *gateway) policyOf(r sse.Request) sse.ETagPolicy {
	if r.Method == sse.KMS || r.Method == sse.C {
		return g.policy
	}
	return sse.ETagMD5
}

// commit makes a record the object's, if the conditions of the request hold.
func (g *gateway) commit(ctx context.Context, rec *record, h http.Header) error {
	err := g.store.overwrite(rec, g.allow(ctx, h))
	if err != nil {
		g.store.dropFiles(rec.bucket, rec.Files)
	}
	if errors.Is(err, errDataGone) { // with the bucket, which somebody made again
		err = errNoSuchBucket
	}
	return err
}

// allow judges by the conditions of a request what it may replace.
func (g *gateway) allow(ctx context.Context, h http.Header) func(old *record) error {
	match, noneMatch := h.Get("If-Match"), h.Get("If-None-Match")
	return func(old *record) error {
		switch {
		case match == "" && noneMatch == "":
			return nil
		case old == nil && match != "":
			return errNoSuchKey
		case old == nil:
			return nil
		case noneMatch == "*":
			return errPrecondition
		}
		etag, err := g.etag(ctx, old)
		if err == nil && (match != "" && !matches(match, etag) || noneMatch != "" && matches(noneMatch, etag)) {
			err = errPrecondition
		}
		return err
	}
}

// etag is what clients see as an object's ETag; a customer key is not needed.
func (g *gateway) etag(ctx context.Context, rec *record) (string, error) {
	list, err := sse.ListETags(ctx, g.client, []sse.Listed{{Name: rec.name(), Metadata: fromBytes(rec.Metadata)}}, 1)
	if err != nil {
		return "", err
	}
	return list[0], nil
}

func answerUpload(h http.Header, r sse.Request, rec *record, u *sse.Upload) {
	r.AddResponseHeaders(h, fromBytes(rec.Metadata))
	h.Set("ETag", `"`+u.ETag()+`"`)
	showChecksums(h, u.Checksum())
}

func showChecksums(h http.Header, sums ...sse.Checksum) {
	for _, c := range sums {
		if c.Type != sse.NoChecksum {
			h.Set(checksumPrefix+c.Type.String(), c.String())
			h.Set("X-Amz-Checksum-Type", kindOf(c.Composite))
		}
	}
}

func kindOf(composite bool) string {
	if composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

// postObject is the upload by an HTML form.
func (g *gateway) postObject(w http.ResponseWriter, req *http.Request, bucket string) error {
	form, err := req.MultipartReader()
	if err != nil {
		return refused(400, "MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")
	}
	fields := make(http.Header)
	for size := 0; ; {
		part, err := form.NextPart()
		if err != nil {
			return refused(400, "InvalidArgument", "POST requires exactly one file upload per request.")
		}
		if strings.EqualFold(part.FormName(), "file") {
			name := strings.ReplaceAll(fields.Get("Key"), "${filename}", part.FileName())
			return g.postFile(w, req, fields, sse.ObjectName{Bucket: bucket, Object: name}, part)
		}
		value, err := io.ReadAll(io.LimitReader(part, 1<<16))
		if size += len(part.FormName()) + len(value) + 1; err != nil || size >= 1<<16 {
			return refused(400, "MaxPostPreDataLengthExceeded", "Your POST request fields preceding the upload file were too large.")
		}
		fields.Add(part.FormName(), string(value))
	}
}

func (g *gateway) postFile(w http.ResponseWriter, req *http.Request, fields http.Header, n sse.ObjectName, data io.Reader) error {
	if n.Object == "" || !validKey(n.Object) {
		return refused(400, "InvalidArgument", "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.")
	}
	r, err := g.parse(sse.PostObject, n, req, fields)
	if err != nil {
		return err
	}
	b, err := newBodyOf(fields, data, -1)
	if err != nil {
		return err
	}
	sum, err := b.contentMD5()
	if err != nil {
		return err
	}
	rec, u, err := g.seal(req.Context(), r, n, b, &sse.EncryptOptions{Checksum: b.checksum, ContentMD5: sum, Policy: g.policyOf(r)}, b.verify)
	if err != nil {
		return err
	}
	rec.Headers = headersOf(fields)
	if err := g.commit(req.Context(), rec, http.Header{}); err != nil {
		return err
	}
	answerUpload(w.Header(), r, rec, u)
	switch fields.Get("Success_action_status") {
	case "200":
		return nil
	case "201":
		return writeXML(w, 201, struct {
			XMLName           xml.Name `xml:"PostResponse"`
			Bucket, Key, ETag string
		}{Bucket: n.Bucket, Key: n.Object, ETag: `"` + u.ETag() + `"`})
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// getObject is GET and HEAD.
func (g *gateway) getObject(w http.ResponseWriter, req *http.Request, n sse.ObjectName, op sse.Operation) error {
	r, err := g.parse(op, n, req, req.Header)
	if err != nil {
		return err
	}
	rec, release, err := g.store.acquire(n)
	if err != nil {
		return err
	}
	defer release()
	v, err := g.view(req, r, rec)
	if err != nil {
		return err
	}
	if v.obj != nil {
		defer v.obj.Wipe()
	}
	h := make(http.Header) // of the answer, unless that becomes an error
	h.Set("Last-Modified", rec.Modified.Format(http.TimeFormat))
	h.Set("ETag", `"`+v.etag+`"`)
	if err := conditions(req.Header, "If-", v.etag, rec.Modified); err != nil {
		maps.Copy(w.Header(), h)
		return err
	}
	span, partial, err := v.rangeOf(req)
	if err != nil {
		return err
	}
	for name, value := range rec.Headers {
		h.Set(name, value)
	}
	for _, name := range keptHeaders {
		if value := req.URL.Query().Get("response-" + strings.ToLower(name)); value != "" && op == sse.GetObject {
			h.Set(name, value)
		}
	}
	if span.Length < 0 {
		span.Length = v.size - span.Offset
	}
	r.AddResponseHeaders(h, fromBytes(rec.Metadata))
	h.Set("Content-Length", strconv.FormatInt(span.Length, 10))
	if req.URL.Query().Has("partNumber") && rec.InParts {
		h.Set("X-Amz-Mp-Parts-Count", strconv.Itoa(len(rec.Files)))
	}
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		if span.Length > 0 {
			h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", span.Offset, span.Offset+span.Length-1, v.size))
		}
	} else {
		showChecksums(h, v.sums...)
	}
	out := &answerWriter{w: w, header: h, status: status}
	if op == sse.HeadObject || partial && span.Length == 0 {
		out.begin()
		return nil
	}
	if !partial {
		span = sse.Whole // so that the content is compared with its digest
	}
	data, err := v.obj.NewReader(req.Context(), g.store.fetch(rec), span)
	if err != nil {
		return err
	}
	defer data.Close()
	if _, err = data.WriteTo(out); err == nil {
		out.begin() // of nothing
	} else if out.begun {
		g.failed(n, err)
	}
	return err
}

// answerWriter begins the answer with the first verified byte: until then it can be
// another one.
type answerWriter struct {
	w      http.ResponseWriter
	header http.Header
	status int
	begun  bool
}

func (a *answerWriter) begin() {
	if !a.begun {
		a.begun = true
		maps.Copy(a.w.Header(), a.header)
		a.w.WriteHeader(a.status)
	}
}

func (a *answerWriter) Write(p []byte) (int, error) {
	a.begin()
	return a.w.Write(p)
}

// A view is what a reader of an object sees of it beside its bytes.
type view struct {
	obj  *sse.Object // nil if no key was needed
	size int64
	etag string
	sums []sse.Checksum
}

// view opens an object for r, with one request to the key server, however much is read. A
// HEAD that shows nothing which a key hides needs none.
func (g *gateway) view(req *http.Request, r sse.Request, rec *record) (v view, err error) {
	stored := rec.stored()
	opts, err := r.ReadOptions(stored.Metadata)
	if err != nil {
		return view{}, err
	}
	sums := strings.EqualFold(req.Header.Get("X-Amz-Checksum-Mode"), "ENABLED")
	if etag, ok := sse.ShownETag(stored.Metadata); ok && r.Operation == sse.HeadObject && opts.CustomerKey.IsZero() && !sums && !req.URL.Query().Has("partNumber") {
		if d, err := sse.Describe(stored); err == nil {
			return view{size: d.Size, etag: etag}, nil
		}
	}
	if v.obj, err = sse.OpenAny(req.Context(), g.client, rec.name(), stored, opts); err != nil {
		return view{}, err
	}
	v.size = v.obj.Size
	if v.etag, err = v.obj.ETag(); err == nil && sums {
		v.sums, err = v.obj.Checksums()
	}
	if err != nil {
		v.obj.Wipe()
	}
	return v, err
}

// conditions judges If-Match and its like, with prefix in front of their names.
func conditions(h http.Header, prefix, etag string, modified time.Time) error {
	match, noneMatch := h.Get(prefix+"Match"), h.Get(prefix+"None-Match")
	since, errSince := http.ParseTime(h.Get(prefix + "Modified-Since"))
	unmodified, errUnmodified := http.ParseTime(h.Get(prefix + "Unmodified-Since"))
	switch {
	case match != "" && !matches(match, etag):
		return errPrecondition
	case match == "" && errUnmodified == nil && modified.After(unmodified):
		return errPrecondition
	case noneMatch != "" && matches(noneMatch, etag), noneMatch == "" && errSince == nil && !modified.After(since):
		return errNotModified
	}
	return nil
}

// matches tells whether an ETag is in a list of them.
func matches(list, etag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.Trim(one, `"`) == etag {
			return true
		}
	}
	return false
}

// rangeOf is the part of the object that a request wants, by Range or partNumber.
func (v *view) rangeOf(req *http.Request) (span sse.Range, partial bool, err error) {
	if text := req.URL.Query().Get("partNumber"); text != "" {
		number, err := strconv.Atoi(text)
		switch {
		case err != nil || number < 1 || number > maxPart:
			return span, false, errPartNumber
		case req.Header.Get("Range") != "":
			return span, false, refused(400, "InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
		}
		span, err := v.obj.PartRange(number)
		return span, true, err
	}
	return parseRange(req.Header.Get("Range"), v.size)
}

// parseRange reads a Range header. What it does not understand asks for the whole, and so
// do several ranges at once.
func parseRange(header string, size int64) (span sse.Range, partial bool, err error) {
	text, ok := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(text, "-")
	if !ok || !dash || strings.Contains(text, ",") {
		return sse.Whole, false, nil
	}
	first, errFirst := strconv.ParseUint(from, 10, 63)
	last, errLast := strconv.ParseUint(to, 10, 63)
	switch {
	case from == "" && errLast == nil: // that many last bytes
		if last == 0 || size == 0 {
			return span, false, errInvalidRange
		}
		n := min(int64(last), size)
		return sse.Range{Offset: size - n, Length: n}, true, nil
	case errFirst != nil, to != "" && errLast != nil, to != "" && last < first:
		return sse.Whole, false, nil
	case int64(first) >= size:
		return span, false, errInvalidRange
	case to == "":
		last = uint64(size - 1)
	}
	return sse.Range{Offset: int64(first), Length: min(int64(last), size-1) - int64(first) + 1}, true, nil
}

// getAttributes shows nothing that a key hides, so it needs none.
func (g *gateway) getAttributes(w http.ResponseWriter, req *http.Request, n sse.ObjectName) error {
	r, err := g.parse(sse.GetObjectAttributes, n, req, req.Header)
	if err != nil {
		return err
	}
	rec, err := g.store.get(n)
	if err != nil {
		return err
	}
	stored := rec.stored()
	if _, err := r.ReadOptions(stored.Metadata); err != nil {
		return err
	}
	etag, err := g.etag(req.Context(), rec)
	if err != nil {
		return err
	}
	w.Header().Set("Last-Modified", rec.Modified.Format(http.TimeFormat))
	type part struct {
		PartNumber int
		Size       int64
	}
	type parts struct {
		PartsCount int
		Part       []part
	}
	answer := struct {
		XMLName            xml.Name `xml:"GetObjectAttributesResponse"`
		ETag, StorageClass string
		ObjectSize         int64
		ObjectParts        *parts `xml:",omitempty"`
	}{ETag: etag, StorageClass: "STANDARD", ObjectSize: rec.size()}
	if rec.InParts {
		answer.ObjectParts = &parts{PartsCount: len(rec.Files)}
		for _, f := range rec.Files {
			answer.ObjectParts.Part = append(answer.ObjectParts.Part, part{f.Part, f.Actual})
		}
	}
	return writeXML(w, 200, answer)
}

// size is that of the plaintext.
func (r *record) size() (n int64) {
	for _, f := range r.Files {
		n += f.Actual
	}
	return n
}

func (g *gateway) deleteObject(w http.ResponseWriter, req *http.Request, n sse.ObjectName) error {
	if _, err := g.parse(sse.OtherOperation, n, req, req.Header); err != nil {
		return err
	}
	if err := g.store.delete(n); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// A source is that of a copy.
type source struct {
	rec     *record
	opts    *sse.OpenOptions
	release func()
}

func (g *gateway) copySource(req *http.Request, r sse.Request) (s source, err error) {
	text, query, _ := strings.Cut(req.Header.Get("X-Amz-Copy-Source"), "?")
	text, err = url.PathUnescape(text)
	bucket, object, ok := strings.Cut(strings.TrimPrefix(text, "/"), "/")
	if err != nil || !ok || object == "" || !validKey(object) {
		return source{}, refused(400, "InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey.")
	}
	if !isCurrent(strings.TrimPrefix(query, "versionId=")) {
		return source{}, errNoSuchVersion
	}
	if _, err := g.store.bucket(bucket); err != nil {
		return source{}, err
	}
	if s.rec, s.release, err = g.store.acquire(sse.ObjectName{Bucket: bucket, Object: object}); err != nil {
		return source{}, err
	}
	if s.opts, err = r.SourceOptions(fromBytes(s.rec.Metadata)); err == nil {
		err = g.copyConditions(req, s)
	}
	if err != nil {
		s.release()
	}
	return s, err
}

func (g *gateway) copyConditions(req *http.Request, s source) error {
	const prefix = "X-Amz-Copy-Source-If-"
	asked := false
	for name := range req.Header {
		asked = asked || strings.HasPrefix(name, prefix)
	}
	if !asked {
		return nil
	}
	etag, err := g.etag(req.Context(), s.rec)
	if err != nil {
		return err
	}
	if conditions(req.Header, prefix, etag, s.rec.Modified) != nil {
		return errPrecondition
	}
	return nil
}

// readSource opens a range of the source's plaintext.
func (g *gateway) readSource(ctx context.Context, s source, header string) (*sse.Reader, sse.ChecksumType, error) {
	obj, err := sse.OpenAny(ctx, g.client, s.rec.name(), s.rec.stored(), s.opts)
	if err != nil {
		return nil, 0, err
	}
	defer obj.Wipe() // the reader has a key of its own
	span, err := copyRange(header, obj.Size)
	if err != nil {
		return nil, 0, err
	}
	sums, err := obj.Checksums()
	if err != nil {
		return nil, 0, err
	}
	data, err := obj.NewReader(ctx, g.store.fetch(s.rec), span)
	if len(sums) > 0 {
		return data, sums[0].Type, err
	}
	return data, sse.NoChecksum, err
}

// copyRange is stricter than parseRange: first and last byte must be there.
func copyRange(header string, size int64) (sse.Range, error) {
	if header == "" {
		return sse.Whole, nil
	}
	span, partial, err := parseRange(header, size)
	_, last, _ := strings.Cut(header, "-")
	switch n, errLast := strconv.ParseInt(last, 10, 64); {
	case err != nil || partial && errLast == nil && n >= size:
		return span, refused(400, "InvalidArgument", fmt.Sprintf("Range specified is not valid for source object of size: %d", size))
	case !partial || errLast != nil || strings.HasPrefix(header, "bytes=-"):
		return span, refused(400, "InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
	}
	return span, nil
}

func (g *gateway) copyObject(w http.ResponseWriter, req *http.Request, n sse.ObjectName) error {
	r, err := g.parse(sse.CopyObject, n, req, req.Header)
	if err != nil {
		return err
	}
	replace := strings.EqualFold(req.Header.Get("X-Amz-Metadata-Directive"), "REPLACE")
	src, err := g.copySource(req, r)
	if err != nil {
		return err
	}
	defer src.release()
	self := src.rec.name() == n
	if self && !replace && r.Method == sse.None && src.opts.CustomerKey.IsZero() && !encrypted(src.rec) {
		return refused(400, "InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	rec, u, err := g.copyData(req, r, n, src, self)
	if err != nil {
		return err
	}
	rec.Headers = maps.Clone(src.rec.Headers)
	if replace {
		rec.Headers = headersOf(req.Header)
	}
	var etag string
	var sum sse.Checksum
	if u != nil {
		etag, sum = u.ETag(), u.Checksum()
	} else if etag, err = g.etag(req.Context(), rec); err != nil {
		g.store.dropFiles(rec.bucket, rec.Files)
		return err
	}
	if err := g.commit(req.Context(), rec, http.Header{}); err != nil {
		return err
	}
	answer := copyResult{XMLName: xml.Name{Local: "CopyObjectResult"}, ETag: `"` + etag + `"`, LastModified: timestamp(rec.Modified)}
	answer.add(sum)
	showChecksums(w.Header(), sum)
	return writeXML(w, 200, answer)
}

// algorithmOf is the checksum that a copy or an upload in parts shall have.
func algorithmOf(h http.Header) (sse.ChecksumType, error) {
	name := h.Get("X-Amz-Checksum-Algorithm")
	t, ok := sse.ParseChecksumType(name)
	if name != "" && !ok {
		return t, refused(400, "InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, SHA1, SHA256, CRC64NVME]")
	}
	return t, nil
}

func encrypted(rec *record) bool {
	_, err := sse.DescribeKeys(fromBytes(rec.Metadata))
	return !errors.Is(err, sse.ErrNotEncrypted)
}

// copyData makes the record of the copy. Where only keys change the bytes stay as they
// are, and everything else, and there is no upload; a copy of parts under another name
// becomes one stream, so that its ETag is that of one.
func (g *gateway) copyData(req *http.Request, r sse.Request, n sse.ObjectName, src source, self bool) (*record, *sse.Upload, error) {
	old := fromBytes(src.rec.Metadata)
	algorithm, err := algorithmOf(req.Header)
	if err != nil {
		return nil, nil, err
	}
	if sse.KeepsData(old, r) && algorithm == sse.NoChecksum && (self || !src.rec.InParts) {
		metadata, err := sse.RewrapAs(req.Context(), g.client, src.rec.name(), old, src.opts, g.client, n, r)
		if err != nil {
			return nil, nil, err
		}
		files, err := g.store.linkData(src.rec.bucket, n.Bucket, src.rec.Files)
		return &record{Name: n.Object, bucket: n.Bucket, Metadata: toBytes(metadata), Modified: now(), InParts: src.rec.InParts, Files: files}, nil, err
	}
	data, earlier, err := g.readSource(req.Context(), src, "")
	if err != nil {
		return nil, nil, err
	}
	defer data.Close()
	if algorithm == sse.NoChecksum {
		algorithm = earlier
	}
	return g.seal(req.Context(), r, n, data, &sse.EncryptOptions{Policy: g.policyOf(r), Checksum: algorithm}, nil)
}

// copyResult answers a copy.
type copyResult struct {
	XMLName            xml.Name
	ETag, LastModified string
	checksumFields
}

// checksumFields are the elements of one checksum.
type checksumFields struct {
	ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA1, ChecksumSHA256 string `xml:",omitempty"`
}

// of returns the field of an algorithm; nil if there is none.
func (f *checksumFields) of(t sse.ChecksumType) *string {
	return map[sse.ChecksumType]*string{sse.CRC32: &f.ChecksumCRC32, sse.CRC32C: &f.ChecksumCRC32C, sse.CRC64NVME: &f.ChecksumCRC64NVME, sse.SHA1: &f.ChecksumSHA1, sse.SHA256: &f.ChecksumSHA256}[t]
}

func (f *checksumFields) add(sums ...sse.Checksum) {
	for _, c := range sums {
		if field := f.of(c.Type); field != nil {
			*field = c.String()
		}
	}
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
