package keystore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/keyfile"
	"github.com/objseal/objseal/internal/secret"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/keystore"
	"github.com/objseal/objseal/kms/kmstest"
)

// store makes a key store of these files and opens it.
func store(t testing.TB, files map[string]string) (*keystore.Backend, string) {
	t.Helper()
	dir := t.TempDir()
	for name, value := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := keystore.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b, dir
}

// newFile returns a new key as KES writes it since 2024.
func newFile(t testing.TB, alg dek.Algorithm, created time.Time) string {
	k := keyfile.Key{Secret: secret.Random(), HMAC: secret.Random(), Algorithm: alg, CreatedAt: created, CreatedBy: "admin"}
	value, err := k.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

func TestConformance(t *testing.T) {
	for _, alg := range []dek.Algorithm{dek.AES256, dek.ChaCha20} {
		t.Run("key store of "+alg.String()+" keys", func(t *testing.T) {
			kmstest.Run(t, func(t *testing.T) kmstest.Harness {
				b, _ := store(t, map[string]string{"key-1": newFile(t, alg, time.Now()), "key-2": newFile(t, alg, time.Now()), "other": "no key"})
				return kmstest.Harness{Backend: b, KeyIDs: [2]string{"key-1", "key-2"}}
			})
		})
	}
	t.Run("key store of KES v0.23.0", func(t *testing.T) {
		kmstest.Run(t, func(t *testing.T) kmstest.Harness {
			b, err := keystore.Open("../../testdata/golden/keys/C", nil)
			if err != nil {
				t.Fatal(err)
			}
			return kmstest.Harness{Backend: b, KeyIDs: [2]string{"golden-kes23-key", "golden-kes23-other"}}
		})
	})
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

// TestGenerations opens the ciphertexts of every generation with the key files
// of every generation: those that no server of one time can bring together
// too, such as ChaCha20 under a key that counts as AES256.
func TestGenerations(t *testing.T) {
	var keys []struct {
		Name, Value, Algorithm string
		Key                    []byte
		CreatedAt              time.Time `json:"created_at"`
		CreatedBy              string    `json:"created_by"`
	}
	var deks []struct {
		Name                       string
		Key, Plaintext, Ciphertext []byte
		Context                    string
	}
	readJSON(t, "../../internal/keyfile/testdata/vectors.json", &keys)
	readJSON(t, "../../internal/dek/testdata/vectors.json", &deks)
	for _, k := range keys {
		t.Run(k.Name, func(t *testing.T) {
			b, _ := store(t, map[string]string{"my-key": k.Value})
			info, err := b.DescribeKey(t.Context(), "my-key")
			if err != nil || info.Name != "my-key" || info.Algorithm != k.Algorithm || !info.CreatedAt.Equal(k.CreatedAt) || info.CreatedBy != k.CreatedBy {
				t.Errorf("DescribeKey: %+v, %v", info, err)
			}
			opened := 0
			for _, d := range deks {
				if string(d.Key) != string(k.Key) {
					continue
				}
				ad, err := kms.ParseAssociatedData([]byte(d.Context))
				if err != nil {
					t.Fatal(err)
				}
				got, err := b.Decrypt(t.Context(), "my-key", d.Ciphertext, ad)
				if err != nil || string(got.Bytes()) != string(d.Plaintext) {
					t.Errorf("%s: %v, or another data key", d.Name, err)
				}
				opened++
			}
			if opened < 12 {
				t.Errorf("only %d ciphertexts", opened)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keystore.Open(filepath.Join(dir, "missing"), nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a missing directory: %v", err)
	}
	if _, err := keystore.Open(file, nil); err == nil {
		t.Error("a file is opened as a directory")
	}
}

func TestDefaultKey(t *testing.T) {
	_, dir := store(t, map[string]string{"my-key": newFile(t, dek.AES256, time.Now())})
	b, err := keystore.Open(dir, &keystore.Options{DefaultKeyID: "my-key"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := b.GenerateKey(t.Context(), "", nil)
	if err != nil || made.KeyID != "my-key" {
		t.Fatalf("key %q, %v", made.KeyID, err)
	}
	if key, err := b.Decrypt(t.Context(), "", made.Ciphertext, nil); err != nil || !key.Equal(made.Key) {
		t.Errorf("Decrypt: %v", err)
	}
	if b, err = keystore.Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.GenerateKey(t.Context(), "", nil); !errors.Is(err, kms.ErrInvalidKeyID) {
		t.Errorf("no default key: %v", err)
	}
}

// TestForeignFiles: what else is in the directory is no key, is not listed if
// it cannot be one, and leads nowhere.
func TestForeignFiles(t *testing.T) {
	value := newFile(t, dek.AES256, time.Now())
	b, dir := store(t, map[string]string{"key": value, "empty": "", "broken": value[:100], ".hidden": value, "a.b": value, "_": value, "-key": value})
	outside := filepath.Join(t.TempDir(), "outside")
	for _, err := range []error{
		os.WriteFile(outside, []byte(value), 0o600),
		os.Mkdir(filepath.Join(dir, "folder"), 0o700),
		os.Symlink("key", filepath.Join(dir, "link")), // as Kubernetes mounts secrets
		os.Symlink(outside, filepath.Join(dir, "absolute")),
		os.Symlink("nothing", filepath.Join(dir, "dangling")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]error{
		"key": nil, "link": nil,
		"empty": kms.ErrKeyDamaged, "broken": kms.ErrKeyDamaged, "folder": kms.ErrKeyDamaged,
		"missing": kms.ErrKeyNotFound, "dangling": kms.ErrKeyNotFound,
		".hidden": kms.ErrInvalidKeyID, "a.b": kms.ErrInvalidKeyID, "_": kms.ErrInvalidKeyID, "-key": kms.ErrInvalidKeyID, "folder/key": kms.ErrInvalidKeyID,
	} {
		_, err := b.GenerateKey(t.Context(), name, nil)
		if want == nil && err != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), value[4:12]) {
			t.Fatal("the error shows a part of the key")
		}
	}
	if _, err := b.GenerateKey(t.Context(), "absolute", nil); err == nil {
		t.Error("a link led out of the directory")
	}
	names, err := b.ListKeys(t.Context(), "")
	if want := []string{"broken", "empty", "key", "link"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("listed %q, want %q, error %v", names, want, err)
	}
	if err := b.CreateKey(t.Context(), "broken"); !errors.Is(err, kms.ErrKeyExists) {
		t.Errorf("CreateKey of a broken key: %v", err)
	}
}

// TestLive: what changes in the directory counts from the next call on.
func TestLive(t *testing.T) {
	b, dir := store(t, nil)
	if names, err := b.ListKeys(t.Context(), ""); err != nil || len(names) != 0 {
		t.Fatalf("%q, %v", names, err)
	}
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte(newFile(t, dek.AES256, time.Now())), 0o600); err != nil {
		t.Fatal(err)
	}
	made, err := b.GenerateKey(t.Context(), "key", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Decrypt(t.Context(), "key", made.Ciphertext, nil); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("removed: %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	_, errStatus := b.Status(t.Context())
	_, errList := b.ListKeys(t.Context(), "")
	_, errKey := b.Decrypt(t.Context(), "key", made.Ciphertext, nil)
	_, errTry := b.TryKeys(t.Context(), made.Ciphertext, nil)
	for _, err := range []error{errStatus, errList, errKey, errTry} {
		if !errors.Is(err, kms.ErrUnreachable) {
			t.Errorf("without its directory: %v", err)
		}
	}
}

// TestNothingIsWritten runs every call and looks at the directory.
func TestNothingIsWritten(t *testing.T) {
	b, dir := store(t, map[string]string{"key": newFile(t, dek.AES256, time.Now())})
	look := func() (s string) {
		for _, name := range []string{".", "key"} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			s += fmt.Sprint(info.Name(), info.ModTime(), info.Size(), info.Mode(), "\n")
		}
		return s
	}
	before := look()
	made, err := b.GenerateKey(t.Context(), "key", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Decrypt(t.Context(), "key", made.Ciphertext, nil)
	b.Encrypt(t.Context(), "key", made.Key.Bytes(), nil)
	b.CreateKey(t.Context(), "new")
	b.CreateKey(t.Context(), "key")
	b.DescribeKey(t.Context(), "key")
	b.ListKeys(t.Context(), "")
	b.TryKeys(t.Context(), made.Ciphertext, nil)
	b.Status(t.Context())
	if after := look(); after != before {
		t.Errorf("the directory changed:\n%s%s", before, after)
	}
}

// TestDiagnose: one error of Decrypt, and what it turns out to be.
func TestDiagnose(t *testing.T) {
	written := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	young, old := written.Add(time.Hour), written.Add(-time.Hour)
	b, dir := store(t, map[string]string{
		"key": newFile(t, dek.AES256, old), "other": newFile(t, dek.ChaCha20, old), "young": newFile(t, dek.AES256, young),
		"timeless": `{"bytes":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`, "broken": "",
	})
	client := kms.NewClient(b, nil)
	ad := kms.AssociatedData{"bucket": "bucket/object"}
	alone := kms.AssociatedData{"dept": "finance"}
	generate := func(keyID string, ad kms.AssociatedData) []byte {
		made, err := b.GenerateKey(t.Context(), keyID, ad)
		if err != nil {
			t.Fatal(err)
		}
		return made.Ciphertext
	}
	gone := newFile(t, dek.AES256, old)
	if err := os.WriteFile(filepath.Join(dir, "gone"), []byte(gone), 0o600); err != nil {
		t.Fatal(err)
	}
	byGone := generate("gone", ad)
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	byKey := generate("key", ad)
	damaged := slices.Clone(byKey)
	damaged[0] ^= 1
	var messagePack []byte // names the key "timeless", and opens with none
	var deks []struct {
		Name       string
		Ciphertext []byte
	}
	readJSON(t, "../../internal/dek/testdata/vectors.json", &deks)
	for _, d := range deks {
		if d.Name == "MessagePack AES256" {
			messagePack = slices.Concat(d.Ciphertext[:len(d.Ciphertext)-1], []byte{0})
		}
	}

	for name, tt := range map[string]struct {
		keyID      string
		ciphertext []byte
		want       []error // nil: no evidence
		text       string
	}{
		"sealed by another key of the store":      {"other", byKey, []error{kms.ErrWrongKey}, `it opens with key "key"`},
		"sealed without the pair":                 {"key", generate("key", alone), []error{kms.ErrWrongContext}, `it opens under {"dept":"finance"}`},
		"another key, and without the pair":       {"key", generate("other", alone), []error{kms.ErrWrongKey, kms.ErrWrongContext}, `it opens with key "other", and under other associated data: {"dept":"finance"}`},
		"it names another key's id":               {"key", messagePack, []error{kms.ErrWrongKey}, "it names key id 630dcd2966c4336691125448bbb25b4f, this key's is "},
		"it names this key's id, and is damaged":  {"timeless", messagePack, nil, ""},
		"made again after it was sealed":          {"young", byGone, []error{kms.ErrKeyRecreated}, "at 2024-05-01T13:00:00Z, after what it is to open, of 2024-05-01T12:00:00Z"},
		"damaged":                                 {"key", damaged, nil, ""},
		"damaged, and the key's age is not known": {"timeless", damaged, nil, ""},
		"no key of that name":                     {"missing", damaged, nil, ""},
		"no ciphertext":                           {"key", nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := client.Decrypt(t.Context(), tt.keyID, tt.ciphertext, ad); err == nil {
				t.Fatal("it opens")
			}
			err := client.Diagnose(t.Context(), kms.Case{KeyID: tt.keyID, Ciphertext: tt.ciphertext, AssociatedData: ad,
				Others: []kms.AssociatedData{{}, alone}, Written: written})
			if tt.want == nil {
				if err != nil {
					t.Errorf("diagnosed without evidence: %v", err)
				}
				return
			}
			var found *kms.AuthenticityError
			var call *kms.Error
			if !errors.As(err, &found) || !errors.As(err, &call) || call.KeyID != tt.keyID {
				t.Fatalf("%T: %v", err, err)
			}
			for _, kind := range []error{kms.ErrWrongKey, kms.ErrWrongContext, kms.ErrKeyRecreated} {
				if errors.Is(err, kind) != slices.Contains(tt.want, kind) {
					t.Errorf("%v: is %v is %v", err, kind, errors.Is(err, kind))
				}
			}
			if !errors.Is(err, kms.ErrNotAuthentic) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v, want %q in it", err, tt.text)
			}
		})
	}
}

func TestTryKeysCancelled(t *testing.T) {
	b, _ := store(t, map[string]string{"key": newFile(t, dek.AES256, time.Now())})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.TryKeys(ctx, []byte("x"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want a cancelled context", err)
	}
}
