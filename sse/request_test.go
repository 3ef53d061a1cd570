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
		{"context not base64", with(kmsHeaders, amz+"-Context", "{}"), sse.Request{}, "illegal base64"},
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
		{"internal metadata as a user's", map[string]string{"x-amz-meta-" + metaS3: "x"}, sse.Request{}, "metadata headers are not supported"},
		{"internal metadata as replicated", map[string]string{"X-Minio-Replication-Server-Side-Encryption-Sealed-Key": "x"}, sse.Request{}, "metadata headers are not supported"},
		{"replicated multipart", map[string]string{"x-minio-replication-encrypted-multipart": ""}, sse.Request{}, "metadata headers are not supported"},
		{"replicated size", map[string]string{"X-Minio-Replication-Actual-Object-Size": "1"}, sse.Request{}, "metadata headers are not supported"},
		{"replicated checksum", map[string]string{"X-MINIO-REPLICATION-SSEC-CRC": "x"}, sse.Request{}, "metadata headers are not supported"},
		{"metadata of the user", map[string]string{"X-Amz-Meta-Minio-Internal": "x"}, sse.Request{}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := http.Header{}
			for k, v := range test.headers {
				h[k] = []string{v}
			}
			got, err := sse.ParseRequest(sse.PutObject, object, h, nil)
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
			if strings.Contains(fmt.Sprintf("%v %+v %#v %x", got, got, got, any(got)), key) {
				t.Error("a request prints its key")
			}
		})
	}
}

