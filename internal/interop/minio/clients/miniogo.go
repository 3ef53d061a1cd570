package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"
	"github.com/minio/minio-go/v7/pkg/sse"
)

// minioGo is minio-go.
type minioGo struct {
	core *minio.Core
	http *http.Client // of forms
}

// newMinioGo returns minio-go with a transport; it sends checksums behind bodies,
// as servers of today allow.
func newMinioGo(s *Server, transport http.RoundTripper) (Client, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds:           credentials.NewStaticV4(s.User, s.Password, ""),
		Region:          s.Region,
		Secure:          u.Scheme == "https",
		Transport:       transport,
		TrailingHeaders: true,
		MaxRetries:      1,
	})
	if err != nil {
		return nil, err
	}
	return &minioGo{core, &http.Client{Transport: transport}}, nil
}

func (m *minioGo) Name() string { return "minio-go" }

func (m *minioGo) Code(err error) string {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}

// sent is a ServerSide that sets any headers at all.
type sent struct {
	kind   encrypt.Type
	header map[string]string
}

func (s sent) Type() encrypt.Type { return s.kind }

func (s sent) Marshal(h http.Header) {
	for k, v := range s.header {
		h.Set(k, v)
	}
}

// encryption returns what minio-go has for a scheme, or, for what it refuses to
// send and for further headers, something that sends just that.
func encryption(e Encryption, header map[string]string) (encrypt.ServerSide, error) {
	if len(header) == 0 && (e.Scheme != C || len(e.CustomerKey) == 32) {
		switch e.Scheme {
		case S3:
			return encrypt.NewSSE(), nil
		case KMS:
			if e.Context == nil {
				return encrypt.NewSSEKMS(e.KeyID, nil)
			}
			return encrypt.NewSSEKMS(e.KeyID, e.Context)
		case C:
			return encrypt.NewSSEC(e.CustomerKey)
		case None, "":
			return nil, nil
		}
	}
	all := e.header(false)
	maps.Copy(all, header)
	return sent{encrypt.SSEC, all}, nil // the kind that goes with every request
}

// allHeaders are those of target and source.
func allHeaders(c *Call) map[string]string {
	h := c.Encryption.header(false)
	maps.Copy(h, c.SourceEncryption.header(true))
	maps.Copy(h, c.Header)
	return h
}

var minioChecksums = map[string]minio.ChecksumType{
	"CRC32": minio.ChecksumCRC32, "CRC32C": minio.ChecksumCRC32C, "SHA1": minio.ChecksumSHA1,
	"SHA256": minio.ChecksumSHA256, "CRC64NVME": minio.ChecksumCRC64NVME,
}

func (m *minioGo) Do(ctx context.Context, c *Call) (*Result, error) {
	switch c.Operation {
	case "CreateBucket":
		return &Result{}, m.core.MakeBucket(ctx, c.Bucket, minio.MakeBucketOptions{})
	case "HeadBucket":
		found, err := m.core.BucketExists(ctx, c.Bucket)
		return &Result{Text: fmt.Sprint(found)}, err
	case "DeleteBucket":
		return &Result{}, m.core.RemoveBucket(ctx, c.Bucket)
	case "PutBucketEncryption":
		rule := &sse.Configuration{Rules: []sse.Rule{{Apply: sse.ApplySSEByDefault{SSEAlgorithm: c.Algorithm, KmsMasterKeyID: c.KeyID}}}}
		return &Result{}, m.core.SetBucketEncryption(ctx, c.Bucket, rule)
	case "GetBucketEncryption":
		config, err := m.core.GetBucketEncryption(ctx, c.Bucket)
		if err != nil {
			return nil, err
		}
		var text strings.Builder
		for _, r := range config.Rules {
			fmt.Fprintf(&text, "%s %s", r.Apply.SSEAlgorithm, r.Apply.KmsMasterKeyID)
		}
		return &Result{Text: strings.TrimSpace(text.String())}, nil
	case "DeleteBucketEncryption":
		return &Result{}, m.core.RemoveBucketEncryption(ctx, c.Bucket)
	case "PutObject":
		return m.put(ctx, c)
	case "GetObject", "HeadObject":
		return m.get(ctx, c)
	case "GetObjectAttributes":
		return m.attributes(ctx, c)
	case "DeleteObject":
		return &Result{}, m.core.RemoveObject(ctx, c.Bucket, c.Key, minio.RemoveObjectOptions{})
	case "DeleteObjects":
		return m.deleteAll(ctx, c)
	case "CopyObject":
		bucket, key, _ := strings.Cut(c.Source, "/")
		info, err := m.core.CopyObject(ctx, bucket, key, c.Bucket, c.Key, allHeaders(c), minio.CopySrcOptions{}, minio.PutObjectOptions{})
		return &Result{ETag: trim(info.ETag)}, err
	case "ListObjectsV2":
		list, err := m.core.ListObjectsV2(c.Bucket, c.Prefix, c.After, "", c.Delimiter, c.Max)
		return listed(list.Contents, list.CommonPrefixes, list.IsTruncated), err
	case "ListObjects":
		list, err := m.core.ListObjects(c.Bucket, c.Prefix, c.After, c.Delimiter, c.Max)
		return listed(list.Contents, list.CommonPrefixes, list.IsTruncated), err
	case "PostObject":
		return m.post(ctx, c)
	case "PresignedGet":
		u, err := m.core.PresignedGetObject(ctx, c.Bucket, c.Key, time.Hour, nil)
		if err != nil {
			return nil, err
		}
		return getURL(ctx, m.http, u.String())
	}
	return m.multipart(ctx, c)
}

