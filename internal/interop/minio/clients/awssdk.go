package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// awsSDK is aws-sdk-go-v2.
type awsSDK struct {
	s3   *s3.Client
	http *http.Client // of forms
}

// newAWS returns the SDK with its own defaults: checksums are sent and checked
// wherever S3 has them.
func newAWS(s *Server, transport http.RoundTripper) (Client, error) {
	client := &http.Client{Transport: transport}
	return &awsSDK{s3.New(s3.Options{
		BaseEndpoint: aws.String(s.URL),
		Region:       s.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(s.User, s.Password, ""),
		UsePathStyle: true,
		HTTPClient:   client,
		Retryer:      aws.NopRetryer{},
		// What a configuration loaded from the environment has.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}), client}, nil
}

func (a *awsSDK) Name() string { return "aws-sdk-go-v2" }

func (a *awsSDK) Code(err error) string {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}

// fieldOf names the fields of the SDK's inputs that become request headers.
var fieldOf = map[string]string{
	headerSSE:     "ServerSideEncryption",
	headerKeyID:   "SSEKMSKeyId",
	headerContext: "SSEKMSEncryptionContext",
	"X-Amz-Server-Side-Encryption-Customer-Algorithm":             "SSECustomerAlgorithm",
	"X-Amz-Server-Side-Encryption-Customer-Key":                   "SSECustomerKey",
	"X-Amz-Server-Side-Encryption-Customer-Key-Md5":               "SSECustomerKeyMD5",
	"X-Amz-Copy-Source-Server-Side-Encryption-Customer-Algorithm": "CopySourceSSECustomerAlgorithm",
	"X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key":       "CopySourceSSECustomerKey",
	"X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key-Md5":   "CopySourceSSECustomerKeyMD5",
	"X-Amz-Copy-Source-If-Match":                                  "CopySourceIfMatch",
	"X-Amz-Copy-Source-If-None-Match":                             "CopySourceIfNoneMatch",
	"X-Amz-Copy-Source-If-Modified-Since":                         "CopySourceIfModifiedSince",
	"X-Amz-Copy-Source-If-Unmodified-Since":                       "CopySourceIfUnmodifiedSince",
	"X-Amz-Metadata-Directive":                                    "MetadataDirective",
	"X-Amz-Checksum-Mode":                                         "ChecksumMode",
	"X-Amz-Checksum-Algorithm":                                    "ChecksumAlgorithm",
	"X-Amz-Checksum-Type":                                         "ChecksumType",
	"X-Amz-Checksum-Crc32":                                        "ChecksumCRC32",
	"X-Amz-Checksum-Crc32c":                                       "ChecksumCRC32C",
	"X-Amz-Checksum-Crc64nvme":                                    "ChecksumCRC64NVME",
	"X-Amz-Checksum-Sha1":                                         "ChecksumSHA1",
	"X-Amz-Checksum-Sha256":                                       "ChecksumSHA256",
	"Content-Md5":                                                 "ContentMD5",
	"Content-Type":                                                "ContentType",
	"If-Match":                                                    "IfMatch",
	"If-None-Match":                                               "IfNoneMatch",
	"If-Modified-Since":                                           "IfModifiedSince",
	"If-Unmodified-Since":                                         "IfUnmodifiedSince",
	"Range":                                                       "Range",
}

// errCannot is returned for a call that a client's own types do not allow.
var errCannot = errors.New("the client cannot say this")

// fill sets the fields of an input that stand for headers. What this operation of
// the SDK has no field for is left out where S3 ignores it too: the encryption of
// parts and of reads.
func fill(in any, header map[string]string) error {
	v := reflect.ValueOf(in).Elem()
	for name, value := range header {
		if after, ok := strings.CutPrefix(name, "X-Amz-Meta-"); ok {
			meta := v.FieldByName("Metadata")
			if !meta.IsValid() {
				return fmt.Errorf("%s: %w", name, errCannot)
			}
			if meta.IsNil() {
				meta.Set(reflect.ValueOf(map[string]string{}))
			}
			meta.SetMapIndex(reflect.ValueOf(after), reflect.ValueOf(value))
			continue
		}
		f := v.FieldByName(fieldOf[name])
		if !f.IsValid() {
			return fmt.Errorf("%s: %w", name, errCannot)
		}
		switch f.Interface().(type) {
		case *string:
			f.Set(reflect.ValueOf(&value))
		case *time.Time:
			t, err := http.ParseTime(value)
			if err != nil {
				return err
			}
			f.Set(reflect.ValueOf(&t))
		default:
			f.SetString(value) // an enumeration
		}
	}
	return nil
}

// sent is every header of a call but those that an operation has no field for
// because S3 does not ask for them there.
func (c *Call) sent(in any) map[string]string {
	h := allHeaders(c)
	if c.Encryption.Scheme != C {
		for name := range c.Encryption.header(false) {
			if _, ok := reflect.TypeOf(in).Elem().FieldByName(fieldOf[name]); !ok {
				delete(h, name)
			}
		}
	}
	return h
}

func str[T ~string](s *T) string {
	if s == nil {
		return ""
	}
	return strings.Trim(string(*s), `"`)
}

func number(n *int32) int { return int(aws.ToInt32(n)) }

func partNumber(c *Call) *int32 {
	if c.PartNumber == 0 {
		return nil
	}
	return aws.Int32(int32(max(0, c.PartNumber)))
}

// do fills an input and sends it.
func do[I, O any](ctx context.Context, c *Call, in *I, call func(context.Context, *I, ...func(*s3.Options)) (*O, error)) (*O, error) {
	if err := fill(in, c.sent(in)); err != nil {
		return nil, err
	}
	return call(ctx, in)
}

func (a *awsSDK) Do(ctx context.Context, c *Call) (*Result, error) {
	bucket, key := aws.String(c.Bucket), aws.String(c.Key)
	switch c.Operation {
	case "CreateBucket":
		_, err := a.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
		return &Result{}, err
	case "HeadBucket":
		_, err := a.s3.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: bucket})
		return &Result{}, err
	case "DeleteBucket":
		_, err := a.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: bucket})
		return &Result{}, err
	case "PutBucketEncryption":
		apply := &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryption(c.Algorithm)}
		if c.KeyID != "" {
			apply.KMSMasterKeyID = &c.KeyID
		}
		_, err := a.s3.PutBucketEncryption(ctx, &s3.PutBucketEncryptionInput{Bucket: bucket, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
			Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: apply}},
		}})
		return &Result{}, err
	case "GetBucketEncryption":
		out, err := a.s3.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: bucket})
		if err != nil {
			return nil, err
		}
		r := &Result{}
		for _, rule := range out.ServerSideEncryptionConfiguration.Rules {
			apply := rule.ApplyServerSideEncryptionByDefault
			r.Text = strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Text, apply.SSEAlgorithm, str(apply.KMSMasterKeyID)))
		}
		return r, nil
	case "DeleteBucketEncryption":
		_, err := a.s3.DeleteBucketEncryption(ctx, &s3.DeleteBucketEncryptionInput{Bucket: bucket})
		return &Result{}, err
	case "PutObject":
		in := &s3.PutObjectInput{Bucket: bucket, Key: key, Body: bytes.NewReader(c.Body), ContentType: aws.String("application/x-clients"),
			ChecksumAlgorithm: types.ChecksumAlgorithm(c.Trailer), Metadata: map[string]string{"Owner": "clients"}}
		out, err := do(ctx, c, in, a.s3.PutObject)
		if err != nil {
			return nil, err
		}
		return &Result{ETag: str(out.ETag)}, nil
	case "GetObject":
		out, err := do(ctx, c, &s3.GetObjectInput{Bucket: bucket, Key: key, PartNumber: partNumber(c)}, a.s3.GetObject)
		if err != nil {
			return nil, err
		}
		defer out.Body.Close()
		data, err := io.ReadAll(out.Body)
		return &Result{ETag: str(out.ETag), Body: data}, err
	case "HeadObject":
		out, err := do(ctx, c, &s3.HeadObjectInput{Bucket: bucket, Key: key, PartNumber: partNumber(c)}, a.s3.HeadObject)
		if err != nil {
			return nil, err
		}
		return &Result{ETag: str(out.ETag)}, nil
	case "GetObjectAttributes":
		in := &s3.GetObjectAttributesInput{Bucket: bucket, Key: key, ObjectAttributes: types.ObjectAttributes("").Values()}
		out, err := do(ctx, c, in, a.s3.GetObjectAttributes)
		if err != nil {
			return nil, err
		}
		r := &Result{ETag: str(out.ETag)}
		count := 0
		if out.ObjectParts != nil {
			count = number(out.ObjectParts.TotalPartsCount)
			for _, p := range out.ObjectParts.Parts {
				r.Parts = append(r.Parts, Part{Number: number(p.PartNumber), Size: aws.ToInt64(p.Size)})
			}
		}
		r.Text = fmt.Sprintf("size %d; %d parts", aws.ToInt64(out.ObjectSize), count)
		return r, nil
	case "DeleteObject":
		_, err := do(ctx, c, &s3.DeleteObjectInput{Bucket: bucket, Key: key}, a.s3.DeleteObject)
		return &Result{}, err
	case "DeleteObjects":
		in := &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{}}
		for _, k := range c.Keys {
			in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{Key: aws.String(k)})
		}
		out, err := a.s3.DeleteObjects(ctx, in)
		if err != nil {
			return nil, err
		}
		r := &Result{}
		for _, d := range out.Deleted {
			r.Entries = append(r.Entries, Entry{Key: str(d.Key)})
		}
		for _, e := range out.Errors {
			r.Text += str(e.Code)
		}
		return r, nil
	case "CopyObject":
		out, err := do(ctx, c, &s3.CopyObjectInput{Bucket: bucket, Key: key, CopySource: &c.Source}, a.s3.CopyObject)
		if err != nil {
			return nil, err
		}
		return &Result{ETag: str(out.CopyObjectResult.ETag), Shown: told(out.CopyObjectResult)}, nil
	case "ListObjectsV2":
		in := &s3.ListObjectsV2Input{Bucket: bucket, Prefix: &c.Prefix}
		if c.Delimiter != "" {
			in.Delimiter = &c.Delimiter
		}
		if c.After != "" {
			in.StartAfter = &c.After
		}
		if c.Max > 0 {
			in.MaxKeys = aws.Int32(int32(c.Max))
		}
		out, err := a.s3.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, err
		}
		return listedAWS(out.Contents, out.CommonPrefixes, out.IsTruncated), nil
	case "ListObjects":
		in := &s3.ListObjectsInput{Bucket: bucket, Prefix: &c.Prefix}
		if c.Delimiter != "" {
			in.Delimiter = &c.Delimiter
		}
		if c.After != "" {
			in.Marker = &c.After
		}
		if c.Max > 0 {
			in.MaxKeys = aws.Int32(int32(c.Max))
		}
		out, err := a.s3.ListObjects(ctx, in)
		if err != nil {
			return nil, err
		}
		return listedAWS(out.Contents, out.CommonPrefixes, out.IsTruncated), nil
	case "PostObject":
		return a.post(ctx, c)
	case "PresignedGet":
		req, err := s3.NewPresignClient(a.s3).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
		if err != nil {
			return nil, err
		}
		return getURL(ctx, a.http, req.URL)
	}
	return a.multipart(ctx, c)
}

