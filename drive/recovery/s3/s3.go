// Package s3 is where recovered versions go into another S3 store, straight from
// the drives of the dead one.
//
// Start with [New]; the result is a recovery.Sink:
//
//	version ──► buffer of the part's size ──► MD5 ──► PUT, checked by the store ──► ETag compared
//
// # What is kept, and what is not
//
// Content, content type and the other HTTP headers, user metadata and tags. A
// multipart object is uploaded in the parts it had, so that it gets the ETag that
// clients knew, unless the store encrypts under a KMS. In buckets with versioning the
// versions come in their order, with delete markers; they get new ids and times,
// and the report says which. Buckets that are missing are made, as
// [Options.Source] says, or with versioning when a version needs it. In a bucket
// without versioning that was there before only latest versions are stored, and nothing is
// overwritten. Retention and legal hold are kept where the bucket has object lock.
//
// # Bounds
//
// All uploads together hold 64 MiB of parts. Parts that are larger are streamed,
// and not tried again if the connection breaks.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/objseal/objseal/drive/recovery"
)

// Options are the settings of New.
type Options struct {
	// Endpoint is the URL of the store; its path is not looked at.
	Endpoint string
	// AccessKey, SecretKey and, for temporary credentials, SessionToken.
	AccessKey, SecretKey, SessionToken string
	// Region of the store; empty asks it.
	Region string
	// Transport makes the requests; nil is one with the defaults of minio-go.
	Transport http.RoundTripper
	// Source tells of a bucket on the drives whether its copy is to have versioning
	// and object lock. It is asked once for each bucket that is made, and not where
	// all go into one. Nil means neither.
	Source func(ctx context.Context, bucket string) (versioning, lock bool)
	// Versions are to come, not only latest ones: where all go into one bucket,
	// it is made with versioning.
	Versions bool
	// Resume looks, before something is stored, whether an earlier run has
	// stored it already and was ended before it could say so.
	Resume bool
}

// ErrInvalidTarget: not a URL that names a place for buckets.
var ErrInvalidTarget = errors.New("not an S3 target: use s3://BUCKET/PREFIX for one bucket, or s3://* or s3://NAME-* for one for each")

// A Target says where buckets go.
type Target struct {
	pattern string // name of the bucket, with a * where the name of the source bucket goes
	prefix  string // of the keys
	each    bool   // a bucket for each
}

// ParseTarget reads a target:
//
//	s3://            each bucket under its own name; s3://* is the same
//	s3://old-*       each bucket under its own name behind old-
//	s3://one         all into this bucket, keys begin with the name of the source bucket
//	s3://one/a/b     the same, behind a/b/
func ParseTarget(text string) (Target, error) {
	rest, ok := strings.CutPrefix(text, "s3://")
	if !ok {
		return Target{}, fmt.Errorf("%w: %q", ErrInvalidTarget, text)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if bucket == "" {
		bucket = "*"
	}
	t := Target{pattern: bucket, each: strings.Contains(bucket, "*")}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		t.prefix = prefix + "/"
	}
	if strings.Count(bucket, "*") > 1 {
		return Target{}, fmt.Errorf("%w: %q", ErrInvalidTarget, text)
	}
	return t, nil
}

// place returns where an object goes.
func (t Target) place(bucket, object string) (string, string) {
	if t.each {
		return strings.Replace(t.pattern, "*", bucket, 1), t.prefix + object
	}
	return t.pattern, t.prefix + bucket + "/" + object
}

// A Sink stores versions. It is a recovery.ResumableSink.
type Sink struct {
	core    *minio.Core
	target  Target
	o       Options
	buffers *buffers

	mu      sync.Mutex
	buckets map[string]*bucket
	earlier []uint64 // hashes of what Holds was asked for
	sorted  bool
}

var _ recovery.ResumableSink = (*Sink)(nil)

// New returns a Sink. It makes no request.
func New(t Target, o Options) (*Sink, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, errors.New("the endpoint of an S3 store is an URL such as https://s3.example.com:9000") // which may hold a password: not shown
	}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds:     credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken),
		Secure:    u.Scheme == "https",
		Region:    o.Region,
		Transport: o.Transport,
	})
	if err != nil {
		return nil, fmt.Errorf("failed to use the S3 store: %w", err)
	}
	return &Sink{core: core, target: t, o: o, buffers: newBuffers(chunkSize, chunkCount), buckets: make(map[string]*bucket)}, nil
}

