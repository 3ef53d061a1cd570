package sse

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/objseal/objseal/internal/secret"
	"github.com/objseal/objseal/kms"
)

// A Request says how an object shall be encrypted, or with which keys it is to
// be read: the first step of everything. The zero Request asks for nothing.
type Request struct {
	Operation   Operation
	Method      Method
	KMSKeyID    string             // SSE-KMS, and SSE-S3 if the backend names a key; empty: the default key
	Context     kms.AssociatedData // SSE-KMS: the client's own pairs; ParseRequest never leaves it nil, which Rewrap takes for the old one
	CustomerKey CustomerKey        // SSE-C
	SourceKey   CustomerKey        // the customer key of the source of a copy

	// What is wrong with the SSE-C headers of a part. It matters only if the
	// upload is SSE-C: see UploadOptions.
	partErr error
}

// RequestOptions is what headers do not tell.
type RequestOptions struct {
	// PlainHTTP: the request came without TLS. Customer keys are refused then.
	PlainHTTP bool
	// Default is the bucket's default encryption, for requests that ask for
	// nothing.
	Default BucketEncryption
	// AutoEncryption makes SSE-KMS under the default key of what would not be
	// encrypted, like MINIO_KMS_AUTO_ENCRYPTION.
	AutoEncryption bool
}

// The request headers (SSE spec section 11). No other file reads them.
const (
	headerMethod            = "X-Amz-Server-Side-Encryption"
	headerKMSKeyID          = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"
	headerContext           = "X-Amz-Server-Side-Encryption-Context"
	headerCustomerAlgorithm = "X-Amz-Server-Side-Encryption-Customer-Algorithm"
	headerCustomerKey       = "X-Amz-Server-Side-Encryption-Customer-Key"
	headerCustomerKeyMD5    = "X-Amz-Server-Side-Encryption-Customer-Key-Md5"
	headerSourceAlgorithm   = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Algorithm"
	headerSourceKey         = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key"
	headerSourceKeyMD5      = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key-Md5"

	arnPrefix = "arn:aws:kms:"
)

// ParseRequest reads the SSE headers of a request for the object n, and applies
// the defaults of bucket and server where it asks for nothing. For PostObject h is
// the fields of the form. Header names are taken in any case, also where h was
// not made by net/http. o may be nil.
//
// What the request can be checked for without the object is checked here;
// [Request.ReadOptions], [Request.SourceOptions] and [Request.UploadOptions] do
// the rest once its metadata is known.
//
// A header that names internal metadata is refused whatever its value: a
// client that could set it would choose its own sealed key (see
// [IsReservedHeader]). Errors are *RequestError; they hold no key.
func ParseRequest(op Operation, n ObjectName, h http.Header, o *RequestOptions) (Request, error) {
	if o == nil {
		o = new(RequestOptions)
	}
	r := Request{Operation: op}
	s, err := sseHeaders(op, n, h)
	if s.customer() || s.sourceCustomer() {
		if o.PlainHTTP { // before anything else
			return Request{}, &RequestError{Response: Response{http.StatusBadRequest, "InvalidRequest", "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."}}
		}
	}
	if err != nil {
		return Request{}, err
	}
	switch {
	case op.creates():
		if err := s.target(&r); err != nil {
			return Request{}, err
		}
		if r.Method == None {
			o.applyDefault(&r)
		}
	case op.isPart():
		if op == UploadPartCopy && s.wantsKMS() {
			return Request{}, &RequestError{Response: Response{http.StatusNotImplemented, "NotImplemented", "A header you provided implies functionality that is not implemented"}}
		}
		r.CustomerKey, r.partErr = s.part()
		if !r.CustomerKey.IsZero() {
			r.Method = C
		}
	case op.reads():
		if s.has(headerMethod) || s.has(headerKMSKeyID) || s.has(headerContext) {
			return Request{}, &RequestError{Response: Response{http.StatusBadRequest, "BadRequest", "400 BadRequest"}}
		}
		if s.customer() {
			r.Method = C
			if r.CustomerKey, err = s.customerKey(headerCustomerAlgorithm, headerCustomerKey, headerCustomerKeyMD5); err != nil {
				return Request{}, err
			}
		}
	}
	if op.copies() && s.sourceCustomer() {
		if r.SourceKey, err = s.customerKey(headerSourceAlgorithm, headerSourceKey, headerSourceKeyMD5); err != nil {
			return Request{}, err
		}
	}
	return r, nil
}

