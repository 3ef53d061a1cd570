package static_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmstest"
	"github.com/objseal/objseal/kms/static"
)

func TestConformance(t *testing.T) {
	kmstest.Run(t, func(t *testing.T) kmstest.Harness {
		b, err := static.New([]static.Key{newKey(t, "key-1"), newKey(t, "key-2")}, "")
		if err != nil {
			t.Fatal(err)
		}
		return kmstest.Harness{Backend: b, KeyIDs: [2]string{"key-1", "key-2"}}
	})
}

// TestMinIO opens what MinIO sealed (testdata/README.md), and seals it again in
// the form that MinIO writes.
func TestMinIO(t *testing.T) {
	text, err := os.ReadFile("testdata/minio.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name           string
		SecretKey      string             `json:"secret_key"`
		AssociatedData kms.AssociatedData `json:"associated_data"`
		DataKey        []byte             `json:"data_key"`
		Ciphertext     []byte
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			key, err := static.ParseKey(v.SecretKey)
			if err != nil {
				t.Fatal(err)
			}
			b, err := static.New([]static.Key{key}, "")
			if err != nil {
				t.Fatal(err)
			}
			want, err := kms.NewDataKey(v.DataKey)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := b.Decrypt(t.Context(), key.Name, v.Ciphertext, v.AssociatedData); err != nil || !got.Equal(want) {
				t.Errorf("MinIO's data key does not open: %v", err)
			}
			if _, err := b.Decrypt(t.Context(), key.Name, v.Ciphertext, kms.AssociatedData{"another": "object"}); !errors.Is(err, kms.ErrNotAuthentic) {
				t.Errorf("opens for another object: %v", err)
			}
			sealed, err := b.Encrypt(t.Context(), key.Name, v.DataKey, v.AssociatedData)
			if err != nil {
				t.Fatal(err)
			}
			if opened := openByFormula(t, key, sealed, v.AssociatedData); !bytes.Equal(opened, v.DataKey) {
				t.Error("MinIO would open another data key")
			}
			if got, err := b.Decrypt(t.Context(), key.Name, sealed, v.AssociatedData); err != nil || !got.Equal(want) {
				t.Errorf("our data key does not open: %v", err)
			}
		})
	}
}

// openByFormula is SSE spec section 13.1 and nothing else: MinIO tries no other
// cipher.
func openByFormula(t *testing.T, key static.Key, sealed []byte, ad kms.AssociatedData) []byte {
	t.Helper()
	if len(sealed) != 76 {
		t.Fatalf("a sealed data key has %d bytes, MinIO's have 76", len(sealed))
	}
	ciphertext, iv, nonce := sealed[:48], sealed[48:64], sealed[64:]
	mac := hmac.New(sha256.New, key.Bytes())
	mac.Write(iv)
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := gcm.Open(nil, nonce, ciphertext, ad.Canonical())
	if err != nil {
		t.Fatalf("MinIO would not open it: %v", err)
	}
	return opened
}

func TestNew(t *testing.T) {
	a, b, unnamed := newKey(t, "a"), newKey(t, "b"), newKey(t, "unnamed")
	unnamed.Name = ""
	for name, tt := range map[string]struct {
		keys         []static.Key
		defaultKeyID string
		want         string
		err          error
	}{
		"one":                       {keys: []static.Key{a}, want: "a"},
		"first is default":          {keys: []static.Key{b, a}, want: "b"},
		"named default":             {keys: []static.Key{b, a}, defaultKeyID: "a", want: "a"},
		"one without a name":        {keys: []static.Key{unnamed}, want: ""},
		"default without a name":    {keys: []static.Key{unnamed, a}, want: ""},
		"none":                      {err: kms.ErrNotConfigured},
		"unknown default":           {keys: []static.Key{a}, defaultKeyID: "b", err: kms.ErrKeyNotFound},
		"twice":                     {keys: []static.Key{a, b, a}, err: kms.ErrKeyExists},
		"twice without a name":      {keys: []static.Key{unnamed, unnamed}, err: kms.ErrKeyExists},
		"another without a name":    {keys: []static.Key{a, unnamed}, err: kms.ErrInvalidKeyID},
		"zero key":                  {keys: []static.Key{a, {Name: "zero"}}, err: kms.ErrKeySize},
		"default named, one is not": {keys: []static.Key{unnamed, a}, defaultKeyID: "a", err: kms.ErrInvalidKeyID},
	} {
		t.Run(name, func(t *testing.T) {
			backend, err := static.New(tt.keys, tt.defaultKeyID)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err == nil && backend.DefaultKeyID() != tt.want {
				t.Errorf("default key %q, want %q", backend.DefaultKeyID(), tt.want)
			}
		})
	}
}

