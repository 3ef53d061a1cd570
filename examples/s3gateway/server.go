package main

import (
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// A gateway answers S3 requests from a store.
type gateway struct {
	store          *store
	client         *kms.Client // nil: only SSE-C
	autoEncryption bool
	policy         sse.ETagPolicy
	log            *log.Logger // of failures that are not the client's
}

var (
	errNoSuchKey      = refused(404, "NoSuchKey", "The specified key does not exist.")
	errNoSuchBucket   = refused(404, "NoSuchBucket", "The specified bucket does not exist")
	errNoSuchUpload   = refused(404, "NoSuchUpload", "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.")
	errNoSuchVersion  = refused(404, "NoSuchVersion", "The specified version does not exist.")
	errBucketExists   = refused(409, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.")
	errBucketNotEmpty = refused(409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
	errMethod         = refused(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
	errNotImplemented = refused(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
	errPrecondition   = refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	errMalformedXML   = refused(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	errInvalidPart    = refused(400, "InvalidPart", "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
	errInvalidRange   = refused(416, "InvalidRange", "The requested range is not satisfiable")
	errEncoding       = refused(400, "InvalidArgument", "Invalid Encoding Method specified in Request")
)

// errNotModified is no failure: 304 has no body.
var errNotModified = refused(304, "NotModified", "")

func (g *gateway) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("X-Amz-Request-Id", rand.Text()[:16])
	w.Header().Set("Server", "objseal-s3gateway")
	w.Header().Set("Accept-Ranges", "bytes")
	bucket, object, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	n := sse.ObjectName{Bucket: bucket, Object: object}
	if err := g.handle(w, req, n); err != nil {
		g.refuse(w, req, n, err)
	}
}

// handle finds the operation.
func (g *gateway) handle(w http.ResponseWriter, req *http.Request, n sse.ObjectName) error {
	if n.Bucket == "" {
		if req.Method != http.MethodGet {
			return errMethod
		}
		return g.listBuckets(w)
	}
	q := req.URL.Query()
	if n.Object == "" {
		return g.handleBucket(w, req, n.Bucket, q)
	}
	if !validKey(n.Object) {
		return errKeyName
	}
	if _, err := g.store.bucket(n.Bucket); err != nil {
		return err
	}
	if !isCurrent(q.Get("versionId")) {
		return errNoSuchVersion
	}
	for _, other := range []string{"acl", "tagging", "retention", "legal-hold", "torrent", "restore", "select"} {
		if q.Has(other) {
			return errNotImplemented
		}
	}
	copies := req.Header.Get("X-Amz-Copy-Source") != ""
	switch {
	case req.Method == http.MethodPost && q.Has("uploads"):
		return g.createUpload(w, req, n)
	case req.Method == http.MethodPost && q.Has("uploadId"):
		return g.completeUpload(w, req, n, q.Get("uploadId"))
	case req.Method == http.MethodPut && q.Has("uploadId") && copies:
		return g.copyPart(w, req, n, q)
	case req.Method == http.MethodPut && q.Has("uploadId"):
		return g.putPart(w, req, n, q)
	case req.Method == http.MethodGet && q.Has("uploadId"):
		return g.listParts(w, req, n, q)
	case req.Method == http.MethodDelete && q.Has("uploadId"):
		return g.abortUpload(w, req, n, q.Get("uploadId"))
	case req.Method == http.MethodPut && copies:
		return g.copyObject(w, req, n)
	case req.Method == http.MethodPut:
		return g.putObject(w, req, n)
	case req.Method == http.MethodGet && q.Has("attributes"):
		return g.getAttributes(w, req, n)
	case req.Method == http.MethodGet:
		return g.getObject(w, req, n, sse.GetObject)
	case req.Method == http.MethodHead:
		return g.getObject(w, req, n, sse.HeadObject)
	case req.Method == http.MethodDelete:
		return g.deleteObject(w, req, n)
	}
	return errMethod
}

func (g *gateway) handleBucket(w http.ResponseWriter, req *http.Request, bucket string, q url.Values) error {
	if req.Method == http.MethodPut && !q.Has("encryption") && len(q) == 0 {
		if !validBucket(bucket) {
			return refused(400, "InvalidBucketName", "The specified bucket is not valid.")
		}
		if err := g.store.makeBucket(bucket); err != nil {
			return err
		}
		w.Header().Set("Location", "/"+bucket)
		return nil
	}
	info, err := g.store.bucket(bucket)
	if err != nil {
		return err
	}
	switch {
	case req.Method == http.MethodPost && strings.HasPrefix(req.Header.Get("Content-Type"), "multipart/form-data"):
		return g.postObject(w, req, bucket)
	case req.Method == http.MethodPost && q.Has("delete"):
		return g.deleteObjects(w, req, bucket)
	case q.Has("encryption"):
		return g.encryption(w, req, bucket, info)
	case req.Method == http.MethodHead:
		return nil
	case req.Method == http.MethodDelete && len(q) == 0:
		if err := g.store.removeBucket(bucket); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case req.Method != http.MethodGet:
		return errNotImplemented
	case q.Has("location"):
		return writeXML(w, 200, struct {
			XMLName xml.Name `xml:"LocationConstraint"`
		}{})
	case q.Has("versioning"):
		return writeXML(w, 200, struct {
			XMLName xml.Name `xml:"VersioningConfiguration"`
		}{})
	case q.Has("uploads"):
		return g.listUploads(w, bucket, q)
	case q.Has("policy"):
		return refused(404, "NoSuchBucketPolicy", "The bucket policy does not exist")
	}
	for name := range q {
		if !listParameters[name] {
			return errNotImplemented
		}
	}
	return g.listObjects(w, req, bucket, q)
}

// isCurrent tells whether a version is the one there is: no other can be read, and above
// all not be deleted.
func isCurrent(versionID string) bool { return versionID == "" || versionID == "null" }

var errKeyName = refused(400, "XMinioInvalidResourceName", "Resource name contains bad components such as \"..\" or \".\".")

// validKey refuses names that could leave the bucket once they are cleaned, which is how
// sse binds keys to them.
func validKey(key string) bool {
	return len(key) <= 1024 && utf8.ValidString(key) && key != "/" && path.Clean("/"+key) == "/"+strings.TrimSuffix(key, "/")
}

// parse is sse.ParseRequest with what only the gateway knows.
func (g *gateway) parse(op sse.Operation, n sse.ObjectName, req *http.Request, h http.Header) (sse.Request, error) {
	info, err := g.store.bucket(n.Bucket)
	if err != nil {
		return sse.Request{}, err
	}
	return sse.ParseRequest(op, n, h, &sse.RequestOptions{PlainHTTP: req.TLS == nil, Default: info.Encryption, AutoEncryption: g.autoEncryption})
}

// refuse answers with an error, if there is still an answer.
func (g *gateway) refuse(w http.ResponseWriter, req *http.Request, n sse.ObjectName, err error) {
	answer := sse.ErrorResponse(err)
	if answer.Status >= 500 {
		g.log.Printf("%s %s: %v", req.Method, n, err)
	}
	h := w.Header()
	if answer.Status == http.StatusNotModified {
		w.WriteHeader(answer.Status)
		return
	}
	if req.Method == http.MethodHead { // which has no body to say it in
		h.Set("X-Minio-Error-Code", answer.Code)
		h.Set("X-Minio-Error-Desc", `"`+strings.Map(printable, answer.Message)+`"`)
		w.WriteHeader(answer.Status)
		return
	}
	h.Set("Connection", "close") // the rest of the body is not read
	writeXML(w, answer.Status, struct {
		XMLName           xml.Name `xml:"Error"`
		Code, Message     string
		BucketName, Key   string `xml:",omitempty"`
		Resource          string
		RequestId, HostId string
	}{Code: answer.Code, Message: answer.Message, BucketName: n.Bucket, Key: n.Object, Resource: req.URL.Path, RequestId: h.Get("X-Amz-Request-Id"), HostId: "s3gateway"})
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

func writeXML(w http.ResponseWriter, status int, v any) error {
	text, err := xml.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", fmt.Sprint(len(xml.Header)+len(text)))
	w.WriteHeader(status)
	io.WriteString(w, xml.Header)
	w.Write(text)
	return nil
}

// maxDocument bounds the XML of a request: 10,000 parts with their checksums fit.
const maxDocument = 4 << 20

// readDocument reads the body of a request that is no object. It is an upload all the
// same, of which nothing is kept: what the client says of its bytes must be true.
func readDocument(req *http.Request, h http.Header) ([]byte, error) {
	b, err := newBodyOf(h, req.Body, req.ContentLength)
	if err != nil {
		return nil, err
	}
	sum, err := b.contentMD5()
	if err != nil {
		return nil, err
	}
	u, err := sse.EncryptAny(req.Context(), nil, sse.Request{}, sse.ObjectName{}, b, &sse.EncryptOptions{Size: sse.KnownSize(b.size), ContentMD5: sum, Checksum: b.checksum})
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(u, maxDocument+1))
	if err == nil && len(text) > maxDocument {
		err = errMalformedXML
	}
	if err == nil {
		err = b.verify(u.Checksum())
	}
	return text, err
}

// readXML decodes the body of a request.
func readXML(req *http.Request, h http.Header, v any) error {
	text, err := readDocument(req, h)
	if err == nil && xml.Unmarshal(text, v) != nil {
		err = errMalformedXML
	}
	return err
}

// failed tells a failure in the middle of a body: there is no answer left.
func (g *gateway) failed(n sse.ObjectName, err error) {
	if !errors.Is(err, http.ErrHandlerTimeout) {
		g.log.Printf("GET %s: %v", n, err)
	}
	panic(http.ErrAbortHandler)
}