// applyDefault is SSE spec section 12.
func (o *RequestOptions) applyDefault(r *Request) {
	switch {
	case o.Default.Method != None:
		r.Method, r.KMSKeyID = o.Default.Method, o.Default.keyID()
	case o.AutoEncryption:
		r.Method = KMS
	}
	if r.Method == KMS {
		r.Context = kms.AssociatedData{}
	}
}

// headers are the SSE headers of a request, by their canonical names.
type headers struct {
	op     Operation
	name   ObjectName
	values map[string]string
}

// sseHeaders picks the SSE headers. A header spelled in a way that a lookup
// misses would otherwise store an object in plaintext. What it found before an
// error is returned beside it.
func sseHeaders(op Operation, n ObjectName, h http.Header) (s headers, err error) {
	s = headers{op, n, make(map[string]string)}
	for name, values := range h {
		if IsReservedHeader(name) {
			err = invalidArgument("metadata headers are not supported")
		}
		name = http.CanonicalHeaderKey(name)
		if !strings.HasPrefix(name, headerMethod) && name != headerSourceAlgorithm && name != headerSourceKey && name != headerSourceKeyMD5 {
			continue
		}
		if len(values) == 0 { // present all the same
			values = []string{""}
		}
		for _, v := range values {
			if first, ok := s.values[name]; ok && v != first {
				err = invalidArgument("an encryption header was sent twice with different values")
			}
			s.values[name] = v
		}
	}
	return s, err
}

// has tells an empty header from an absent one, as S3 does.
func (s headers) has(name string) bool { _, ok := s.values[name]; return ok }

func (s headers) customer() bool {
	return s.has(headerCustomerAlgorithm) || s.has(headerCustomerKey) || s.has(headerCustomerKeyMD5)
}

func (s headers) sourceCustomer() bool {
	return s.has(headerSourceAlgorithm) || s.has(headerSourceKey) || s.has(headerSourceKeyMD5)
}

func (s headers) wantsKMS() bool {
	return s.has(headerKMSKeyID) || s.has(headerContext) || s.has(headerMethod) && !strings.EqualFold(s.values[headerMethod], "AES256")
}

const methodDSSE = "aws:kms:dsse"

// target reads how the new object shall be encrypted.
func (s headers) target(r *Request) (err error) {
	method := s.values[headerMethod]
	switch {
	case method == methodDSSE: // never downgraded to one layer
		return s.invalid("The encryption method is not supported", "dual-layer encryption ("+methodDSSE+") is not supported")
	case (s.has(headerKMSKeyID) || s.has(headerContext)) && method != "aws:kms":
		return s.invalid("The encryption method is not supported", "")
	case s.customer() && s.has(headerMethod):
		return errIncompatible
	case s.customer():
		r.Method = C
		r.CustomerKey, err = s.customerKey(headerCustomerAlgorithm, headerCustomerKey, headerCustomerKeyMD5)
		return err
	case !s.has(headerMethod):
		return nil
	case strings.EqualFold(method, "AES256"):
		r.Method = S3
		return nil
	case method == "aws:kms":
		return s.kms(r)
	default:
		return s.invalid("The encryption method is not supported", "")
	}
}

// part reads the customer key of a part.
func (s headers) part() (CustomerKey, error) {
	switch {
	case !s.customer():
		return CustomerKey{}, nil
	case s.has(headerMethod):
		return CustomerKey{}, errIncompatible
	}
	return s.customerKey(headerCustomerAlgorithm, headerCustomerKey, headerCustomerKeyMD5)
}

