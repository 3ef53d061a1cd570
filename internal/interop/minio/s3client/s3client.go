//go:build unix

// Package s3client connects minio-go to the servers of tests.
package s3client

import (
	"bytes"
	"io"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/objseal/objseal/internal/interop/minioproc"
)

// New returns a client of the administrator of a server, with connections of
// its own.
func New(t testing.TB, s *minioproc.Server) *minio.Core {
	t.Helper()
	transport, err := s.Transport()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	core, err := minio.NewCore(s.Address(), &minio.Options{
		Creds:     credentials.NewStaticV4(minioproc.User, minioproc.Password, ""),
		Region:    minioproc.Region,
		Secure:    s.CAFile != "",
		Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	return core
}

// MakeBucket makes a bucket.
func MakeBucket(t testing.TB, c *minio.Core, bucket string) {
	t.Helper()
	if err := c.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatalf("failed to make bucket %s: %v", bucket, err)
	}
}

// Put stores an object with one request; sse may be nil.
func Put(t testing.TB, c *minio.Core, bucket, object string, data []byte, sse encrypt.ServerSide) minio.UploadInfo {
	t.Helper()
	info, err := c.Client.PutObject(t.Context(), bucket, object, bytes.NewReader(data), int64(len(data)),
		minio.PutObjectOptions{ServerSideEncryption: sse, DisableMultipart: true})
	if err != nil {
		t.Fatalf("failed to put %s/%s: %v", bucket, object, err)
	}
	return info
}

// Get returns a whole object; sse is the customer key of SSE-C, else nil.
func Get(t testing.TB, c *minio.Core, bucket, object string, sse encrypt.ServerSide) ([]byte, minio.ObjectInfo) {
	t.Helper()
	body, info, _, err := c.GetObject(t.Context(), bucket, object, minio.GetObjectOptions{ServerSideEncryption: sse})
	if err != nil {
		t.Fatalf("failed to get %s/%s: %v", bucket, object, err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("failed to read %s/%s: %v", bucket, object, err)
	}
	return data, info
}
