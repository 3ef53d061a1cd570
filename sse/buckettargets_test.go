package sse_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
)

type goldenTargets struct {
	File      string
	Metadata  json.RawMessage
	SecretKey string `json:"kms_secret_key"`
	Size      int
	SHA256    string

	bucket string
	config []byte
	client *kms.Client
}

func readGoldenTargets(t testing.TB) (g goldenTargets) {
	const dir = "testdata/bucket-targets/"
	readJSON(t, dir+"index.json", &g)
	g.bucket = "two-sets-default"
	var err error
	if g.config, err = os.ReadFile(dir + g.File); err != nil {
		t.Fatal(err)
	}
	key, err := static.ParseKey(g.SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	backend, err := static.New([]static.Key{key}, "")
	if err != nil {
		t.Fatal(err)
	}
	g.client = kms.NewClient(backend, nil)
	return g
}

func TestGoldenBucketTargets(t *testing.T) {
	g := readGoldenTargets(t)
	targets, err := sse.OpenBucketTargets(t.Context(), g.client, g.bucket, g.config, g.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(targets); len(targets) != g.Size || hex.EncodeToString(sum[:]) != g.SHA256 {
		t.Errorf("%d bytes, not the right ones", len(targets))
	}
	if _, err := sse.OpenBucketTargets(t.Context(), g.client, "two-sets", g.config, g.Metadata); sse.KindOf(err) != sse.KindNotAuthentic {
		t.Errorf("other bucket: %v", err)
	}
}

func TestBucketTargets(t *testing.T) {
	client := newClient(t)
	for _, targets := range [][]byte{[]byte(`{"targets":[]}`), someBytes(70000)} {
		config, meta, err := sse.SealBucketTargets(t.Context(), client, "", "bucket", targets)
		if err != nil {
			t.Fatal(err)
		}
		got, err := sse.OpenBucketTargets(t.Context(), client, "bucket", config, meta)
		if err != nil || !bytes.Equal(got, targets) {
			t.Errorf("%d bytes of %d, %v", len(got), len(targets), err)
		}
		_, other, err := sse.SealBucketTargets(t.Context(), client, "", "bucket", targets)
		if err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(config)
		flipped[len(flipped)-1] ^= 1
		for what, c := range map[string]struct {
			bucket       string
			config, meta []byte
			kind         sse.Kind
		}{
			"other bucket":     {"other", config, meta, sse.KindNotAuthentic},
			"other metadata":   {"bucket", config, other, sse.KindTampered},
			"damaged":          {"bucket", flipped, meta, sse.KindTampered},
			"cut":              {"bucket", config[:len(config)-1], meta, sse.KindTruncated},
			"emptied":          {"bucket", nil, meta, sse.KindTruncated},
			"no metadata":      {"bucket", config, nil, sse.KindNotEncrypted},
			"empty metadata":   {"bucket", config, []byte("{}"), sse.KindNotEncrypted},
			"no sealed key":    {"bucket", config, bytes.ReplaceAll(meta, []byte("S3-Sealed-Key"), []byte("S3-Sealed")), sse.KindTampered},
			"of SSE-KMS":       {"bucket", config, bytes.ReplaceAll(meta, []byte("-S3-Sealed-Key"), []byte("-Kms-Sealed-Key")), sse.KindTampered},
			"metadata cut":     {"bucket", config, meta[:len(meta)-1], sse.KindTampered},
			"metadata null":    {"bucket", config, []byte("null"), sse.KindNotEncrypted},
			"metadata of 1 MB": {"bucket", config, []byte(strings.Repeat(" ", 1<<20) + string(meta)), sse.KindTampered},
		} {
			got, err := sse.OpenBucketTargets(t.Context(), client, c.bucket, c.config, c.meta)
			if sse.KindOf(err) != c.kind || got != nil {
				t.Errorf("%s: %d bytes, %v, want %s", what, len(got), err, c.kind)
			}
		}
	}
	if _, _, err := sse.SealBucketTargets(t.Context(), client, "", "bucket", nil); !errors.Is(err, sse.ErrInvalidRequest) {
		t.Errorf("no targets: %v", err)
	}
	if _, _, err := sse.SealBucketTargets(t.Context(), nil, "", "bucket", []byte("{}")); !errors.Is(err, kms.ErrNotConfigured) {
		t.Errorf("no client: %v", err)
	}
}

// FuzzOpenBucketTargets: nothing panics, and every failure has a kind.
func FuzzOpenBucketTargets(f *testing.F) {
	g := readGoldenTargets(f)
	f.Add(g.config, []byte(g.Metadata))
	f.Fuzz(func(t *testing.T, config, meta []byte) {
		got, err := sse.OpenBucketTargets(t.Context(), g.client, g.bucket, config, meta)
		if err != nil && (sse.KindOf(err) == sse.KindNone || got != nil) {
			t.Errorf("%d bytes, an error without a kind: %v", len(got), err)
		}
	})
}