// Put stores a version; path is s3://bucket/key, with the id of the version that it
// became.
func (s *Sink) Put(ctx context.Context, item *recovery.Item, body *recovery.Body) (path string, err error) {
	if item.UploadID != "" {
		return "", fmt.Errorf("%w: the parts of an unfinished upload", recovery.ErrNotTaken)
	}
	bucketName, key := s.target.place(item.Bucket, item.Object)
	b, err := s.bucket(ctx, bucketName, item)
	if err != nil {
		return "", failure("make bucket "+bucketName, err)
	}
	if !b.versioned && !item.IsLatest {
		return "", fmt.Errorf("%w: bucket %s has no versioning, and this is not the latest version", recovery.ErrNotTaken, bucketName)
	}
	opts, err := b.options(item)
	if err != nil {
		return "", failure(fmt.Sprintf("store %q in bucket %s", key, bucketName), err)
	}
	up := upload{sink: s, bucket: b, key: key, item: item, body: body, opts: opts}
	version, err := up.run(ctx)
	if err != nil {
		return "", failure(fmt.Sprintf("store %q in bucket %s", key, bucketName), err)
	}
	return location(bucketName, key, version), nil
}

// Delete stores a delete marker where there is versioning.
func (s *Sink) Delete(ctx context.Context, item *recovery.Item) (path string, err error) {
	bucketName, key := s.target.place(item.Bucket, item.Object)
	b, err := s.bucket(ctx, bucketName, item)
	if err != nil {
		return "", failure("make bucket "+bucketName, err)
	}
	if !b.versioned {
		return "", nil
	}
	if s.o.Resume && s.isMarker(ctx, bucketName, key) {
		return location(bucketName, key, ""), nil
	}
	if err := s.core.RemoveObject(ctx, bucketName, key, minio.RemoveObjectOptions{}); err != nil {
		return "", failure(fmt.Sprintf("delete %q in bucket %s", key, bucketName), err)
	}
	return location(bucketName, key, ""), nil
}

// Holds believes what the report of an earlier run says: it was verified then. It
// asks only whether the bucket is there.
func (s *Sink) Holds(ctx context.Context, path string, _ int64) bool {
	name, _, _, ok := parseLocation(path)
	if !ok {
		return false
	}
	s.mu.Lock()
	s.earlier, s.sorted = append(s.earlier, xxhash.Sum64String(path)), false
	s.mu.Unlock()
	b := s.named(name)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.asked {
		exists, err := s.core.BucketExists(ctx, name)
		b.asked, b.exists = err == nil, exists
	}
	return b.exists
}

// told reports whether the report of an earlier run has that place.
func (s *Sink) told(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sorted {
		slices.Sort(s.earlier)
		s.sorted = true
	}
	_, ok := slices.BinarySearch(s.earlier, xxhash.Sum64String(path))
	return ok
}

// Close ends nothing: every Put has ended its own.
func (s *Sink) Close(context.Context) error { return nil }

// isMarker reports whether the latest version of an object is a delete marker.
func (s *Sink) isMarker(ctx context.Context, bucket, key string) bool {
	info, _ := s.core.StatObject(ctx, bucket, key, minio.StatObjectOptions{}) // which fails, and tells all the same
	return info.IsDeleteMarker
}

// location is the place of a version, for reports and for parseLocation.
func location(bucket, key, version string) string {
	u := url.URL{Scheme: "s3", Host: bucket, Path: "/" + key}
	if version != "" {
		u.RawQuery = url.Values{"versionId": {version}}.Encode()
	}
	return u.String()
}

func parseLocation(path string) (bucket, key, version string, ok bool) {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "s3" || u.Host == "" || len(u.Path) < 2 {
		return "", "", "", false
	}
	return u.Host, u.Path[1:], u.Query().Get("versionId"), true
}

// failure says what failed, and whether anything else can be expected to work.
func failure(what string, err error) error {
	var r minio.ErrorResponse
	var network *url.Error
	stop := false
	switch {
	case errors.As(err, &r):
		switch r.Code {
		case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed",
			"XMinioStorageFull", "XMinioServerNotInitialized", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded":
			stop = true
		}
	case errors.As(err, &network):
		stop = network.Timeout() || !errors.Is(err, context.Canceled) // minio-go has tried it many times
	}
	if stop {
		return fmt.Errorf("failed to %s: %w: %w", what, recovery.ErrStop, err)
	}
	return fmt.Errorf("failed to %s: %w", what, err)
}

// abandonTimeout is how long the removal of what a cancelled upload left may take.
const abandonTimeout = 20 * time.Second