func (s headers) kms(r *Request) error {
	r.Method, r.KMSKeyID, r.Context = KMS, strings.TrimPrefix(s.values[headerKMSKeyID], arnPrefix), kms.AssociatedData{}
	if strings.TrimSpace(r.KMSKeyID) != r.KMSKeyID {
		return invalidRequest("KMS KeyID contains unsupported characters")
	}
	if s.has(headerContext) {
		text, err := base64.StdEncoding.DecodeString(s.values[headerContext])
		if err != nil {
			return s.invalid(err.Error(), "the encryption context is not base64")
		}
		if r.Context, err = kms.ParseAssociatedData(text); err != nil {
			return s.invalid("the encryption context is not a JSON object of strings", "")
		}
	}
	return nil
}

// The texts of S3 for SSE-C headers that say nothing useful: those of a PUT are
// others than those of everything else (SSE spec section 11.1).
const mustProvide = "Requests specifying Server Side Encryption with Customer provided keys must provide "

func (s headers) customerKey(algorithm, key, keyMD5 string) (CustomerKey, error) {
	wrong := func(put, other string) (CustomerKey, error) {
		if s.op == PutObject || s.op == PostObject {
			return CustomerKey{}, s.invalid(put, "")
		}
		return CustomerKey{}, invalidArgument(other)
	}
	switch {
	case s.values[algorithm] != "AES256":
		return wrong("The SSE-C algorithm is not supported", mustProvide+"a valid encryption algorithm.")
	case s.values[key] == "":
		return wrong("The SSE-C request is missing the customer key", mustProvide+"an appropriate secret key.")
	case s.values[keyMD5] == "":
		return wrong("The SSE-C request is missing the customer key MD5", mustProvide+"the client calculated MD5 of the secret key.")
	}
	raw, err := base64.StdEncoding.DecodeString(s.values[key])
	defer clear(raw)
	if err != nil || len(raw) != secret.Size {
		if s.op == PutObject || s.op == PostObject {
			return CustomerKey{}, s.invalid("The SSE-C client key is invalid", "")
		}
		return CustomerKey{}, &RequestError{Response{http.StatusForbidden, "AccessDenied", "Access Denied."}, "the customer key has not 32 bytes in base64"}
	}
	sent, err := base64.StdEncoding.DecodeString(s.values[keyMD5])
	sum := md5Sum(raw)
	if err != nil || subtle.ConstantTimeCompare(sent, sum[:]) != 1 {
		return wrong("The provided SSE-C key MD5 does not match the computed MD5 of the SSE-C key", "The calculated MD5 hash of the key did not match the hash that was provided.")
	}
	return NewCustomerKey(raw)
}

// invalid is S3's form of a wrong argument that names the object; problem is
// what is shown elsewhere, if that is something else.
func (s headers) invalid(message, problem string) error {
	if problem == "" {
		problem = message
	}
	return &RequestError{Response{http.StatusBadRequest, "InvalidArgument", fmt.Sprintf("Invalid arguments provided for %s/%s: (%s)", s.name.Bucket, s.name.Object, message)}, problem}
}

var (
	errIncompatible   = invalidArgument("Server Side Encryption with Customer provided key is incompatible with the encryption method specified")
	errNotApplicable  = invalidRequest("The encryption parameters are not applicable to this object.")
	errUploadKey      = invalidRequest("The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.")
	errSourceKeyWrong = invalidArgument(mustProvide + "a valid encryption algorithm.")
)

// storedMethod is the method of an object or upload, None for one that is not
// encrypted.
func storedMethod(metadata map[string]string) (Method, error) {
	m, err := methodOf(metadata)
	if errors.Is(err, ErrNotEncrypted) {
		err = nil
	}
	return m, err
}

// ReadOptions checks the keys of a GET or HEAD against the metadata of its
// object, and returns what Open needs of them: a customer key where there must be
// one, and nowhere else.
func (r Request) ReadOptions(metadata map[string]string) (*OpenOptions, error) {
	m, err := storedMethod(metadata)
	switch {
	case err != nil:
		return nil, err
	case m == None && !r.CustomerKey.IsZero():
		return nil, errNotApplicable
	case m == C && r.CustomerKey.IsZero():
		return nil, ErrCustomerKeyRequired
	case m != C && !r.CustomerKey.IsZero():
		return nil, ErrCustomerKeyNotApplicable
	}
	return &OpenOptions{CustomerKey: r.CustomerKey}, nil
}

