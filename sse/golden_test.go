package sse_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// goldenObject is an entry of testdata/golden/index.json.
type goldenObject struct {
	File         string             `json:"file"`
	Scheme       string             `json:"scheme"`
	Size         int64              `json:"size"`
	SHA256       string             `json:"sha256"`
	ETag         string             `json:"etag"`
	KMSKeyID     string             `json:"kms_key_id"`
	KMSContext   kms.AssociatedData `json:"kms_context"`
	KMSSecretKey string             `json:"kms_secret_key"`
	KMSAlgorithm string             `json:"kms_algorithm"`
	CustomerKey  string             `json:"ssec_key_base64"`
	Compression  string             `json:"compression"`
	Checksum     map[string]string  `json:"checksum"`

	name   sse.ObjectName
	stored sse.Stored
	data   []byte
}

func goldenObjects(t testing.TB) []goldenObject {
	dir := filepath.Join("..", "testdata", "golden")
	var index struct{ Objects []goldenObject }
	readJSON(t, filepath.Join(dir, "index.json"), &index)
	for i := range index.Objects {
		o := &index.Objects[i]
		var side struct {
			Bucket, Object string
			Metadata       map[string]string
			Parts          []struct {
				Number     int
				Size       int64
				ActualSize int64 `json:"actual_size"`
			}
		}
		readJSON(t, filepath.Join(dir, o.File+".json"), &side)
		var err error
		if o.data, err = os.ReadFile(filepath.Join(dir, o.File)); err != nil {
			t.Fatal(err)
		}
		o.name = sse.ObjectName{Bucket: side.Bucket, Object: side.Object}
		o.stored = sse.Stored{Metadata: map[string]string{}, Size: int64(len(o.data))}
		for k, v := range side.Metadata {
			if plain, ok := strings.CutSuffix(k, "#base64"); ok {
				k, v = plain, string(unbase64(t, v))
			}
			o.stored.Metadata[k] = v
		}
		for _, p := range side.Parts {
			o.stored.Parts = append(o.stored.Parts, sse.Part(p))
		}
	}
	return index.Objects
}

