//go:build unix

// Package workload fills a store with objects of every sort that MinIO has, and
// reads back all that clients can see of them.
//
// [Fill] stores, [Read] tells: what Read says before a server is stopped is what
// a recovery from its drives must find, and what another store must say that
// everything was moved to.
package workload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// Env is what a server needs for Fill, besides TLS and a key.
var Env = []string{
	"MINIO_COMPRESSION_ENABLE=on",
	"MINIO_COMPRESSION_ALLOW_ENCRYPTION=on",
	"MINIO_COMPRESSION_EXTENSIONS=.txt",
}

// The buckets of Fill: Versions has versioning, Objects has not.
const (
	Objects  = "workload-objects"
	Versions = "workload-versions"
)

// A Version is what clients see of a version.
type Version struct {
	Bucket, Object, VersionID string
	IsLatest, DeleteMarker    bool
	Size                      int64
	SHA256, ETag, ContentType string
	Header                    map[string]string // Cache-Control and the like
	UserMetadata, Tags        map[string]string
	Scheme                    string
}

// customerKeys are those of SSE-C; an object's number says which one it has.
var customerKeys = [2][32]byte{sha256.Sum256([]byte("workload key 0")), sha256.Sum256([]byte("workload key 1"))}

// An object is one name and what is done to it.
type object struct {
	bucket, name string
	number       int
	scheme       string
	compressible bool
	sizes        []int64 // of its versions, oldest first; -1 is a delete marker
	multipart    bool
}

var schemes = []string{"none", "SSE-S3", "SSE-KMS", "SSE-C"}

// usualSizes stand at the edges of what a format has: of inline data, packages,
// erasure blocks and compression.
var usualSizes = []int64{0, 1, 15, 100, 1000, 4096, 4097, 16 << 10, 65535, 65536, 65537, 128<<10 + 1, 200_000, 1<<20 - 1, 1 << 20, 1<<20 + 1, 2_500_000}

// plan is the same for the same count.
func plan(count int) []object {
	random := rand.New(rand.NewPCG(1, uint64(count)))
	var objects []object
	for n := range count {
		o := object{bucket: Objects, number: n, scheme: schemes[n/2%len(schemes)], compressible: n/8%3 == 0, multipart: n%40 == 39 || n%40 == 20}
		o.name = fmt.Sprintf("%02d/object %05d", n%17, n)
		switch n % 25 {
		case 3:
			o.name += " ünï=&+%41"
		case 7:
			o.name = fmt.Sprintf("folder-%05d/", n)
		}
		if o.compressible && !strings.HasSuffix(o.name, "/") {
			o.name += ".txt"
		}
		size := func() int64 { // most are small, as objects are
			if random.IntN(3) > 0 {
				return random.Int64N(3000)
			}
			return usualSizes[random.IntN(len(usualSizes))]
		}
		versions := 1
		if n%2 == 1 {
			o.bucket = Versions
			versions = 1 + random.IntN(3)
		}
		for range versions {
			o.sizes = append(o.sizes, size())
		}
		if o.bucket == Versions && n%11 == 0 {
			o.sizes = append(o.sizes, -1)
		}
		if o.bucket == Versions && n%33 == 0 {
			o.sizes = append(o.sizes, size())
		}
		objects = append(objects, o)
	}
	return objects
}

func (o *object) customerKey() []byte { return customerKeys[o.number%len(customerKeys)][:] }

func (o *object) encryption(kmsKey string) (encrypt.ServerSide, error) {
	switch o.scheme {
	case "SSE-S3":
		return encrypt.NewSSE(), nil
	case "SSE-KMS":
		return encrypt.NewSSEKMS(kmsKey, map[string]string{"number": fmt.Sprint(o.number), "<&>": "é"})
	case "SSE-C":
		return encrypt.NewSSEC(o.customerKey())
	}
	return nil, nil
}

