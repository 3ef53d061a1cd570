package main

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/objseal/objseal/sse"
)

const (
	maxPart     = 10000
	minPartSize = 5 << 20 // of all but the last
)

func (g *gateway) createUpload(w http.ResponseWriter, req *http.Request, n sse.ObjectName) error {
	r, err := g.parse(sse.CreateMultipartUpload, n, req, req.Header)
	if err != nil {
		return err
	}
	u := &upload{Name: n.Object, bucket: n.Bucket, Headers: headersOf(req.Header), Created: now()}
	if u.Checksum, err = algorithmOf(req.Header); err != nil {
		return err
	}
	if u.Checksum != sse.NoChecksum {
		kind := strings.ToUpper(req.Header.Get("X-Amz-Checksum-Type"))
		u.Composite = kind == "COMPOSITE" || kind == "" && u.Checksum != sse.CRC64NVME
		if u.Composite && u.Checksum == sse.CRC64NVME || !u.Composite && (u.Checksum == sse.SHA1 || u.Checksum == sse.SHA256) {
			return refused(400, "InvalidRequest", "The "+kindOf(u.Composite)+" checksum type cannot be used with the "+strings.ToLower(u.Checksum.String())+" checksum algorithm.")
		}
		w.Header().Set("X-Amz-Checksum-Algorithm", u.Checksum.String())
		w.Header().Set("X-Amz-Checksum-Type", kindOf(u.Composite))
	}
	m, err := sse.NewMultipartAny(req.Context(), g.client, r, n)
	if err != nil {
		return err
	}
	defer m.Wipe()
	u.Metadata = toBytes(m.Metadata())
	if err := g.store.newUpload(u); err != nil {
		return err
	}
	return writeXML(w, 200, struct {
		XMLName               xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket, Key, UploadId string
	}{Bucket: n.Bucket, Key: n.Object, UploadId: u.id})
}

// resume opens the key of an upload for r.
func (g *gateway) resume(req *http.Request, r sse.Request, u *upload) (*sse.Multipart, error) {
	metadata := fromBytes(u.Metadata)
	opts, err := r.UploadOptions(metadata)
	if err != nil {
		return nil, err
	}
	return sse.ResumeMultipartAny(req.Context(), g.client, u.name(), metadata, opts)
}

func (g *gateway) putPart(w http.ResponseWriter, req *http.Request, n sse.ObjectName, q url.Values) error {
	b, err := newBody(req)
	if err != nil {
		return err
	}
	r, err := g.parse(sse.UploadPart, n, req, req.Header)
	if err != nil {
		return err
	}
	opts, err := g.uploadOptions(r, b)
	if err != nil {
		return err
	}
	u, part, err := g.sealPart(req, r, n, q, b, opts, b.verify)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", `"`+part.ETag()+`"`)
	r.AddResponseHeaders(w.Header(), fromBytes(u.Metadata))
	showChecksums(w.Header(), part.Checksum())
	w.Header().Del("X-Amz-Checksum-Type") // which only objects have
	return nil
}

