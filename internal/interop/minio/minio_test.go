//go:build unix

package minio_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/objseal/objseal/internal/interop/minio/s3client"
	"github.com/objseal/objseal/internal/interop/minioproc"
)

// What minioproc promises: servers of one and of several drives, with TLS and
// without, whose objects outlive a stop and a kill.
func TestServers(t *testing.T) {
	binary := minioproc.Build(t, ".")
	key := make([]byte, 32)
	rand.Read(key)
	secret := "MINIO_KMS_SECRET_KEY=test-key:" + base64.StdEncoding.EncodeToString(key)
	for _, o := range []minioproc.Options{
		{},
		{Env: []string{secret}, TLS: true},
		{Env: []string{secret, "MINIO_ERASURE_SET_DRIVE_COUNT=4", "MINIO_STORAGE_CLASS_STANDARD=EC:2"}, Drives: 8, TLS: true},
	} {
		t.Run(fmt.Sprintf("drives=%d,tls=%v", max(1, o.Drives), o.TLS), func(t *testing.T) {
			server := minioproc.Start(t, binary, &o)
			client := s3client.New(t, server)
			s3client.MakeBucket(t, client, "bucket")
			schemes := map[string]encrypt.ServerSide{"none": nil}
			if o.Env != nil {
				customer, err := encrypt.NewSSEC(key)
				if err != nil {
					t.Fatal(err)
				}
				managed, err := encrypt.NewSSEKMS("test-key", map[string]string{"for": "all"})
				if err != nil {
					t.Fatal(err)
				}
				schemes["SSE-S3"], schemes["SSE-KMS"], schemes["SSE-C"] = encrypt.NewSSE(), managed, customer
			}
			data := bytes.Repeat([]byte("object "), 100_000)
			for name, sse := range schemes {
				s3client.Put(t, client, "bucket", name, data, sse)
			}
			for _, end := range []func(){func() {}, func() { server.Stop(t); server.Restart(t) }, func() { server.Kill(); server.Restart(t) }} {
				end()
				for name, sse := range schemes {
					if name != "SSE-C" {
						sse = nil
					}
					if got, _ := s3client.Get(t, client, "bucket", name, sse); !bytes.Equal(got, data) {
						t.Errorf("%s: %d other bytes", name, len(got))
					}
				}
			}
		})
	}
}