func (o *object) options(version int, kmsKey string) (minio.PutObjectOptions, error) {
	p := minio.PutObjectOptions{DisableMultipart: true, ContentType: fmt.Sprintf("application/x-workload-%d", o.number%5)}
	if o.number%3 == 0 {
		p.UserMetadata = map[string]string{"Version": fmt.Sprint(version), "Some-Name": "a value, with = and ; " + o.scheme}
		p.UserTags = map[string]string{"number": fmt.Sprint(o.number), "a tag": "of value+more"}
		p.CacheControl, p.ContentLanguage = "max-age=17", "de"
		p.ContentDisposition = `attachment; filename="x.bin"`
	}
	var err error
	p.ServerSideEncryption, err = o.encryption(kmsKey)
	return p, err
}

// content is pseudo-random, or text that compresses.
func (o *object) content(version int, size int64) []byte {
	seed := sha256.Sum256(fmt.Appendf(nil, "%d %d", o.number, version))
	if !o.compressible {
		b := make([]byte, size)
		rand.NewChaCha8(seed).Read(b)
		return b
	}
	line := fmt.Appendf(nil, "%x the quick brown fox jumps over the lazy dog\n", seed[:8])
	return bytes.Repeat(line, int(size)/len(line)+1)[:size]
}

// Fill stores count objects, several at once.
func Fill(t testing.TB, c *minio.Core, kmsKey string, count int) {
	t.Helper()
	ctx := t.Context()
	for _, bucket := range []string{Objects, Versions} {
		if err := c.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.EnableVersioning(ctx, Versions); err != nil {
		t.Fatal(err)
	}
	parallel(t, plan(count), func(o object) error { return o.store(ctx, c, kmsKey) })
}

// parallel calls do for every one of what, several at once, and fails with the first error.
func parallel[T any](t testing.TB, what []T, do func(T) error) {
	t.Helper()
	todo := make(chan T)
	errs := make(chan error, 16)
	var running sync.WaitGroup
	for range 16 {
		running.Go(func() {
			var first error
			for one := range todo {
				if first == nil {
					first = do(one)
				}
			}
			errs <- first
		})
	}
	for _, one := range what {
		todo <- one
	}
	close(todo)
	running.Wait()
	for range 16 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

func (o *object) store(ctx context.Context, c *minio.Core, kmsKey string) error {
	for version, size := range o.sizes {
		if size < 0 {
			if err := c.RemoveObject(ctx, o.bucket, o.name, minio.RemoveObjectOptions{}); err != nil {
				return fmt.Errorf("failed to delete %s: %w", o.name, err)
			}
			continue
		}
		opts, err := o.options(version, kmsKey)
		if err != nil {
			return err
		}
		if o.multipart && version == len(o.sizes)-1 {
			err = o.parts(ctx, c, opts, version, size)
		} else {
			content := o.content(version, size)
			_, err = c.Client.PutObject(ctx, o.bucket, o.name, bytes.NewReader(content), size, opts)
		}
		if err != nil {
			return fmt.Errorf("failed to store %s: %w", o.name, err)
		}
	}
	return nil
}

// parts uploads 5 MiB, then what size asks for, under numbers with a gap.
func (o *object) parts(ctx context.Context, c *minio.Core, opts minio.PutObjectOptions, version int, size int64) error {
	id, err := c.NewMultipartUpload(ctx, o.bucket, o.name, opts)
	if err != nil {
		return err
	}
	sse := opts.ServerSideEncryption
	if o.scheme != "SSE-C" {
		sse = nil
	}
	var parts []minio.CompletePart
	for i, partSize := range []int64{5 << 20, size + 1} {
		number := 1 + 2*i
		content := o.content(100*version+number, partSize)
		p, err := c.PutObjectPart(ctx, o.bucket, o.name, id, number, bytes.NewReader(content), partSize, minio.PutObjectPartOptions{SSE: sse})
		if err != nil {
			return err
		}
		parts = append(parts, minio.CompletePart{PartNumber: number, ETag: p.ETag})
	}
	_, err = c.CompleteMultipartUpload(ctx, o.bucket, o.name, id, parts, minio.PutObjectOptions{ServerSideEncryption: sse})
	return err
}

// WriteCustomerKeys writes the keys of SSE-C as objseal's --customer-keys has them.
func WriteCustomerKeys(t testing.TB, file string, count int) {
	t.Helper()
	var b bytes.Buffer
	for _, o := range plan(count) {
		if o.scheme != "SSE-C" {
			continue
		}
		line, err := json.Marshal(map[string]string{"bucket": o.bucket, "object": o.name, "key": base64.StdEncoding.EncodeToString(o.customerKey())})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Read returns every version of a bucket, those of one object newest first. With
// plain the store is one that everything was moved to: no version needs a key.
func Read(t testing.TB, c *minio.Core, bucket string, count int, plain bool) []Version {
	t.Helper()
	ctx := t.Context()
	keys := make(map[string]object)
	for _, o := range plan(count) {
		keys[o.bucket+"/"+o.name] = o
	}
	var listed []Version
	for info := range c.Client.ListObjects(ctx, bucket, minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
		if info.Err != nil {
			t.Fatal(info.Err)
		}
		listed = append(listed, Version{Bucket: bucket, Object: info.Key, VersionID: info.VersionID, IsLatest: info.IsLatest, DeleteMarker: info.IsDeleteMarker})
	}
	todo := make([]*Version, len(listed))
	for i := range listed {
		todo[i] = &listed[i]
	}
	parallel(t, todo, func(v *Version) error {
		o, ok := keys[v.Bucket+"/"+v.Object]
		if !ok {
			return fmt.Errorf("there is %s/%s, which nobody stored", v.Bucket, v.Object)
		}
		v.Scheme = o.scheme
		if v.DeleteMarker {
			return nil
		}
		var sse encrypt.ServerSide
		if o.scheme == "SSE-C" && !plain {
			var err error
			if sse, err = o.encryption(""); err != nil {
				return err
			}
		}
		return v.read(ctx, c, sse)
	})
	return listed
}

func (v *Version) read(ctx context.Context, c *minio.Core, sse encrypt.ServerSide) error {
	body, info, header, err := c.GetObject(ctx, v.Bucket, v.Object, minio.GetObjectOptions{VersionID: v.VersionID, ServerSideEncryption: sse})
	if err != nil {
		return fmt.Errorf("failed to get %s/%s: %w", v.Bucket, v.Object, err)
	}
	defer body.Close()
	hash := sha256.New()
	if v.Size, err = io.Copy(hash, body); err != nil {
		return fmt.Errorf("failed to read %s/%s: %w", v.Bucket, v.Object, err)
	}
	v.SHA256, v.ETag, v.ContentType = hex.EncodeToString(hash.Sum(nil)), info.ETag, info.ContentType
	v.UserMetadata = maps.Clone(info.UserMetadata)
	v.Header = make(map[string]string)
	for _, name := range []string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires"} {
		if value := header.Get(name); value != "" {
			v.Header[name] = value
		}
	}
	if info.UserTagCount == 0 {
		return nil
	}
	tags, err := c.GetObjectTagging(ctx, v.Bucket, v.Object, minio.GetObjectTaggingOptions{VersionID: v.VersionID})
	if err != nil {
		return fmt.Errorf("failed to get the tags of %s/%s: %w", v.Bucket, v.Object, err)
	}
	v.Tags = tags.ToMap()
	return nil
}

// Count says how many versions there are of each sort, for the log.
func Count(versions []Version) string {
	counts := make(map[string]int)
	for _, v := range versions {
		switch {
		case v.DeleteMarker:
			counts["delete markers"]++
		default:
			counts[v.Scheme]++
			if strings.Contains(v.ETag, "-") {
				counts["multipart"]++
			}
			if strings.HasSuffix(v.Object, ".txt") && v.Size > 4096 {
				counts["compressed"]++
			}
		}
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%d %s", counts[name], name))
	}
	return strings.Join(words, ", ")
}