// TestNewCopies: a caller may wipe its keys.
func TestNewCopies(t *testing.T) {
	key := newKey(t, "k")
	kept, err := static.ParseKey(key.Text())
	if err != nil {
		t.Fatal(err)
	}
	b, err := static.New([]static.Key{key}, "")
	if err != nil {
		t.Fatal(err)
	}
	key.Wipe()
	made, err := b.GenerateKey(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := static.New([]static.Key{kept}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Decrypt(t.Context(), "k", made.Ciphertext, nil); err != nil {
		t.Errorf("the backend shares its caller's memory: %v", err)
	}
}

func TestDefaultKey(t *testing.T) {
	b, err := static.New([]static.Key{newKey(t, "a"), newKey(t, "b")}, "b")
	if err != nil {
		t.Fatal(err)
	}
	made, err := b.GenerateKey(t.Context(), "", nil)
	if err != nil || made.KeyID != "b" {
		t.Fatalf("sealed under %q, %v", made.KeyID, err)
	}
	for _, id := range []string{"", "b"} {
		if k, err := b.Decrypt(t.Context(), id, made.Ciphertext, nil); err != nil || !k.Equal(made.Key) {
			t.Errorf("key id %q does not open it: %v", id, err)
		}
	}
	if _, err := b.Decrypt(t.Context(), "a", made.Ciphertext, nil); !errors.Is(err, kms.ErrNotAuthentic) {
		t.Errorf("another key: %v", err)
	}
}

// TestDecryptOtherLengths: what authenticates but is no data key is not returned.
func TestDecryptOtherLengths(t *testing.T) {
	b, err := static.New([]static.Key{newKey(t, "k")}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 31, 32, 33, 64} {
		t.Run(fmt.Sprintf("len=%d", n), func(t *testing.T) {
			sealed, err := b.Encrypt(t.Context(), "k", bytes.Repeat([]byte{7}, n), nil)
			if err != nil {
				t.Fatal(err)
			}
			var want error
			if n != kms.DataKeySize {
				want = kms.ErrKeySize
			}
			if _, err := b.Decrypt(t.Context(), "k", sealed, nil); !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
		})
	}
}

func TestManager(t *testing.T) {
	ctx := t.Context()
	backend, err := static.New([]static.Key{newKey(t, "b-2"), newKey(t, "a"), newKey(t, "b-1")}, "")
	if err != nil {
		t.Fatal(err)
	}
	c := kms.NewClient(backend, nil)
	if err := c.CreateKey(ctx, "a"); !errors.Is(err, kms.ErrKeyExists) {
		t.Errorf("create a key that is there: %v", err)
	}
	if err := c.CreateKey(ctx, "new"); !errors.Is(err, kms.ErrUnsupported) {
		t.Errorf("create a new key: %v", err)
	}
	for id, want := range map[string]string{"a": "a", "": "b-2"} {
		if info, err := c.DescribeKey(ctx, id); err != nil || info != (kms.KeyInfo{Name: want, Algorithm: "AES256"}) {
			t.Errorf("describe %q: %+v, %v", id, info, err)
		}
	}
	if _, err := c.DescribeKey(ctx, "new"); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("describe an unknown key: %v", err)
	}
	for prefix, want := range map[string]string{"": "[a b-1 b-2]", "b-": "[b-1 b-2]", "c": "[]", "*": "[]"} {
		if names, err := c.ListKeys(ctx, prefix); err != nil || fmt.Sprint(names) != want {
			t.Errorf("list %q: %v, %v", prefix, names, err)
		}
	}
	if s, err := c.Status(ctx); err != nil || s.Backend != "static" {
		t.Errorf("status %+v, %v", s, err)
	}
	if _, err := c.GenerateKey(ctx, "new", nil); !errors.Is(err, kms.ErrKeyNotFound) || !strings.Contains(err.Error(), `"new"`) {
		t.Errorf("generate with an unknown key: %v", err)
	}
}