// SourceOptions is ReadOptions for the source of a copy. A key for a source
// under SSE-KMS is not looked at, as in MinIO.
func (r Request) SourceOptions(metadata map[string]string) (*OpenOptions, error) {
	m, err := storedMethod(metadata)
	given := !r.SourceKey.IsZero()
	switch {
	case err != nil:
		return nil, err
	case m == None && given:
		return nil, errNotApplicable
	case m == S3 && given:
		return nil, errIncompatible
	case m == C && !given && !r.CustomerKey.IsZero(): // the keys of the target are not those of the source
		return nil, errSourceKeyWrong
	case m == C && !given:
		return nil, ErrCustomerKeyRequired
	case m != C:
		return new(OpenOptions), nil
	}
	return &OpenOptions{CustomerKey: r.SourceKey}, nil
}

// UploadOptions checks the headers of a part, or of the completion, against the
// metadata of its upload, and returns what ResumeMultipart needs. The upload
// decides: headers that fit another scheme are not looked at. A completion without
// customer key is not wrong: [CompleteUpload] needs none.
func (r Request) UploadOptions(metadata map[string]string) (*OpenOptions, error) {
	m, err := storedMethod(metadata)
	switch {
	case err != nil:
		return nil, err
	case m != C:
		return new(OpenOptions), nil
	case r.partErr != nil:
		return nil, r.partErr
	case r.CustomerKey.IsZero():
		return nil, errUploadKey
	}
	return &OpenOptions{CustomerKey: r.CustomerKey}, nil
}

// validate refuses what ParseRequest cannot return but a caller can write.
func (r Request) validate() error {
	switch {
	case r.Method < S3 || r.Method > C:
		return invalidRequest("no encryption was requested")
	case r.Method == C && r.CustomerKey.IsZero():
		return invalidRequest("SSE-C needs a customer key")
	case r.Method != C && !r.CustomerKey.IsZero():
		return invalidRequest("a customer key is for SSE-C only")
	case r.Method != KMS && len(r.Context) > 0:
		return invalidRequest("an encryption context is for SSE-KMS only")
	case r.Method == C && r.KMSKeyID != "":
		return invalidRequest("SSE-C uses no KMS key")
	case len(r.Context) > 0 && len(encodeContext(r.Context)) > maxContext:
		return invalidRequest("the encryption context is too long")
	}
	// The canonical encoding replaces other bytes, so that the context read back
	// would not be the one that the data key was bound to.
	for k, v := range r.Context {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return invalidRequest("the encryption context is not UTF-8")
		}
	}
	return nil
}

// validatePlain refuses a request without encryption that names keys all the same,
// or that was not asked how to encrypt.
func (r Request) validatePlain() error {
	switch {
	case r.Method != None || r.KMSKeyID != "" || r.Context != nil || !r.CustomerKey.IsZero():
		return invalidRequest("keys were named, but no encryption was requested")
	case !r.Operation.creates():
		return invalidRequest("the request is none that makes an object or an upload")
	}
	return nil
}

// associatedData is what the data key is bound to: the client's pairs, and
// bucket → bucket/object unless the client gave that key itself. The added
// pair is never stored (SSE spec section 3.2).
func associatedData(m Method, client kms.AssociatedData, bucket, path string) kms.AssociatedData {
	ad := make(kms.AssociatedData, len(client)+1)
	ad[bucket] = path
	if m == KMS {
		for k, v := range client {
			ad[k] = v
		}
	}
	return ad
}

func invalidArgument(message string) error {
	return &RequestError{Response: Response{http.StatusBadRequest, "InvalidArgument", message}}
}

func invalidRequest(message string) error {
	return &RequestError{Response: Response{http.StatusBadRequest, "InvalidRequest", message}}
}
