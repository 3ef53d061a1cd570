package sse_test

import (
	"crypto/fips140"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

const amz = "X-Amz-Server-Side-Encryption"

// md5Sum works in FIPS 140-only mode too, for the test of that.
func md5Sum(text string) (sum [md5.Size]byte) {
	fips140.WithoutEnforcement(func() { sum = md5.Sum([]byte(text)) })
	return sum
}

func customerHeaders(key string) map[string]string {
	sum := md5Sum(key)
	return map[string]string{
		amz + "-Customer-Algorithm": "AES256",
		amz + "-Customer-Key":       base64.StdEncoding.EncodeToString([]byte(key)),
		amz + "-Customer-Key-Md5":   base64.StdEncoding.EncodeToString(sum[:]),
	}
}

func with(m map[string]string, pairs ...string) map[string]string {
	m = maps.Clone(m)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// TestParseRequest is SSE spec section 11: what counts as a request for what,
// and what is refused with which text.
func TestParseRequest(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	context := base64.StdEncoding.EncodeToString([]byte(`{"b":"<x>", "a":null}`))
	kmsHeaders := map[string]string{amz: "aws:kms", amz + "-Aws-Kms-Key-Id": "arn:aws:kms:my-key"}
	for _, test := range []struct {
		name    string
		headers map[string]string
		want    sse.Request
		refused string // part of the message
	}{
		{"nothing", map[string]string{"Content-Type": "text/plain"}, sse.Request{}, ""},
		{"AES256", map[string]string{amz: "AES256"}, sse.Request{Method: sse.S3}, ""},
		{"aes256", map[string]string{amz: "aes256"}, sse.Request{Method: sse.S3}, ""},
		{"aws:kms", map[string]string{amz: "aws:kms"}, sse.Request{Method: sse.KMS}, ""},
		{"key id", kmsHeaders, sse.Request{Method: sse.KMS, KMSKeyID: "my-key"}, ""},
		{"context", with(kmsHeaders, amz+"-Context", context), sse.Request{Method: sse.KMS, KMSKeyID: "my-key", Context: kms.AssociatedData{"a": "", "b": "<x>"}}, ""},
		{"bucket key", with(kmsHeaders, amz+"-Bucket-Key-Enabled", "true"), sse.Request{Method: sse.KMS, KMSKeyID: "my-key"}, ""},
		{"customer key", customerHeaders(key), sse.Request{Method: sse.C}, ""},

		{"empty method", map[string]string{amz: ""}, sse.Request{}, "method is not supported"},
		{"AES512", map[string]string{amz: "AES512"}, sse.Request{}, "method is not supported"},
		{"DSSE", map[string]string{amz: "aws:kms:dsse"}, sse.Request{}, "method is not supported"},
		{"AWS:KMS", map[string]string{amz: "AWS:KMS"}, sse.Request{}, "method is not supported"},
		{"key id with AES256", with(kmsHeaders, amz, "AES256"), sse.Request{}, "method is not supported"},
		{"key id alone", map[string]string{amz + "-Aws-Kms-Key-Id": "k"}, sse.Request{}, "method is not supported"},
		{"context alone", map[string]string{amz + "-Context": context}, sse.Request{}, "method is not supported"},
		{"context beside a customer key", with(customerHeaders(key), amz+"-Context", context), sse.Request{}, "method is not supported"},
		{"key id with spaces", with(kmsHeaders, amz+"-Aws-Kms-Key-Id", " my-key"), sse.Request{}, "unsupported characters"},
		{"context empty", with(kmsHeaders, amz+"-Context", ""), sse.Request{}, "encryption context"},
		{"context not base64", with(kmsHeaders, amz+"-Context", "{}"), sse.Request{}, "not base64"},
		{"context not JSON", with(kmsHeaders, amz+"-Context", "e30x"), sse.Request{}, "JSON"},
		{"customer key and AES256", with(customerHeaders(key), amz, "AES256"), sse.Request{}, "incompatible"},
		{"customer algorithm", with(customerHeaders(key), amz+"-Customer-Algorithm", "aes"), sse.Request{}, "algorithm is not supported"},
		{"customer key empty", with(customerHeaders(key), amz+"-Customer-Key", ""), sse.Request{}, "missing the customer key"},
		{"customer MD5 empty", with(customerHeaders(key), amz+"-Customer-Key-Md5", ""), sse.Request{}, "missing the customer key MD5"},
		{"customer key of 31 bytes", customerHeaders(key[1:]), sse.Request{}, "client key is invalid"},
		{"customer key not base64", with(customerHeaders(key), amz+"-Customer-Key", key+"*"), sse.Request{}, "client key is invalid"},
		{"customer MD5 of another key", with(customerHeaders(key), amz+"-Customer-Key-Md5", customerHeaders("x")[amz+"-Customer-Key-Md5"]), sse.Request{}, "does not match"},
		{"customer MD5 not base64", with(customerHeaders(key), amz+"-Customer-Key-Md5", "*"), sse.Request{}, "does not match"},
		{"lower-case names", map[string]string{"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "my-key"}, sse.Request{Method: sse.KMS, KMSKeyID: "my-key"}, ""},
		{"one lower-case name", map[string]string{"x-amz-server-side-encryption-customer-key-MD5": ""}, sse.Request{}, "algorithm is not supported"},
		{"a name twice", map[string]string{amz: "AES256", strings.ToLower(amz): "aws:kms"}, sse.Request{}, "sent twice"},
		{"key id with a space behind", with(kmsHeaders, amz+"-Aws-Kms-Key-Id", "my-key "), sse.Request{}, "unsupported characters"},
		{"internal metadata", map[string]string{metaS3: "x"}, sse.Request{}, "metadata headers are not supported"},
		{"internal metadata in lower case", map[string]string{strings.ToLower(metaS3): "x"}, sse.Request{}, "metadata headers are not supported"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{}
			for k, v := range test.headers {
				h[k] = []string{v}
			}
			got, err := sse.ParseRequest(h)
			if test.refused != "" {
				var request *sse.RequestError
				if !errors.As(err, &request) || !strings.Contains(request.Message, test.refused) || !errors.Is(err, sse.ErrInvalidRequest) {
					t.Fatalf("got %+v, %v; want a refusal with %q", got.Method, err, test.refused)
				}
				if r := sse.ErrorResponse(fmt.Errorf("wrapped: %w", err)); r.Status != 400 || r.Message != request.Message {
					t.Errorf("answer %+v", r)
				}
				if strings.Contains(err.Error(), key) || strings.Contains(err.Error(), test.headers[amz+"-Customer-Key"]) && test.headers[amz+"-Customer-Key"] != "" {
					t.Error("the message shows the key")
				}
				return
			}
			if err != nil || got.Method != test.want.Method || got.KMSKeyID != test.want.KMSKeyID || !maps.Equal(got.Context, test.want.Context) {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
			if got.CustomerKey.IsZero() != (got.Method != sse.C) || got.Method == sse.C && string(got.CustomerKey.Bytes()) != key {
				t.Error("another customer key")
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v %x", got, got, got, got), key) {
				t.Error("a request prints its key")
			}
		})
	}
}

// TestHeaderWithoutValues: such a header is there, and empty.
func TestHeaderWithoutValues(t *testing.T) {
	for _, values := range [][]string{nil, {}} {
		if r, err := sse.ParseRequest(http.Header{amz: values}); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("%#v: %v, %v", values, r.Method, err)
		}
	}
	if r, err := sse.ParseRequest(http.Header{amz: {"AES256", "AES256"}}); err != nil || r.Method != sse.S3 {
		t.Errorf("the same twice: %v, %v", r.Method, err)
	}
	if r, err := sse.ParseRequest(nil); err != nil || r.Method != sse.None {
		t.Errorf("no header at all: %v, %v", r.Method, err)
	}
}

// TestKindsAndResponses: each failure has one kind and one S3 answer, found
// through any wrapping.
func TestKindsAndResponses(t *testing.T) {
	for _, test := range []struct {
		err    error
		kind   sse.Kind
		status int
		code   string
	}{
		{kms.ErrKeyNotFound, sse.KindKeyNotFound, 404, "kms:KeyNotFound"},
		{kms.ErrKeyExists, sse.KindInvalidRequest, 409, "kms:KeyAlreadyExists"},
		{kms.ErrNotAuthentic, sse.KindNotAuthentic, 400, "kms:InvalidCiphertextException"},
		{kms.ErrNotPermitted, sse.KindNotPermitted, 403, "kms:NotAuthorized"},
		{kms.ErrUnreachable, sse.KindKMSUnreachable, 503, "ServiceUnavailable"},
		{kms.ErrNotConfigured, sse.KindNotConfigured, 501, "NotImplemented"},
		{kms.ErrInvalidKeyID, sse.KindInvalidRequest, 400, "InvalidArgument"},
		{kms.ErrUnsupported, sse.KindUnsupported, 501, "kms:NotSupported"},
		{kms.ErrKeySize, sse.KindUnsupported, 500, "InternalError"},
		{sse.ErrNotAuthentic, sse.KindNotAuthentic, 403, "AccessDenied"},
		{fmt.Errorf("%w: %w", sse.ErrNotAuthentic, stream.ErrTampered), sse.KindNotAuthentic, 403, "AccessDenied"},
		{sse.ErrCustomerKeyRequired, sse.KindInvalidRequest, 400, "InvalidRequest"},
		{sse.ErrCustomerKeyNotApplicable, sse.KindInvalidRequest, 400, "InvalidRequest"},
		{sse.ErrRange, sse.KindInvalidRequest, 416, "InvalidRange"},
		{sse.ErrNotEncrypted, sse.KindNotEncrypted, 400, "InvalidRequest"},
		{sse.ErrUnsupported, sse.KindUnsupported, 501, "NotImplemented"},
		{sse.ErrTampered, sse.KindTampered, 500, "InternalError"},
		{stream.ErrTampered, sse.KindTampered, 500, "InternalError"},
		{stream.ErrTruncated, sse.KindTruncated, 500, "InternalError"},
		{stream.ErrUnsupported, sse.KindUnsupported, 500, "InternalError"},
		{errors.New("disk full"), sse.KindNone, 500, "InternalError"},
	} {
		err := fmt.Errorf("failed to open: %w", &kms.Error{Op: kms.OpDecrypt, Err: test.err})
		if k := sse.KindOf(err); k != test.kind {
			t.Errorf("%v: kind %q, want %q", test.err, k, test.kind)
		}
		if r := sse.ErrorResponse(err); r.Status != test.status || r.Code != test.code || r.Message == "" {
			t.Errorf("%v: answer %+v", test.err, r)
		}
	}
	if sse.KindOf(nil) != sse.KindNone {
		t.Error("nil has a kind")
	}
}