func listedAWS(contents []types.Object, prefixes []types.CommonPrefix, truncated *bool) *Result {
	r := &Result{}
	for _, o := range contents {
		r.Entries = append(r.Entries, Entry{str(o.Key), str(o.ETag), aws.ToInt64(o.Size)})
	}
	for _, p := range prefixes {
		r.Entries = append(r.Entries, Entry{Key: str(p.Prefix)})
	}
	if aws.ToBool(truncated) {
		r.Text = "truncated"
	}
	return r
}

func (a *awsSDK) post(ctx context.Context, c *Call) (*Result, error) {
	extra := c.Encryption.header(false)
	maps.Copy(extra, c.Header)
	extra["Content-Type"] = "application/x-clients"
	conditions := []any{[]any{"content-length-range", 0, 10 << 20}}
	for name, value := range extra {
		conditions = append(conditions, map[string]string{strings.ToLower(name): value})
	}
	form, err := s3.NewPresignClient(a.s3).PresignPostObject(ctx, &s3.PutObjectInput{Bucket: &c.Bucket, Key: &c.Key}, func(o *s3.PresignPostOptions) { o.Conditions = conditions })
	if err != nil {
		return nil, err
	}
	maps.Copy(form.Values, extra)
	return postForm(ctx, a.http, form.URL, form.Values, c.Body)
}

