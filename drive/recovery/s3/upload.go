package s3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"

	"github.com/objseal/objseal/drive/recovery"
)

// Sizes of parts. The limits are those of S3.
const (
	leastPart = 5 << 20
	mostPart  = 5 << 30
	mostParts = 10000
	usualPart = 16 << 20
)

// plan returns the sizes of the parts to upload; nil means a single request. A
// multipart object keeps its parts where S3 allows them. Others have parts that can be held.
func plan(item *recovery.Item, held int64) []int64 {
	if item.Size == 0 {
		return nil
	}
	if n := len(item.Parts); n > 0 && n <= mostParts {
		sizes := make([]int64, n)
		var sum int64
		fits := true
		for i, p := range item.Parts {
			sizes[i] = p.ActualSize
			if p.ActualSize > mostPart || p.ActualSize <= 0 || p.ActualSize < leastPart && i < n-1 {
				fits = false
				break
			}
			sum += p.ActualSize
		}
		if fits && sum == item.Size {
			return sizes
		}
	}
	if item.Size <= held {
		return nil
	}
	part := max(min(usualPart, held), (item.Size+mostParts-1)/mostParts)
	var sizes []int64
	for left := item.Size; left > 0; left -= part {
		sizes = append(sizes, min(part, left))
	}
	return sizes
}

// An upload stores one version.
type upload struct {
	sink   *Sink
	bucket *bucket
	key    string
	item   *recovery.Item
	body   *recovery.Body
	opts   minio.PutObjectOptions
}

var errWrongETag = errors.New("the store's ETag is not that of what was sent")

// run returns the id of the version in the target, empty without versioning.
func (u *upload) run(ctx context.Context) (string, error) {
	if !u.bucket.versioned {
		u.opts.SetMatchETagExcept("*") // what is there already is not ours to overwrite
	}
	if sizes := plan(u.item, u.sink.buffers.size); sizes != nil {
		return u.multipart(ctx, sizes)
	}
	return u.single(ctx)
}

func (u *upload) single(ctx context.Context) (string, error) {
	b, err := u.sink.buffers.take(ctx, u.item.Size)
	if err != nil {
		return "", err
	}
	defer b.giveBack()
	sum := md5.New()
	if err := b.fill(u.body, u.item.Size, sum); err != nil {
		return "", err
	}
	if u.item.Size == 0 { // nothing but its end confirms an empty body
		if _, err := io.Copy(io.Discard, u.body); err != nil {
			return "", err
		}
	}
	digest := sum.Sum(nil)
	etag := hex.EncodeToString(digest)
	if version, ok := u.stored(ctx, etag); ok {
		return version, nil
	}
	var body io.Reader = b.reader()
	if u.item.Size == 0 {
		body = strings.NewReader("")
	}
	info, err := u.sink.core.PutObject(ctx, u.bucket.name, u.key, body, u.item.Size, base64.StdEncoding.EncodeToString(digest), "", u.opts)
	if err != nil {
		return "", err
	}
	return info.VersionID, u.verify(ctx, info.ETag, etag, info.VersionID)
}

