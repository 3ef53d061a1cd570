package sse

import (
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/objseal/objseal/internal/secret"
	"github.com/objseal/objseal/kms"
)

// A Request says how an object shall be encrypted: the first step of
// everything. The zero Request asks for nothing.
type Request struct {
	Method      Method
	KMSKeyID    string             // SSE-KMS, and SSE-S3 if the backend names a key; empty: the default key
	Context     kms.AssociatedData // SSE-KMS: the client's own pairs
	CustomerKey CustomerKey        // SSE-C
}

// The request headers (SSE spec section 11). No other file reads them.
const (
	headerMethod            = "X-Amz-Server-Side-Encryption"
	headerKMSKeyID          = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"
	headerContext           = "X-Amz-Server-Side-Encryption-Context"
	headerCustomerAlgorithm = "X-Amz-Server-Side-Encryption-Customer-Algorithm"
	headerCustomerKey       = "X-Amz-Server-Side-Encryption-Customer-Key"
	headerCustomerKeyMD5    = "X-Amz-Server-Side-Encryption-Customer-Key-Md5"

	arnPrefix = "arn:aws:kms:"
)

// ParseRequest reads the SSE headers of a PUT or a multipart initiation. No SSE
// header gives the zero Request. Header names are taken in any case, also
// where h was not made by net/http. SSE-C over plain HTTP, which S3 refuses, is
// for the caller to see.
//
// A header with the prefix of internal metadata is refused whatever its value:
// a client that could set those would choose its own sealed key. Errors are
// *RequestError.
func ParseRequest(h http.Header) (Request, error) {
	s, err := sseHeaders(h)
	if err != nil {
		return Request{}, err
	}
	customer := s.has(headerCustomerAlgorithm) || s.has(headerCustomerKey) || s.has(headerCustomerKeyMD5)
	kmsOnly := s.has(headerKMSKeyID) || s.has(headerContext)
	method := s[headerMethod]
	switch {
	case kmsOnly && method != "aws:kms":
		return Request{}, invalidArgument("The encryption method is not supported")
	case customer && s.has(headerMethod):
		return Request{}, invalidArgument("Server side encryption specified with customer provided keys is incompatible with the encryption method specified")
	case customer:
		key, err := s.customerKey()
		return Request{Method: C, CustomerKey: key}, err
	case !s.has(headerMethod):
		return Request{}, nil
	case strings.EqualFold(method, "AES256"):
		return Request{Method: S3}, nil
	case method == "aws:kms":
		return s.kms()
	default: // aws:kms:dsse among them: refused, never downgraded to one layer
		return Request{}, invalidArgument("The encryption method is not supported")
	}
}

// headers are the SSE headers of a request, by their canonical names.
type headers map[string]string

// sseHeaders picks the SSE headers. A header spelled in a way that a lookup
// misses would otherwise store an object in plaintext.
func sseHeaders(h http.Header) (headers, error) {
	s := make(headers)
	for name, values := range h {
		if IsReservedMetadata(name) {
			return nil, invalidArgument("metadata headers are not supported")
		}
		name = http.CanonicalHeaderKey(name)
		if !strings.HasPrefix(name, headerMethod) {
			continue
		}
		if len(values) == 0 { // present all the same
			values = []string{""}
		}
		for _, v := range values {
			if first, ok := s[name]; ok && v != first {
				return nil, invalidArgument("an encryption header was sent twice with different values")
			}
			s[name] = v
		}
	}
	return s, nil
}

// has tells an empty header from an absent one, as S3 does.
func (s headers) has(name string) bool { _, ok := s[name]; return ok }

func (s headers) kms() (Request, error) {
	r := Request{Method: KMS, KMSKeyID: strings.TrimPrefix(s[headerKMSKeyID], arnPrefix)}
	if strings.TrimSpace(r.KMSKeyID) != r.KMSKeyID {
		return Request{}, invalidRequest("KMS KeyID contains unsupported characters")
	}
	if s.has(headerContext) {
		text, err := base64.StdEncoding.DecodeString(s[headerContext])
		if err != nil {
			return Request{}, invalidArgument("the encryption context is not base64")
		}
		if r.Context, err = kms.ParseAssociatedData(text); err != nil {
			return Request{}, invalidArgument("the encryption context is not a JSON object of strings")
		}
	}
	return r, nil
}

func (s headers) customerKey() (CustomerKey, error) {
	switch {
	case s[headerCustomerAlgorithm] != "AES256":
		return CustomerKey{}, invalidArgument("The SSE-C algorithm is not supported")
	case s[headerCustomerKey] == "":
		return CustomerKey{}, invalidArgument("The SSE-C request is missing the customer key")
	case s[headerCustomerKeyMD5] == "":
		return CustomerKey{}, invalidArgument("The SSE-C request is missing the customer key MD5")
	}
	raw, err := base64.StdEncoding.DecodeString(s[headerCustomerKey])
	defer clear(raw)
	if err != nil || len(raw) != secret.Size {
		return CustomerKey{}, invalidArgument("The SSE-C client key is invalid")
	}
	sent, err := base64.StdEncoding.DecodeString(s[headerCustomerKeyMD5])
	sum := md5Sum(raw)
	if err != nil || subtle.ConstantTimeCompare(sent, sum[:]) != 1 {
		return CustomerKey{}, invalidArgument("The provided SSE-C key MD5 does not match the computed MD5 of the SSE-C key")
	}
	return NewCustomerKey(raw)
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
	return &RequestError{Response{http.StatusBadRequest, "InvalidArgument", message}}
}

func invalidRequest(message string) error {
	return &RequestError{Response{http.StatusBadRequest, "InvalidRequest", message}}
}