var errPartNumber = refused(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")

// sealPart stores a part of an upload.
func (g *gateway) sealPart(req *http.Request, r sse.Request, n sse.ObjectName, q url.Values, data io.Reader, o *sse.EncryptOptions, verify func(sse.Checksum) error) (*upload, *sse.Upload, error) {
	number, err := strconv.Atoi(q.Get("partNumber"))
	if err != nil || number < 1 || number > maxPart {
		return nil, nil, errPartNumber
	}
	u, err := g.store.upload(n, q.Get("uploadId"))
	if err != nil {
		return nil, nil, err
	}
	m, err := g.resume(req, r, u)
	if err != nil {
		return nil, nil, err
	}
	defer m.Wipe()
	switch {
	case o.Checksum == sse.NoChecksum:
		o.Checksum = u.Checksum
	case u.Checksum != sse.NoChecksum && o.Checksum != u.Checksum:
		return nil, nil, refused(400, "InvalidRequest", "Checksum Type mismatch occurred, expected checksum Type: "+strings.ToLower(u.Checksum.String())+", actual checksum Type: "+strings.ToLower(o.Checksum.String()))
	}
	part, err := m.Part(req.Context(), number, data, o)
	if err != nil {
		return nil, nil, err
	}
	f, metadata, err := g.keep(n, number, part, verify)
	if err != nil {
		return nil, nil, err
	}
	return u, part, g.store.putPart(u, partRecord{f, metadata, now()})
}

func (g *gateway) copyPart(w http.ResponseWriter, req *http.Request, n sse.ObjectName, q url.Values) error {
	r, err := g.parse(sse.UploadPartCopy, n, req, req.Header)
	if err != nil {
		return err
	}
	u, err := g.store.upload(n, q.Get("uploadId"))
	if err != nil {
		return err
	}
	if _, err := r.UploadOptions(fromBytes(u.Metadata)); err != nil { // before a key server is asked for the source
		return err
	}
	src, err := g.copySource(req, r)
	if err != nil {
		return err
	}
	defer src.release()
	data, _, err := g.readSource(req.Context(), src, req.Header.Get("X-Amz-Copy-Source-Range"))
	if err != nil {
		return err
	}
	defer data.Close()
	_, part, err := g.sealPart(req, r, n, q, data, &sse.EncryptOptions{Policy: g.policyOf(r)}, nil)
	if err != nil {
		return err
	}
	answer := copyResult{XMLName: xml.Name{Local: "CopyPartResult"}, ETag: `"` + part.ETag() + `"`, LastModified: timestamp(now())}
	answer.add(part.Checksum())
	return writeXML(w, 200, answer)
}

// completion is the client's list of parts.
type completion struct {
	Parts []struct {
		PartNumber int
		ETag       string
		checksumFields
	} `xml:"Part"`
}

func (g *gateway) completeUpload(w http.ResponseWriter, req *http.Request, n sse.ObjectName, id string) error {
	r, err := g.parse(sse.CompleteMultipartUpload, n, req, req.Header)
	if err != nil {
		return err
	}
	u, err := g.store.upload(n, id)
	if err != nil {
		return err
	}
	h := req.Header.Clone()
	for _, t := range sse.ChecksumTypes() { // these are said of the object, not of this body
		h.Del(checksumPrefix + t.String())
	}
	var list completion
	if err := readXML(req, h, &list); err != nil {
		return err
	}
	parts, err := g.store.parts(u)
	if err != nil {
		return err
	}
	m, err := g.resume(req, r, u)
	if err != nil && (u.Checksum != sse.NoChecksum || etagsSealed(u, parts)) {
		return err
	}
	if err == nil {
		defer m.Wipe()
	}
	done, files, err := g.choose(u, m, list, parts)
	if err != nil {
		return err
	}
	want, err := wantedChecksum(req.Header, u.Checksum)
	if err != nil {
		return err
	}
	var metadata map[string]string
	if m == nil { // a customer key that was not sent again, or another: none is needed
		metadata, err = sse.CompleteUpload(n, fromBytes(u.Metadata), done)
	} else {
		metadata, err = m.CompleteWith(done, &sse.CompleteOptions{Checksum: u.Checksum, FullObject: !u.Composite && u.Checksum != sse.NoChecksum, Want: want})
	}
	if err != nil {
		return err
	}
	rec := &record{Name: n.Object, bucket: n.Bucket, Metadata: toBytes(metadata), Headers: u.Headers, Modified: now(), InParts: true, Files: files}
	err = g.store.complete(u, rec, g.allow(req.Context(), req.Header))
	if errors.Is(err, errDataGone) { // a part was sent again while this one was looked at
		err = errInvalidPart
	}
	if err != nil {
		return err
	}
	etag, _ := sse.ShownETag(metadata)
	answer := struct {
		XMLName                     xml.Name `xml:"CompleteMultipartUploadResult"`
		Location, Bucket, Key, ETag string
		ChecksumType                string `xml:",omitempty"`
		checksumFields
	}{Location: "/" + n.Bucket + "/" + n.Object, Bucket: n.Bucket, Key: n.Object, ETag: `"` + etag + `"`}
	if u.Checksum != sse.NoChecksum {
		_, sums, err := m.OpenPart(metadata) // the record of the whole is sealed like that of a part
		if err != nil {
			return err
		}
		answer.add(sums...)
		showChecksums(w.Header(), sums...)
		answer.ChecksumType = kindOf(u.Composite)
	}
	return writeXML(w, 200, answer)
}

// choose compares the client's list with the parts that are there. m is nil if the key of
// the upload is not known.
func (g *gateway) choose(u *upload, m *sse.Multipart, list completion, parts map[int]partRecord) (done []sse.CompletedPart, files []file, err error) {
	if len(list.Parts) == 0 {
		return nil, nil, errMalformedXML
	}
	for i, line := range list.Parts {
		if i > 0 && line.PartNumber <= list.Parts[i-1].PartNumber {
			return nil, nil, refused(400, "InvalidPartOrder", "The list of parts was not in ascending order. The parts list must be specified in order by part number.")
		}
		p, ok := parts[line.PartNumber]
		if !ok {
			return nil, nil, errInvalidPart
		}
		etag, sums, err := openPart(u, m, p)
		if err != nil {
			return nil, nil, err
		}
		if strings.Trim(line.ETag, `"`) != etag {
			return nil, nil, errInvalidPart
		}
		if i < len(list.Parts)-1 && p.Actual < minPartSize {
			return nil, nil, refused(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size.")
		}
		one := sse.CompletedPart{Number: p.Part, ETag: etag, ActualSize: p.Actual}
		for _, c := range sums {
			if field := line.of(c.Type); field != nil && *field != "" && *field != c.String() {
				return nil, nil, errInvalidPart
			}
			if c.Type == u.Checksum {
				one.Checksum = c.Value
			}
		}
		done, files = append(done, one), append(files, p.file)
	}
	return done, files, nil
}

// etagsSealed reports whether the ETags of parts cannot be shown or compared without the
// key of the upload.
func etagsSealed(u *upload, parts map[int]partRecord) bool {
	for _, p := range parts {
		if _, ok := sse.ShownPartETag(fromBytes(u.Metadata), fromBytes(p.Metadata)); !ok {
			return true
		}
	}
	return false
}

// openPart returns what the client saw of a part.
func openPart(u *upload, m *sse.Multipart, p partRecord) (etag string, sums []sse.Checksum, err error) {
	if m != nil {
		return m.OpenPart(fromBytes(p.Metadata))
	}
	etag, ok := sse.ShownPartETag(fromBytes(u.Metadata), fromBytes(p.Metadata))
	if !ok {
		err = errInvalidPart
	}
	return etag, nil, err
}

// wantedChecksum is the checksum of the whole that a client may send at completion.
func wantedChecksum(h http.Header, t sse.ChecksumType) ([]byte, error) {
	text, _, _ := strings.Cut(h.Get(checksumPrefix+t.String()), "-")
	if t == sse.NoChecksum || text == "" {
		return nil, nil
	}
	want, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(want) == 0 {
		return nil, refused(400, "InvalidRequest", "Value for x-amz-checksum-"+strings.ToLower(t.String())+" header is invalid.")
	}
	return want, nil
}

func (g *gateway) abortUpload(w http.ResponseWriter, req *http.Request, n sse.ObjectName, id string) error {
	if _, err := g.parse(sse.OtherOperation, n, req, req.Header); err != nil {
		return err
	}
	u, err := g.store.upload(n, id)
	if err != nil {
		return err
	}
	if err := g.store.abort(u); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listParts needs no customer key, and then shows no checksums.
func (g *gateway) listParts(w http.ResponseWriter, req *http.Request, n sse.ObjectName, q url.Values) error {
	r, err := g.parse(sse.OtherOperation, n, req, req.Header)
	if err != nil {
		return err
	}
	u, err := g.store.upload(n, q.Get("uploadId"))
	if err != nil {
		return err
	}
	parts, err := g.store.parts(u)
	if err != nil {
		return err
	}
	m, err := g.resume(req, r, u)
	if err == nil {
		defer m.Wipe()
	} else if etagsSealed(u, parts) {
		return err
	}
	type line struct {
		PartNumber         int
		LastModified, ETag string
		Size               int64
		checksumFields
	}
	answer := struct {
		XMLName                                xml.Name `xml:"ListPartsResult"`
		Bucket, Key, UploadId, StorageClass    string
		ChecksumAlgorithm, ChecksumType        string `xml:",omitempty"`
		PartNumberMarker, NextPartNumberMarker int
		MaxParts                               int
		IsTruncated                            bool
		Part                                   []line
	}{Bucket: n.Bucket, Key: n.Object, UploadId: u.id, StorageClass: "STANDARD", MaxParts: number(q, "max-parts", 1000)}
	if u.Checksum != sse.NoChecksum {
		answer.ChecksumAlgorithm, answer.ChecksumType = u.Checksum.String(), kindOf(u.Composite)
	}
	answer.PartNumberMarker = number(q, "part-number-marker", 0)
	for _, i := range slices.Sorted(maps.Keys(parts)) {
		if i <= answer.PartNumberMarker {
			continue
		}
		if len(answer.Part) == answer.MaxParts {
			answer.IsTruncated = true
			break
		}
		p := parts[i]
		etag, sums, err := openPart(u, m, p)
		if err != nil {
			return err
		}
		l := line{PartNumber: i, LastModified: timestamp(p.Modified), ETag: `"` + etag + `"`, Size: p.Actual}
		l.add(sums...)
		answer.Part = append(answer.Part, l)
		answer.NextPartNumberMarker = i
	}
	return writeXML(w, 200, answer)
}

// number reads a parameter that is between 0 and 1000.
func number(q url.Values, name string, otherwise int) int {
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < 0 || n > max(otherwise, maxPart) {
		return otherwise
	}
	return n
}

func (g *gateway) listUploads(w http.ResponseWriter, bucket string, q url.Values) error {
	list, err := g.store.uploads(bucket)
	if err != nil {
		return err
	}
	type line struct{ Key, UploadId, Initiated, StorageClass string }
	answer := struct {
		XMLName     xml.Name `xml:"ListMultipartUploadsResult"`
		Bucket      string
		Prefix      string
		MaxUploads  int
		IsTruncated bool
		Upload      []line
	}{Bucket: bucket, Prefix: q.Get("prefix"), MaxUploads: 1000}
	slices.SortFunc(list, func(a, b *upload) int { return strings.Compare(a.Name+"\x00"+a.id, b.Name+"\x00"+b.id) })
	for _, u := range list {
		if strings.HasPrefix(u.Name, answer.Prefix) {
			answer.Upload = append(answer.Upload, line{u.Name, u.id, timestamp(u.Created), "STANDARD"})
		}
	}
	return writeXML(w, 200, answer)
}