func readJSON(t testing.TB, path string, v any) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func unbase64(t testing.TB, s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (o *goldenObject) open(t testing.TB) (*sse.Object, error) {
	opts := new(sse.OpenOptions)
	if o.CustomerKey != "" {
		key, err := sse.NewCustomerKey(unbase64(t, o.CustomerKey))
		if err != nil {
			t.Fatal(err)
		}
		opts.CustomerKey = key
	}
	var client *kms.Client
	if name, key, ok := strings.Cut(o.KMSSecretKey, ":"); ok {
		client = kms.NewClient(oneKey{name: name, key: unbase64(t, key), chacha: o.KMSAlgorithm == "ChaCha20"}, nil)
	}
	return sse.Open(context.Background(), client, o.name, o.stored, opts)
}

func (o *goldenObject) fetch() sse.Fetch { return sse.FetchReaderAt(bytes.NewReader(o.data)) }

// oneKey opens what a MinIO or KES server sealed under a key taken from it.
type oneKey struct {
	kms.Backend
	name   string
	key    []byte
	chacha bool
}

func (k oneKey) Decrypt(_ context.Context, id string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	if id != k.name {
		return kms.DataKey{}, kms.ErrKeyNotFound
	}
	algorithm := dek.AES256
	if k.chacha {
		algorithm = dek.ChaCha20
	}
	plain, err := dek.Open(nil, k.key, algorithm, ciphertext, ad.Canonical())
	if err != nil {
		return kms.DataKey{}, kms.ErrNotAuthentic
	}
	return kms.NewDataKey(plain)
}

// TestGoldenObjects opens objects that real MinIO servers sealed: with the
// built-in key, KES of two generations, customer keys, ChaCha20, compression,
// multipart, rotated keys.
func TestGoldenObjects(t *testing.T) {
	seen := map[string]int{}
	for _, o := range goldenObjects(t) {
		t.Run(o.File, func(t *testing.T) {
			seen[o.Scheme]++
			obj, err := o.open(t)
			if o.Scheme == "NONE" {
				if !errors.Is(err, sse.ErrNotEncrypted) || sse.KindOf(err) != sse.KindNotEncrypted {
					t.Fatalf("got %v, want ErrNotEncrypted", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := obj.Method.String(); got != o.Scheme {
				t.Errorf("method %s, want %s", got, o.Scheme)
			}
			if obj.Size != o.Size || obj.KMSKeyID != o.KMSKeyID && obj.Method != sse.C || !maps.Equal(obj.Context, o.KMSContext) || obj.Compressed != (o.Compression != "") {
				t.Errorf("%+v, want size %d, key %q, context %v", obj.Description, o.Size, o.KMSKeyID, o.KMSContext)
			}
			if etag, err := obj.ETag(); err != nil || etag != o.ETag {
				t.Errorf("ETag %q, %v; want %q", etag, err, o.ETag)
			}
			o.checkChecksums(t, obj)

			r, err := obj.NewReader(context.Background(), o.fetch(), sse.Whole)
			if err != nil {
				t.Fatal(err)
			}
			h := sha256.New()
			if n, err := r.WriteTo(h); err != nil || n != o.Size || hex.EncodeToString(h.Sum(nil)) != o.SHA256 {
				t.Errorf("WriteTo: %d bytes, %v, sha256 %x; want %d, %s", n, err, h.Sum(nil), o.Size, o.SHA256)
			}
			if i := r.Integrity(); (i.Level == sse.Content) != o.provable(obj) || i.Warning != "" {
				t.Errorf("integrity %+v", i)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			o.checkRanges(t, obj)
		})
	}
	for _, scheme := range []string{"SSE-S3", "SSE-KMS", "SSE-C", "NONE"} {
		if seen[scheme] == 0 {
			t.Errorf("no object of %s was seen", scheme)
		}
	}
	t.Logf("opened: %v", seen)
}

// provable: a whole ETag under SSE-S3 is an MD5, and checksums prove content.
// The others are random, or were sealed from an MD5 (copies, compression).
func (o *goldenObject) provable(obj *sse.Object) bool {
	if len(o.Checksum) > 0 {
		return true
	}
	etag := o.stored.Metadata["etag"]
	if len(etag) != 96 {
		return false
	}
	return obj.Method == sse.S3 || obj.Compressed || strings.Contains(o.File, "-cp-") || strings.Contains(o.File, "rot-kms")
}

func (o *goldenObject) checkChecksums(t *testing.T, obj *sse.Object) {
	sums, err := obj.Checksums()
	if err != nil {
		t.Fatal(err)
	}
	if len(sums) == 0 != (len(o.Checksum) == 0) {
		t.Fatalf("checksums %v, want %v", sums, o.Checksum)
	}
	for _, s := range sums {
		kind := "FULL_OBJECT"
		if s.Composite {
			kind = "COMPOSITE"
		}
		if want := o.Checksum["x-amz-checksum-"+strings.ToLower(s.Type.String())]; s.String() != want || kind != o.Checksum["x-amz-checksum-type"] {
			t.Errorf("checksum %v %s, want %v", s, kind, o.Checksum)
		}
	}
}

// checkRanges compares ranges at every edge with the whole.
func (o *goldenObject) checkRanges(t *testing.T, obj *sse.Object) {
	r, err := obj.NewReader(context.Background(), o.fetch(), sse.Whole)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	edges := map[int64]bool{0: true, 1: true, o.Size / 2: true, o.Size - 1: true}
	var at int64
	for _, p := range o.stored.Parts {
		at += p.ActualSize
		edges[at-1], edges[at] = true, true
	}
	for k := int64(65536); k < min(o.Size, 200000); k += 65536 {
		edges[k-1], edges[k] = true, true
	}
	for off := range edges {
		for _, n := range []int64{1, 2, 65536, 65537, -1} {
			if off < 0 || off >= o.Size {
				continue
			}
			want := whole[off:]
			if n >= 0 && n < int64(len(want)) {
				want = want[:n]
			}
			r, err := obj.NewReader(context.Background(), o.fetch(), sse.Range{Offset: off, Length: n})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("range %d+%d: %d bytes, %v; want %d", off, n, len(got), err, len(want))
			}
		}
	}
}
