// Package clients is a program of S3 calls, and unmodified clients that run it.
//
// [Run] makes every call of the program with one client against one server and
// returns a [Row] for each: what was asked, and what the server answered, down to
// the headers that a client may depend on. Contents are compared with what was
// stored. What differs from one run to the next by its nature (random ETags,
// upload ids, times) is replaced by what it is: "md5", "opaque".
//
// So two servers that mean the same give the same rows, and [Compare] tells where
// two do not.
package clients

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Scheme is how an object is encrypted, as clients name it.
type Scheme string

// The schemes.
const (
	None Scheme = "none"
	S3   Scheme = "S3"
	KMS  Scheme = "KMS"
	DSSE Scheme = "DSSE"
	C    Scheme = "C"
)

// Encryption are the parameters of a scheme.
type Encryption struct {
	Scheme      Scheme // "" is None
	KeyID       string
	Context     map[string]string
	CustomerKey []byte
}

// header returns the headers that say so; with source, those of a copy's source.
func (e Encryption) header(source bool) map[string]string {
	h := make(map[string]string)
	switch e.Scheme {
	case S3:
		h[headerSSE] = "AES256"
	case KMS, DSSE:
		h[headerSSE] = "aws:kms"
		if e.Scheme == DSSE {
			h[headerSSE] = "aws:kms:dsse"
		}
		if e.KeyID != "" {
			h[headerKeyID] = e.KeyID
		}
		if e.Context != nil {
			text, _ := json.Marshal(e.Context)
			h[headerContext] = base64.StdEncoding.EncodeToString(text)
		}
	case C:
		prefix := "X-Amz-"
		if source {
			prefix = "X-Amz-Copy-Source-"
		}
		sum := md5.Sum(e.CustomerKey)
		h[prefix+"Server-Side-Encryption-Customer-Algorithm"] = "AES256"
		h[prefix+"Server-Side-Encryption-Customer-Key"] = base64.StdEncoding.EncodeToString(e.CustomerKey)
		h[prefix+"Server-Side-Encryption-Customer-Key-Md5"] = base64.StdEncoding.EncodeToString(sum[:])
	}
	return h
}

const (
	headerSSE     = "X-Amz-Server-Side-Encryption"
	headerKeyID   = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"
	headerContext = "X-Amz-Server-Side-Encryption-Context"
)

// A Call is one S3 call, as far as the program uses them.
type Call struct {
	Operation   string // as the S3 API names it
	Bucket, Key string

	Encryption Encryption
	Header     map[string]string // further request headers, by canonical name
	Body       []byte
	Trailer    string // the checksum that follows the body, "" for the client's own choice

	Upload     string // upload id
	PartNumber int    // -1 is 0
	Parts      []Part
	Checksum   string // of a multipart upload: the algorithm,
	FullObject bool   // and whether it is that of the whole

	Source           string // BUCKET/KEY
	SourceEncryption Encryption
	SourceRange      [2]int64 // of UploadPartCopy: first and last; zero for all

	Algorithm, KeyID         string // of PutBucketEncryption
	Prefix, Delimiter, After string // of listings
	Max                      int
	Keys                     []string // of DeleteObjects
	Expires                  time.Duration
}

// A Part is one of a multipart upload or object, as client and server name it.
type Part struct {
	Number              int
	ETag                string
	Size                int64
	Algorithm, Checksum string // base64
}

// An Entry is a line of a listing.
type Entry struct {
	Key  string
	ETag string
	Size int64
}

// A Result is what the client made of an answer.
type Result struct {
	ETag, Upload string
	// Of a part; in base64.
	Algorithm, Checksum string
	Body                []byte
	Parts               []Part
	Entries             []Entry
	Shown               string // the checksums that the client was told of a new object
	Text                string // anything else
}

// A Client makes calls with an S3 client.
type Client interface {
	Name() string
	// Do makes a call, with one request.
	Do(ctx context.Context, c *Call) (*Result, error)
	// Code is the S3 error code that the client finds in an error of Do; "" if it
	// finds none.
	Code(err error) string
}

// A Server is whom a client calls.
type Server struct {
	URL                    string
	Transport              http.RoundTripper
	User, Password, Region string
}

// recorder is the transport of a client; it keeps the last answer.
type recorder struct {
	next http.RoundTripper
	last *http.Response // its body is the client's
	n    int
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	r.last = resp
	r.n++
	return resp, err
}

// shown are the headers of an answer that rows have, those of objects only if
// there is one.
func shown(resp *http.Response, object bool) map[string]string {
	h := make(map[string]string)
	for name, values := range resp.Header {
		keep := false
		switch name {
		case "Content-Range", "X-Amz-Mp-Parts-Count", "Cache-Control", "Content-Encoding", "Content-Disposition",
			"X-Amz-Storage-Class", "X-Amz-Missing-Meta", "X-Minio-Error-Code":
			keep = true
		case "Accept-Ranges", "Content-Length", "Content-Type":
			keep = object
		case "Last-Modified":
			if resp.StatusCode < 300 {
				h[name] = "given"
			}
		default:
			keep = strings.HasPrefix(name, "X-Amz-Checksum-") || strings.HasPrefix(name, "X-Amz-Meta-") || strings.Contains(name, "Server-Side-Encryption")
		}
		if keep {
			h[name] = strings.Join(values, ", ")
		}
	}
	return h
}

// A Row is a call of the program and its answer.
type Row struct {
	Client, Group, Case string
	Fields              map[string]string // status, code, headers, etag, body, result
}

// Step is the name of the call.
func (r *Row) Step() string { return r.Group + ": " + r.Case }

// Mismatch tells whether other content came back than was stored.
func (r *Row) Mismatch() bool { return strings.HasPrefix(r.Fields["body"], "mismatch") }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// told returns the checksums in the fields of what a client has of an answer.
func told(answer any) string {
	v := reflect.ValueOf(answer).Elem()
	var texts []string
	for i := range v.NumField() {
		name, ok := strings.CutPrefix(v.Type().Field(i).Name, "Checksum")
		if name == "Mode" {
			name = "Type"
		}
		f := reflect.Indirect(v.Field(i))
		if ok && f.IsValid() && f.Kind() == reflect.String && f.String() != "" {
			texts = append(texts, name+" "+f.String())
		}
	}
	return strings.Join(texts, ", ")
}