func (a *awsSDK) multipart(ctx context.Context, c *Call) (*Result, error) {
	bucket, key, upload := aws.String(c.Bucket), aws.String(c.Key), aws.String(c.Upload)
	algorithm := types.ChecksumAlgorithm(c.Checksum)
	kind := types.ChecksumType("")
	if c.Checksum != "" {
		kind = types.ChecksumTypeComposite
		if c.FullObject {
			kind = types.ChecksumTypeFullObject
		}
	}
	switch c.Operation {
	case "CreateMultipartUpload":
		in := &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key, ContentType: aws.String("application/x-clients"), Metadata: map[string]string{"Owner": "clients"},
			ChecksumAlgorithm: algorithm, ChecksumType: kind}
		out, err := do(ctx, c, in, a.s3.CreateMultipartUpload)
		if err != nil {
			return nil, err
		}
		return &Result{Upload: str(out.UploadId)}, nil
	case "UploadPart":
		in := &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: upload, PartNumber: aws.Int32(int32(max(0, c.PartNumber))), Body: bytes.NewReader(c.Body), ChecksumAlgorithm: algorithm}
		out, err := do(ctx, c, in, a.s3.UploadPart)
		if err != nil {
			return nil, err
		}
		r := &Result{ETag: str(out.ETag)}
		for name, sum := range map[string]*string{"CRC32": out.ChecksumCRC32, "CRC32C": out.ChecksumCRC32C, "CRC64NVME": out.ChecksumCRC64NVME,
			"SHA1": out.ChecksumSHA1, "SHA256": out.ChecksumSHA256} {
			if sum != nil {
				r.Algorithm, r.Checksum = name, *sum
			}
		}
		return r, nil
	case "UploadPartCopy":
		in := &s3.UploadPartCopyInput{Bucket: bucket, Key: key, UploadId: upload, PartNumber: aws.Int32(int32(max(0, c.PartNumber))), CopySource: &c.Source}
		if c.SourceRange != [2]int64{} {
			in.CopySourceRange = aws.String(fmt.Sprintf("bytes=%d-%d", c.SourceRange[0], c.SourceRange[1]))
		}
		out, err := do(ctx, c, in, a.s3.UploadPartCopy)
		if err != nil {
			return nil, err
		}
		return &Result{ETag: str(out.CopyPartResult.ETag), Shown: told(out.CopyPartResult)}, nil
	case "CompleteMultipartUpload":
		in := &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key, UploadId: upload, MultipartUpload: &types.CompletedMultipartUpload{}}
		if c.FullObject {
			in.ChecksumType = kind
		}
		for _, p := range c.Parts {
			one := types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(p.ETag)}
			if p.Checksum != "" {
				reflect.ValueOf(&one).Elem().FieldByName("Checksum" + p.Algorithm).Set(reflect.ValueOf(&p.Checksum))
			}
			in.MultipartUpload.Parts = append(in.MultipartUpload.Parts, one)
		}
		out, err := do(ctx, c, in, a.s3.CompleteMultipartUpload)
		if err != nil {
			return nil, err
		}
		return &Result{ETag: str(out.ETag), Shown: told(out)}, nil
	case "AbortMultipartUpload":
		_, err := a.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: bucket, Key: key, UploadId: upload})
		return &Result{}, err
	case "ListParts":
		out, err := do(ctx, c, &s3.ListPartsInput{Bucket: bucket, Key: key, UploadId: upload}, a.s3.ListParts)
		if err != nil {
			return nil, err
		}
		r := &Result{}
		for _, p := range out.Parts {
			r.Parts = append(r.Parts, Part{Number: number(p.PartNumber), ETag: str(p.ETag), Size: aws.ToInt64(p.Size)})
		}
		return r, nil
	case "ListMultipartUploads":
		out, err := a.s3.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: bucket, Prefix: &c.Prefix})
		if err != nil {
			return nil, err
		}
		r := &Result{}
		for _, u := range out.Uploads {
			r.Entries = append(r.Entries, Entry{Key: str(u.Key)})
		}
		return r, nil
	}
	return nil, fmt.Errorf("no call %q", c.Operation)
}

// newHash returns the hash of a checksum's name.
func newHash(algorithm string) hash.Hash { return minioChecksums[algorithm].Hasher() }