func listed(contents []minio.ObjectInfo, prefixes []minio.CommonPrefix, truncated bool) *Result {
	r := &Result{}
	for _, o := range contents {
		r.Entries = append(r.Entries, Entry{o.Key, strings.Trim(o.ETag, `"`), o.Size})
	}
	for _, p := range prefixes {
		r.Entries = append(r.Entries, Entry{Key: p.Prefix})
	}
	if truncated {
		r.Text = "truncated"
	}
	return r
}

func (m *minioGo) put(ctx context.Context, c *Call) (*Result, error) {
	o := minio.PutObjectOptions{ContentType: "application/x-clients", UserMetadata: map[string]string{"Owner": "clients"}}
	header := maps.Clone(c.Header)
	for name, value := range c.Header {
		switch {
		case name == "If-Match":
			o.SetMatchETag(strings.Trim(value, `"`))
		case name == "If-None-Match":
			o.SetMatchETagExcept(strings.Trim(value, `"`))
		case strings.HasPrefix(name, "X-Amz-Checksum-"):
			o.UserMetadata[name] = value
		case name == "Content-Md5":
		default:
			continue
		}
		delete(header, name)
	}
	if c.Trailer != "" {
		o.Checksum = minioChecksums[c.Trailer]
	}
	var err error
	if o.ServerSideEncryption, err = encryption(c.Encryption, header); err != nil {
		return nil, err
	}
	info, err := m.core.PutObject(ctx, c.Bucket, c.Key, bytes.NewReader(c.Body), int64(len(c.Body)), c.Header["Content-Md5"], "", o)
	return &Result{ETag: info.ETag}, err
}

func (m *minioGo) get(ctx context.Context, c *Call) (*Result, error) {
	o := minio.GetObjectOptions{}
	rest := make(map[string]string)
	for name, value := range c.Header {
		switch {
		case name == "X-Amz-Checksum-Mode":
			o.Checksum = true
		case strings.HasPrefix(name, "X-Amz-Server-Side-Encryption"):
			rest[name] = value // their order with the scheme's own matters
		default:
			o.Set(name, value)
		}
	}
	switch {
	case c.PartNumber > 0:
		o.PartNumber = c.PartNumber
	case c.PartNumber < 0:
		o.SetReqParam("partNumber", "0")
	}
	var err error
	if c.Encryption.Scheme != None && c.Encryption.Scheme != "" || len(rest) > 0 {
		if o.ServerSideEncryption, err = encryption(c.Encryption, rest); err != nil {
			return nil, err
		}
		if s := o.ServerSideEncryption; s.Type() != encrypt.SSEC { // these do not go with a GET by themselves
			o.ServerSideEncryption = sent{encrypt.SSEC, c.Encryption.header(false)}
		}
	}
	if c.Operation == "HeadObject" {
		info, err := m.core.StatObject(ctx, c.Bucket, c.Key, o)
		return &Result{ETag: info.ETag}, err
	}
	body, info, _, err := m.core.GetObject(ctx, c.Bucket, c.Key, o)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	return &Result{ETag: info.ETag, Body: data}, err
}

func (m *minioGo) attributes(ctx context.Context, c *Call) (*Result, error) {
	o := minio.ObjectAttributesOptions{}
	var err error
	if c.Encryption.Scheme == C {
		if o.ServerSideEncryption, err = encryption(c.Encryption, nil); err != nil {
			return nil, err
		}
	}
	a, err := m.core.GetObjectAttributes(ctx, c.Bucket, c.Key, o)
	if err != nil {
		return nil, err
	}
	r := &Result{ETag: a.ETag, Text: fmt.Sprintf("size %d; %d parts", a.ObjectSize, a.ObjectParts.PartsCount)}
	for _, p := range a.ObjectParts.Parts {
		r.Parts = append(r.Parts, Part{Number: p.PartNumber, Size: int64(p.Size)})
	}
	return r, nil
}

func (m *minioGo) deleteAll(ctx context.Context, c *Call) (*Result, error) {
	names := make(chan minio.ObjectInfo, len(c.Keys))
	for _, k := range c.Keys {
		names <- minio.ObjectInfo{Key: k}
	}
	close(names)
	r := &Result{}
	for one := range m.core.RemoveObjectsWithResult(ctx, c.Bucket, names, minio.RemoveObjectsOptions{}) {
		if one.Err != nil {
			return nil, one.Err
		}
		r.Entries = append(r.Entries, Entry{Key: one.ObjectName})
	}
	return r, nil
}