// TestHeaderWithoutValues: such a header is there, and empty.
func TestHeaderWithoutValues(t *testing.T) {
	for _, values := range [][]string{nil, {}} {
		if r, err := sse.ParseRequest(sse.PutObject, object, http.Header{amz: values}, nil); !errors.Is(err, sse.ErrInvalidRequest) {
			t.Errorf("%#v: %v, %v", values, r.Method, err)
		}
	}
	if r, err := sse.ParseRequest(sse.PutObject, object, http.Header{amz: {"AES256", "AES256"}}, nil); err != nil || r.Method != sse.S3 {
		t.Errorf("the same twice: %v, %v", r.Method, err)
	}
	if r, err := sse.ParseRequest(sse.PutObject, object, nil, nil); err != nil || r.Method != sse.None {
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
		{kms.ErrUnreachable, sse.KindKMSUnreachable, 500, "kms:DecryptionFailed"},
		{kms.ErrKeyDamaged, sse.KindKeyDamaged, 500, "kms:DecryptionFailed"},
		{kms.ErrNotConfigured, sse.KindNotConfigured, 501, "NotImplemented"},
		{kms.ErrInvalidKeyID, sse.KindInvalidRequest, 400, "InvalidArgument"},
		{kms.ErrUnsupported, sse.KindUnsupported, 501, "kms:NotSupported"},
		{kms.ErrKeySize, sse.KindUnsupported, 500, "kms:DecryptionFailed"},
		{sse.ErrNotAuthentic, sse.KindNotAuthentic, 403, "AccessDenied"},
		{fmt.Errorf("%w: %w", sse.ErrNotAuthentic, stream.ErrTampered), sse.KindNotAuthentic, 403, "AccessDenied"},
		{sse.ErrCustomerKeyRequired, sse.KindInvalidRequest, 400, "InvalidRequest"},
		{sse.ErrCustomerKeyNotApplicable, sse.KindInvalidRequest, 400, "InvalidRequest"},
		{sse.ErrRange, sse.KindInvalidRequest, 416, "InvalidRange"},
		{sse.ErrNotEncrypted, sse.KindNotEncrypted, 400, "InvalidRequest"},
		{sse.ErrUnsupported, sse.KindUnsupported, 501, "NotImplemented"},
		{sse.ErrTampered, sse.KindTampered, 500, "XMinioObjectTampered"},
		{stream.ErrTampered, sse.KindTampered, 500, "XMinioObjectTampered"},
		{stream.ErrTruncated, sse.KindTruncated, 500, "XMinioObjectTampered"},
		{stream.ErrUnsupported, sse.KindUnsupported, 501, "NotImplemented"},
		{stream.ErrTooLarge, sse.KindInvalidRequest, 400, "EntityTooLarge"},
		{sse.ErrNoBucketEncryption, sse.KindInvalidRequest, 404, "ServerSideEncryptionConfigurationNotFoundError"},
		{errors.New("disk full"), sse.KindNone, 500, "kms:DecryptionFailed"},
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
	for op, code := range map[kms.Operation]string{kms.OpGenerateKey: "kms:KeyGenerationFailed", kms.OpEncrypt: "kms:EncryptionFailed", kms.OpCreateKey: "kms:KeyCreationFailed", kms.OpStatus: "InternalError"} {
		if r := sse.ErrorResponse(&kms.Error{Op: op, Err: kms.ErrUnreachable}); r.Status != 500 || r.Code != code {
			t.Errorf("%s: answer %+v", op, r)
		}
	}
	if r := sse.ErrorResponse(errors.New("disk full")); r.Status != 500 || r.Code != "InternalError" {
		t.Errorf("answer %+v", r)
	}
}

// TestOperations is SSE spec section 11 for what is no PUT: which headers of
// which operation count, by the answer to a request with them.
func TestOperations(t *testing.T) {
	key := customerHeaders("0123456789abcdef0123456789abcdef")
	short := customerHeaders("0123456789abcdef")
	source := make(map[string]string)
	for k, v := range key {
		source["X-Amz-Copy-Source-"+strings.TrimPrefix(k, "X-Amz-")] = v
	}
	all := []sse.Operation{sse.PutObject, sse.PostObject, sse.CopyObject, sse.CreateMultipartUpload, sse.UploadPart, sse.UploadPartCopy,
		sse.CompleteMultipartUpload, sse.GetObject, sse.HeadObject, sse.GetObjectAttributes, sse.OtherOperation}
	// One word an operation: what is wanted of it.
	for _, test := range []struct {
		name    string
		headers map[string]string
		want    string
	}{
		{"nothing", nil, "none none none none none none none none none none none"},
		{"AES256", map[string]string{amz: "AES256"}, "SSE-S3 SSE-S3 SSE-S3 SSE-S3 none none none BadRequest BadRequest BadRequest none"},
		{"aws:kms", map[string]string{amz: "aws:kms"}, "SSE-KMS SSE-KMS SSE-KMS SSE-KMS none NotImplemented none BadRequest BadRequest BadRequest none"},
		{"a key id", map[string]string{amz + "-Aws-Kms-Key-Id": "k"}, "InvalidArgument InvalidArgument InvalidArgument InvalidArgument none NotImplemented none BadRequest BadRequest BadRequest none"},
		{"bucket key", map[string]string{amz + "-Bucket-Key-Enabled": "true"}, "none none none none none none none none none none none"},
		{"customer key", key, "SSE-C SSE-C SSE-C SSE-C SSE-C SSE-C SSE-C SSE-C SSE-C SSE-C none"},
		{"short customer key", short, "InvalidArgument InvalidArgument AccessDenied AccessDenied none none none AccessDenied AccessDenied AccessDenied none"},
		{"customer key of the source", source, "none none source none none source none none none none none"},
		{"half a key of the source", map[string]string{"x-amz-copy-source-server-side-encryption-customer-algorithm": "AES256"}, "none none InvalidArgument none none InvalidArgument none none none none none"},
		{"customer key of both", with(key, "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Algorithm", "AES256", "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key", source["X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key"], "X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key-Md5", source["X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key-Md5"]), "SSE-C SSE-C SSE-C+source SSE-C SSE-C SSE-C+source SSE-C SSE-C SSE-C SSE-C none"},
	} {
		for i, want := range strings.Fields(test.want) {
			h := http.Header{}
			for k, v := range test.headers {
				h[k] = []string{v}
			}
			r, err := sse.ParseRequest(all[i], object, h, nil)
			got := r.Method.String()
			switch {
			case err != nil:
				got = sse.ErrorResponse(err).Code
			case !r.SourceKey.IsZero() && got == "none":
				got = "source"
			case !r.SourceKey.IsZero():
				got += "+source"
			}
			if got != want || err == nil && r.Operation != all[i] {
				t.Errorf("%s, operation %d: %s, %v; want %s", test.name, all[i], got, err, want)
			}
			customer := strings.Contains(test.name, "customer key") || strings.Contains(test.name, "of the source")
			r, err = sse.ParseRequest(all[i], object, h, &sse.RequestOptions{PlainHTTP: true})
			if refused := err != nil && strings.Contains(sse.ErrorResponse(err).Message, "secure connection"); refused != customer {
				t.Errorf("%s, operation %d over plain HTTP: %v, %v", test.name, all[i], r.Method, err)
			}
		}
	}
}

// TestMessagesHoldNoNames: an object's name, which may hold anything, is in the
// answer to the client only.
func TestMessagesHoldNoNames(t *testing.T) {
	n := sse.ObjectName{Bucket: "b", Object: "o\nfake log line"}
	for _, method := range []string{"AES512", "aws:kms:dsse"} {
		_, err := sse.ParseRequest(sse.PutObject, n, http.Header{amz: {method}}, nil)
		if err == nil || strings.Contains(err.Error(), "fake") || !strings.Contains(sse.ErrorResponse(err).Message, n.Object) {
			t.Errorf("%q: %v", method, err)
		}
		if named := strings.Contains(fmt.Sprint(err), "aws:kms:dsse"); named != (method == "aws:kms:dsse") {
			t.Errorf("%q: %v", method, err)
		}
	}
}

// TestDefaults: bucket and server decide only where the request asks for nothing,
// and only where something new is made (SSE spec section 12).
func TestDefaults(t *testing.T) {
	bucketS3, bucketKMS := sse.BucketEncryption{Method: sse.S3}, sse.BucketEncryption{Method: sse.KMS, KMSKeyID: "two"}
	for _, test := range []struct {
		op      sse.Operation
		headers http.Header
		o       sse.RequestOptions
		want    sse.Method
		keyID   string
	}{
		{sse.PutObject, nil, sse.RequestOptions{}, sse.None, ""},
		{sse.PutObject, nil, sse.RequestOptions{AutoEncryption: true}, sse.KMS, ""},
		{sse.PutObject, nil, sse.RequestOptions{AutoEncryption: true, Default: bucketS3}, sse.S3, ""},
		{sse.PostObject, nil, sse.RequestOptions{Default: bucketKMS}, sse.KMS, "two"},
		{sse.CopyObject, nil, sse.RequestOptions{Default: bucketKMS}, sse.KMS, "two"},
		{sse.CreateMultipartUpload, nil, sse.RequestOptions{Default: bucketS3}, sse.S3, ""},
		{sse.PutObject, http.Header{amz: {"aws:kms"}}, sse.RequestOptions{Default: bucketKMS}, sse.KMS, ""},
		{sse.PutObject, http.Header{amz: {"AES256"}}, sse.RequestOptions{Default: bucketKMS, AutoEncryption: true}, sse.S3, ""},
		{sse.UploadPart, nil, sse.RequestOptions{Default: bucketKMS, AutoEncryption: true}, sse.None, ""},
		{sse.GetObject, nil, sse.RequestOptions{Default: bucketKMS, AutoEncryption: true}, sse.None, ""},
	} {
		r, err := sse.ParseRequest(test.op, object, test.headers, &test.o)
		if err != nil || r.Method != test.want || r.KMSKeyID != test.keyID {
			t.Errorf("operation %d, %v, %+v: %v %q, %v", test.op, test.headers, test.o, r.Method, r.KMSKeyID, err)
		}
	}
}

// rule is a bucket's configuration with one rule.
func rule(inner string) string {
	return `<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ApplyServerSideEncryptionByDefault>` + inner + `</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>`
}

// TestBucketEncryption is SSE spec section 16, case 13.
func TestBucketEncryption(t *testing.T) {
	const aes, kmsAlgorithm = "<SSEAlgorithm>AES256</SSEAlgorithm>", "<SSEAlgorithm>aws:kms</SSEAlgorithm>"
	id := func(s string) string { return "<KMSMasterKeyID>" + s + "</KMSMasterKeyID>" }
	for _, test := range []struct {
		name, text string
		want       sse.BucketEncryption
		refused    string
	}{
		{"AES256", rule(aes), sse.BucketEncryption{Method: sse.S3}, ""},
		{"no namespace", strings.Replace(rule(aes), ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`, "", 1), sse.BucketEncryption{Method: sse.S3}, ""},
		{"declaration", `<?xml version="1.0" encoding="UTF-8"?>` + rule(aes) + "\n", sse.BucketEncryption{Method: sse.S3}, ""},
		{"key", rule(kmsAlgorithm + id("my-key")), sse.BucketEncryption{Method: sse.KMS, KMSKeyID: "my-key"}, ""},
		{"ARN", rule(kmsAlgorithm + id("arn:aws:kms:a&amp;b")), sse.BucketEncryption{Method: sse.KMS, KMSKeyID: "arn:aws:kms:a&b"}, ""},
		{"key with AES256", rule(aes + id("k")), sse.BucketEncryption{}, "with aws:kms only"},
		{"no key", rule(kmsAlgorithm), sse.BucketEncryption{}, "MasterKeyID is missing"},
		{"bare ARN", rule(kmsAlgorithm + id("arn:aws:kms:")), sse.BucketEncryption{}, "MasterKeyID is missing"},
		{"outer space", rule(kmsAlgorithm + id(" k")), sse.BucketEncryption{}, "unsupported characters"},
		{"lower case", rule("<SSEAlgorithm>aes256</SSEAlgorithm>"), sse.BucketEncryption{}, "Unknown SSE algorithm"},
		{"DSSE", rule("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>" + id("k")), sse.BucketEncryption{}, "Unknown SSE algorithm"},
		{"no algorithm", rule(""), sse.BucketEncryption{}, "Unknown SSE algorithm"},
		{"no rule", "<ServerSideEncryptionConfiguration/>", sse.BucketEncryption{}, "only one"},
		{"two rules", strings.Replace(rule(aes), "<Rule>", "<Rule></Rule><Rule>", 1), sse.BucketEncryption{}, "only one"},
		{"empty rule", "<ServerSideEncryptionConfiguration><Rule/></ServerSideEncryptionConfiguration>", sse.BucketEncryption{}, "is missing"},
		{"another root", "<Rule/>", sse.BucketEncryption{}, "not well-formed"},
		{"another namespace", strings.Replace(rule(aes), "2006-03-01", "2007-03-01", 1), sse.BucketEncryption{}, "not well-formed"},
		{"nothing", "", sse.BucketEncryption{}, "not well-formed"},
		{"no XML", "{}", sse.BucketEncryption{}, "not well-formed"},
		{"a second document", rule(aes) + rule(aes), sse.BucketEncryption{}, "not well-formed"},
		{"something behind", rule(aes) + "x", sse.BucketEncryption{}, "not well-formed"},
		{"broken behind", rule(aes) + "<", sse.BucketEncryption{}, "not well-formed"},
		{"too long", rule(aes) + strings.Repeat(" ", 64<<10), sse.BucketEncryption{}, "too long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := sse.ParseBucketEncryption([]byte(test.text))
			if test.refused != "" {
				if r := sse.ErrorResponse(err); !errors.Is(err, sse.ErrInvalidRequest) || r.Code != "MalformedXML" || !strings.Contains(r.Message, test.refused) {
					t.Fatalf("%+v, %v; want a refusal with %q", got, err, test.refused)
				}
				return
			}
			if err != nil || got != test.want {
				t.Fatalf("%+v, %v; want %+v", got, err, test.want)
			}
			r, err := sse.ParseRequest(sse.PutObject, object, nil, &sse.RequestOptions{Default: got})
			if want := strings.TrimPrefix(got.KMSKeyID, "arn:aws:kms:"); err != nil || r.Method != got.Method || r.KMSKeyID != want {
				t.Errorf("an object gets %v under %q, %v; want %q", r.Method, r.KMSKeyID, err, want)
			}
			text, err := got.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if again, err := sse.ParseBucketEncryption(text); err != nil || again != got {
				t.Errorf("%s is %+v, %v", text, again, err)
			}
		})
	}
	if _, err := (sse.BucketEncryption{}).Marshal(); !errors.Is(err, sse.ErrNoBucketEncryption) {
		t.Error(err)
	}
	for _, b := range []sse.BucketEncryption{{Method: sse.C}, {Method: sse.KMS}, {Method: sse.KMS, KMSKeyID: "arn:aws:kms:"}, {Method: sse.KMS, KMSKeyID: "k "}, {Method: sse.KMS, KMSKeyID: "arn:aws:kms: k"}, {Method: sse.S3, KMSKeyID: "k"}, {Method: sse.S3, KMSKeyID: "arn:aws:kms:"}} {
		if _, err := b.Marshal(); !errors.Is(err, sse.ErrInvalidRequest) || errors.Is(err, sse.ErrNoBucketEncryption) {
			t.Errorf("%+v: %v", b, err)
		}
	}
}

func TestBucketEncryptionVerify(t *testing.T) {
	for _, test := range []struct {
		b    sse.BucketEncryption
		c    *kms.Client
		want error
	}{
		{sse.BucketEncryption{Method: sse.S3}, newClient(t), nil},
		{sse.BucketEncryption{Method: sse.S3}, nil, kms.ErrNotConfigured},
		{sse.BucketEncryption{Method: sse.KMS, KMSKeyID: "two"}, newClient(t), nil},
		{sse.BucketEncryption{Method: sse.KMS, KMSKeyID: "arn:aws:kms:two"}, newClient(t), nil},
		{sse.BucketEncryption{Method: sse.KMS, KMSKeyID: "three"}, newClient(t), kms.ErrKeyNotFound},
		{sse.BucketEncryption{Method: sse.KMS, KMSKeyID: "two"}, nil, kms.ErrNotConfigured},
	} {
		if err := test.b.Verify(background, test.c); !errors.Is(err, test.want) {
			t.Errorf("%+v: %v, want %v", test.b, err, test.want)
		}
	}
}

func TestStorableHeaders(t *testing.T) {
	for name, want := range map[string]bool{
		"Content-Type": true, "x-amz-meta-colour": true, "x-amz-meta-etag": true,
		"etag": false, "ETag": false, amz: false, strings.ToLower(amz) + "-customer-key": false,
		"x-amz-copy-source-server-side-encryption-customer-key": false,
		"X-Amz-Meta-X-Amz-Unencrypted-Content-Length":           false, "x-amz-meta-x-amz-unencrypted-content-md5": false,
		"X-Amz-Meta-X-Minio-Internal-Crc": false, metaIV: false,
	} {
		if sse.IsStorable(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// TestMetadataAnswers: malformed keys and damaged objects have answers of their
// own (SSE spec section 11.1).
func TestMetadataAnswers(t *testing.T) {
	c := newClient(t)
	good := seal(t, c, sse.Request{Method: sse.S3}, object, []byte("data"), nil)
	for name, test := range map[string]struct {
		entry, value, code string
	}{
		"IV":             {metaIV, "x", "XMinioEncryptionError"},
		"ETag":           {"etag", "a-b-c", "XMinioObjectTampered"},
		"size":           {metaActual, "-1", "XMinioObjectTampered"},
		"no sealed key":  {metaS3, "", "XMinioObjectTampered"},
		"compression":    {metaComp, "zstd", "NotImplemented"},
		"seal algorithm": {"X-Minio-Internal-Server-Side-Encryption-Seal-Algorithm", "ROT13", "XMinioEncryptionError"},
	} {
		s := good
		if s.Metadata = with(good.Metadata, test.entry, test.value); test.value == "" {
			delete(s.Metadata, test.entry)
		}
		obj, err := s.open(c, object, nil)
		if err == nil {
			_, err = obj.ETag()
		}
		if r := sse.ErrorResponse(err); r.Code != test.code {
			t.Errorf("%s: %+v for %v; want %s", name, r, err, test.code)
		}
	}
}