// verify compares what the store says it has with what was sent. Stores that
// encrypt under a KMS have ETags that say nothing: there the size must do.
func (u *upload) verify(ctx context.Context, got, want, version string) error {
	if strings.Trim(got, `"`) == want {
		return nil
	}
	info, err := u.sink.core.StatObject(ctx, u.bucket.name, u.key, minio.StatObjectOptions{VersionID: version})
	if err != nil {
		return err
	}
	sse := info.Metadata.Get("X-Amz-Server-Side-Encryption")
	if info.Size == u.item.Size && strings.HasPrefix(sse, "aws:kms") {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
	defer cancel()
	return errors.Join(errWrongETag, u.sink.core.RemoveObject(ctx, u.bucket.name, u.key, minio.RemoveObjectOptions{VersionID: version}))
}

// stored tells whether an earlier run has stored this as the latest version: one
// that was ended after the store had answered, and before the report said so. What the
// report has is another version with the same content.
func (u *upload) stored(ctx context.Context, etag string) (version string, ok bool) {
	if !u.sink.o.Resume {
		return "", false
	}
	info, err := u.sink.core.StatObject(ctx, u.bucket.name, u.key, minio.StatObjectOptions{})
	if err != nil || info.Size != u.item.Size || strings.Trim(info.ETag, `"`) != etag {
		return "", false
	}
	if u.sink.told(location(u.bucket.name, u.key, info.VersionID)) {
		return "", false
	}
	for name, value := range u.item.UserMetadata {
		if info.Metadata.Get(userMetadata+name) != value {
			return "", false
		}
	}
	return info.VersionID, true
}

func (u *upload) multipart(ctx context.Context, sizes []int64) (version string, err error) {
	id, err := u.sink.core.NewMultipartUpload(ctx, u.bucket.name, u.key, u.opts)
	if err != nil {
		return "", err
	}
	done := false
	defer func() {
		if done {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTimeout)
		defer cancel()
		err = errors.Join(err, u.sink.core.AbortMultipartUpload(ctx, u.bucket.name, u.key, id))
	}()
	parts, sums, err := u.parts(ctx, id, sizes)
	if err != nil {
		return "", err
	}
	whole := md5.New()
	for _, sum := range sums {
		whole.Write(sum)
	}
	etag := fmt.Sprintf("%x-%d", whole.Sum(nil), len(sums))
	if version, ok := u.stored(ctx, etag); ok {
		return version, nil
	}
	info, err := u.sink.core.CompleteMultipartUpload(ctx, u.bucket.name, u.key, id, parts, u.commit())
	if err != nil {
		return "", err
	}
	done = true
	return info.VersionID, u.verify(ctx, info.ETag, etag, info.VersionID)
}

// commit are the options of the request that makes an upload visible: the condition
// that nothing is there yet belongs to it, everything else was said at the start.
func (u *upload) commit() (o minio.PutObjectOptions) {
	if !u.bucket.versioned {
		o.SetMatchETagExcept("*")
	}
	return o
}

// parts uploads the parts, several at once as far as the buffers go.
func (u *upload) parts(ctx context.Context, id string, sizes []int64) ([]minio.CompletePart, [][]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := make([]minio.CompletePart, len(sizes))
	sums := make([][]byte, len(sizes))
	var running sync.WaitGroup // a part that arrived after the upload is given up would stay for ever
	defer running.Wait()
	send := func(n int, body io.Reader, size int64, o minio.PutObjectPartOptions) {
		p, err := u.sink.core.PutObjectPart(ctx, u.bucket.name, u.key, id, n+1, body, size, o)
		if err != nil {
			cancel(err)
			return
		}
		parts[n] = minio.CompletePart{PartNumber: n + 1, ETag: p.ETag}
	}
	for n, size := range sizes {
		if size > u.sink.buffers.size {
			sum := md5.New()
			body := streamed{r: io.TeeReader(io.LimitReader(u.body, size), sum)}
			send(n, &body, size, minio.PutObjectPartOptions{})
			if body.err != nil { // and not that of the request that it broke
				cancel(nil)
				return nil, nil, body.err
			}
			sums[n] = sum.Sum(nil)
		} else if err := u.buffered(ctx, n, size, sums, &running, send); err != nil {
			cancel(err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	running.Wait()
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return parts, sums, nil
}

// buffered reads a part and starts its upload.
func (u *upload) buffered(ctx context.Context, n int, size int64, sums [][]byte, running *sync.WaitGroup, send func(int, io.Reader, int64, minio.PutObjectPartOptions)) error {
	b, err := u.sink.buffers.take(ctx, size)
	if err != nil {
		return err
	}
	var sum hash.Hash = md5.New()
	if err := b.fill(u.body, size, sum); err != nil {
		b.giveBack()
		return err
	}
	sums[n] = sum.Sum(nil)
	running.Go(func() {
		defer b.giveBack()
		send(n, b.reader(), size, minio.PutObjectPartOptions{Md5Base64: base64.StdEncoding.EncodeToString(sums[n])})
	})
	return nil
}

// streamed is the body of a part that is not held. It cannot be wound back, and
// keeps what went wrong with the content.
type streamed struct {
	r   io.Reader
	err error
}

func (s *streamed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