func (m *minioGo) post(ctx context.Context, c *Call) (*Result, error) {
	p := minio.NewPostPolicy()
	err := errors.Join(p.SetBucket(c.Bucket), p.SetKey(c.Key), p.SetExpires(time.Now().Add(time.Hour)), p.SetContentType("application/x-clients"),
		p.SetContentLengthRange(0, 10<<20))
	if err != nil {
		return nil, err
	}
	// Not SetEncryption: it sets fields that its policy does not allow.
	fields := c.Encryption.header(false)
	maps.Copy(fields, c.Header)
	for name, value := range fields {
		if err := p.SetUserData(strings.TrimPrefix(strings.ToLower(name), "x-amz-"), value); err != nil {
			return nil, err
		}
	}
	u, fields, err := m.core.PresignedPostPolicy(ctx, p)
	if err != nil {
		return nil, err
	}
	return postForm(ctx, m.http, u.String(), fields, c.Body)
}

func (m *minioGo) multipart(ctx context.Context, c *Call) (*Result, error) {
	e, err := encryption(c.Encryption, c.Header)
	if err != nil {
		return nil, err
	}
	switch c.Operation {
	case "CreateMultipartUpload":
		o := minio.PutObjectOptions{ServerSideEncryption: e, ContentType: "application/x-clients", UserMetadata: map[string]string{"Owner": "clients"}}
		if c.Checksum != "" {
			o.UserMetadata["X-Amz-Checksum-Algorithm"] = c.Checksum
			if c.FullObject {
				o.UserMetadata["X-Amz-Checksum-Type"] = "FULL_OBJECT"
			}
		}
		id, err := m.core.NewMultipartUpload(ctx, c.Bucket, c.Key, o)
		return &Result{Upload: id}, err
	case "UploadPart":
		header := make(http.Header)
		if c.Checksum != "" {
			h := minioChecksums[c.Checksum].Hasher()
			h.Write(c.Body)
			header.Set(minioChecksums[c.Checksum].Key(), base64Of(h.Sum(nil)))
		}
		o := minio.PutObjectPartOptions{SSE: e, CustomHeader: header, Md5Base64: c.Header["Content-Md5"]}
		if c.Header["Content-Md5"] != "" {
			if o.SSE, err = encryption(c.Encryption, nil); err != nil {
				return nil, err
			}
		}
		p, err := m.core.PutObjectPart(ctx, c.Bucket, c.Key, c.Upload, max(0, c.PartNumber), bytes.NewReader(c.Body), int64(len(c.Body)), o)
		r := &Result{ETag: p.ETag}
		if c.Checksum != "" {
			r.Checksum = header.Get(minioChecksums[c.Checksum].Key())
		}
		return r, err
	case "UploadPartCopy":
		bucket, key, _ := strings.Cut(c.Source, "/")
		length := int64(-1)
		if c.SourceRange != [2]int64{} {
			length = c.SourceRange[1] - c.SourceRange[0] + 1
		}
		p, err := m.core.CopyObjectPart(ctx, bucket, key, c.Bucket, c.Key, c.Upload, max(0, c.PartNumber), c.SourceRange[0], length, allHeaders(c))
		return &Result{ETag: trim(p.ETag), Shown: told(&p)}, err
	case "CompleteMultipartUpload":
		var parts []minio.CompletePart
		for _, p := range c.Parts {
			one := minio.CompletePart{PartNumber: p.Number, ETag: p.ETag}
			switch c.Checksum {
			case "CRC32":
				one.ChecksumCRC32 = p.Checksum
			case "CRC32C":
				one.ChecksumCRC32C = p.Checksum
			case "SHA1":
				one.ChecksumSHA1 = p.Checksum
			case "SHA256":
				one.ChecksumSHA256 = p.Checksum
			case "CRC64NVME":
				one.ChecksumCRC64NVME = p.Checksum
			}
			parts = append(parts, one)
		}
		o := minio.PutObjectOptions{ServerSideEncryption: e}
		if c.FullObject {
			o.UserMetadata = map[string]string{"X-Amz-Checksum-Type": "FULL_OBJECT"}
		}
		info, err := m.core.CompleteMultipartUpload(ctx, c.Bucket, c.Key, c.Upload, parts, o)
		return &Result{ETag: info.ETag, Shown: told(&info)}, err
	case "AbortMultipartUpload":
		return &Result{}, m.core.AbortMultipartUpload(ctx, c.Bucket, c.Key, c.Upload)
	case "ListParts":
		list, err := m.core.ListObjectParts(ctx, c.Bucket, c.Key, c.Upload, 0, 1000)
		r := &Result{}
		for _, p := range list.ObjectParts {
			r.Parts = append(r.Parts, Part{Number: p.PartNumber, ETag: strings.Trim(p.ETag, `"`), Size: p.Size})
		}
		return r, err
	case "ListMultipartUploads":
		list, err := m.core.ListMultipartUploads(ctx, c.Bucket, c.Prefix, "", "", "", 1000)
		r := &Result{}
		for _, u := range list.Uploads {
			r.Entries = append(r.Entries, Entry{Key: u.Key})
		}
		return r, err
	}
	return nil, fmt.Errorf("no call %q", c.Operation)
}
