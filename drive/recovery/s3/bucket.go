package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/tags"

	"github.com/objseal/objseal/drive/recovery"
)

// nullVersion is the id of versions from before their bucket had versioning.
const nullVersion = "null"

// A bucket is one of the target's, as far as it was looked at.
type bucket struct {
	name string

	mu        sync.Mutex
	asked     bool // whether it exists, by Holds
	exists    bool
	known     bool
	made      bool // by this run: it may get versioning
	plain     bool // versioning was asked for and refused
	versioned bool
	locked    bool
}

// bucket returns the bucket of that name, and makes it if it is missing, or gives it
// versioning if this run has made it and item needs it.
func (s *Sink) bucket(ctx context.Context, name string, item *recovery.Item) (*bucket, error) {
	b := s.named(name)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.known {
		if err := s.look(ctx, b, item); err != nil {
			return nil, err
		}
		b.known = true
	}
	if b.made && !b.versioned && !b.plain && (item.DeleteMarker || !item.IsLatest || item.VersionID != nullVersion) {
		if err := s.version(ctx, b); err != nil {
			return nil, err
		}
	}
	return &bucket{name: name, made: b.made, versioned: b.versioned, locked: b.locked}, nil
}

func (s *Sink) named(name string) *bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		b = &bucket{name: name}
		s.buckets[name] = b
	}
	return b
}

func (s *Sink) look(ctx context.Context, b *bucket, item *recovery.Item) error {
	exists, err := s.core.BucketExists(ctx, b.name)
	if err != nil {
		return err
	}
	if !exists {
		versioning, lock := !s.target.each && s.o.Versions, false
		if s.target.each && s.o.Source != nil {
			versioning, lock = s.o.Source(ctx, item.Bucket)
		}
		err := s.core.MakeBucket(ctx, b.name, minio.MakeBucketOptions{Region: s.o.Region, ObjectLocking: lock})
		if err != nil && minio.ToErrorResponse(err).Code != minio.BucketAlreadyOwnedByYou { // which another process has made meanwhile
			return err
		}
		b.made, b.versioned, b.locked = true, lock, lock
		if versioning && !lock {
			return s.version(ctx, b)
		}
		return nil
	}
	v, err := s.core.GetBucketVersioning(ctx, b.name)
	if err != nil && !lacks(err) {
		return err
	}
	b.versioned = err == nil && v.Enabled()
	if b.versioned {
		_, _, _, _, err := s.core.GetObjectLockConfig(ctx, b.name)
		b.locked = err == nil
	}
	if s.o.Resume && !b.versioned && s.empty(ctx, b.name) {
		// An earlier run has made it, and ended before it could go on.
		b.made = true
		if s.target.each && s.o.Source != nil {
			if versioning, _ := s.o.Source(ctx, item.Bucket); !versioning {
				return nil
			}
			return s.version(ctx, b)
		}
	}
	return nil
}

// version gives a bucket versioning, if the store has it.
func (s *Sink) version(ctx context.Context, b *bucket) error {
	err := s.core.EnableVersioning(ctx, b.name)
	b.versioned, b.plain = err == nil, lacks(err)
	if b.plain {
		return nil
	}
	return err
}

// empty reports whether a bucket has nothing in it.
func (s *Sink) empty(ctx context.Context, name string) bool {
	r, err := s.core.ListObjectsV2(name, "", "", "", "", 1)
	return ctx.Err() == nil && err == nil && len(r.Contents) == 0
}

// lacks reports whether a store says that it has no such thing.
func lacks(err error) bool {
	var r minio.ErrorResponse
	return errors.As(err, &r) && (r.StatusCode == http.StatusNotImplemented || r.Code == minio.NotImplemented || r.Code == minio.MethodNotAllowed)
}

const (
	userMetadata = "X-Amz-Meta-"
	lockMode     = "X-Amz-Object-Lock-Mode"
	lockUntil    = "X-Amz-Object-Lock-Retain-Until-Date"
	lockHold     = "X-Amz-Object-Lock-Legal-Hold"
)

// options are what a store is to keep with the content of item.
func (b *bucket) options(item *recovery.Item) (minio.PutObjectOptions, error) {
	o := minio.PutObjectOptions{
		ContentType:        item.ContentType,
		ContentEncoding:    item.Headers["Content-Encoding"],
		ContentDisposition: item.Headers["Content-Disposition"],
		ContentLanguage:    item.Headers["Content-Language"],
		CacheControl:       item.Headers["Cache-Control"],
		UserMetadata:       make(map[string]string),
	}
	if t := item.Headers["Expires"]; t != "" {
		o.UserMetadata["Expires"] = t // as it was: it need not be a date
	}
	for name, value := range item.UserMetadata {
		o.UserMetadata[userMetadata+name] = value // with the prefix no name means anything else
	}
	if item.Tags != "" {
		set, err := tags.ParseObjectTags(item.Tags)
		if err != nil {
			return o, fmt.Errorf("its tags are none that S3 takes: %w", err) // and would be lost without a word
		}
		o.UserTags = set.ToMap()
	}
	o.WebsiteRedirectLocation = item.Headers["X-Amz-Website-Redirect-Location"]
	if !b.locked {
		return o, nil
	}
	if until, err := time.Parse(time.RFC3339, item.Headers[lockUntil]); err == nil && time.Until(until) > 0 {
		o.Mode, o.RetainUntilDate = minio.RetentionMode(item.Headers[lockMode]), until
	}
	o.LegalHold = minio.LegalHoldStatus(item.Headers[lockHold])
	return o, nil
}
