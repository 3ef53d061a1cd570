package sse_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// TestVectors opens what a running server sealed, step by step: data key,
// object key, ETag, checksum, data (SSE spec section 15).
func TestVectors(t *testing.T) {
	var file struct {
		SecretKey string `json:"secret_key"`
		Vectors   []struct {
			Bucket, Object string
			Metadata       map[string]string
			Stored         string `json:"stored_hex"`
			ExternalKey    string `json:"external_key_hex"`
			ObjectKey      string `json:"object_key_hex"`
			OpenedETag     string `json:"opened_etag"`
			OpenedChecksum string `json:"opened_checksum"`
			DisplayedETag  string `json:"displayed_etag"`
		}
	}
	readJSON(t, "testdata/vectors.json", &file)
	name, secret, _ := strings.Cut(file.SecretKey, ":")
	plaintexts := map[string]string{"x": "abc", "v": "one", "s.txt": compressible(5000)}
	for _, v := range file.Vectors {
		t.Run(v.Bucket+"/"+v.Object, func(t *testing.T) {
			stored := sse.Stored{Metadata: map[string]string{}}
			for k, value := range v.Metadata {
				if plain, ok := strings.CutSuffix(k, "#base64"); ok {
					k, value = plain, string(unbase64(t, value))
				}
				stored.Metadata[k] = value
			}
			data := unhex(t, v.Stored)
			stored.Size = int64(len(data))
			spy := &spyBackend{Backend: oneKey{name: name, key: unbase64(t, secret)}}
			var o sse.OpenOptions
			if stored.Metadata["X-Minio-Internal-Server-Side-Encryption-Sealed-Key"] != "" {
				o.CustomerKey, _ = sse.NewCustomerKey(unhex(t, v.ExternalKey))
			}
			obj, err := sse.Open(context.Background(), kms.NewClient(spy, nil), sse.ObjectName{Bucket: v.Bucket, Object: v.Object}, stored, &o)
			if err != nil {
				t.Fatal(err)
			}
			if obj.Method != sse.C && hex.EncodeToString(spy.key) != v.ExternalKey {
				t.Error("another data key")
			}
			if !bytes.Equal(sse.ObjectKeyOf(obj), unhex(t, v.ObjectKey)) {
				t.Error("another object key")
			}
			if etag := sse.OpenedETag(obj); v.OpenedETag != "" && hex.EncodeToString(etag) != v.OpenedETag {
				t.Errorf("opened ETag %x, want %s", etag, v.OpenedETag)
			}
			if etag, err := obj.ETag(); err != nil || v.DisplayedETag != "" && etag != v.DisplayedETag {
				t.Errorf("displayed ETag %s, %v; want %s", etag, err, v.DisplayedETag)
			}
			sums, err := obj.Checksums()
			if err != nil || v.OpenedChecksum != "" && (len(sums) != 1 || sums[0].Type != sse.CRC32 || "09"+hex.EncodeToString(sums[0].Value) != v.OpenedChecksum) {
				t.Errorf("checksums %v, %v; want %s", sums, err, v.OpenedChecksum)
			}
			want, ok := plaintexts[v.Object]
			if !ok {
				return
			}
			r, err := obj.NewReader(context.Background(), sse.FetchReaderAt(bytes.NewReader(data)), sse.Whole)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != want {
				t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
			}
		})
	}
}

func compressible(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString("hello compressible world %d\n")
	}
	return b.String()[:n]
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// spyBackend remembers the data key it gave.
type spyBackend struct {
	kms.Backend
	key []byte
}

func (s *spyBackend) Decrypt(ctx context.Context, id string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	k, err := s.Backend.Decrypt(ctx, id, ciphertext, ad)
	s.key = bytes.Clone(k.Bytes())
	return k, err
}
