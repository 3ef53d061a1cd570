package keserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/secret"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes/keserver"
	"github.com/objseal/objseal/kms/kes/kestest"
)

func openDir(t *testing.T, path string) *keserver.Dir {
	t.Helper()
	d, err := keserver.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newKey() keserver.Key {
	return keserver.Key{
		Secret: keserver.Secret{Key: secret.Random()}, HMAC: keserver.Secret{Key: secret.Random()}, Algorithm: "AES256",
		CreatedAt: time.Now().UTC(), CreatedBy: strings.Repeat("ab", 32),
	}
}

func sameKey(a, b keserver.Key) bool {
	return a.Secret.Equal(b.Secret) && a.HMAC.Equal(b.HMAC) && a.Algorithm == b.Algorithm && a.CreatedAt.Equal(b.CreatedAt) && a.CreatedBy == b.CreatedBy
}

// stores are the kinds of KeyStore; they must not differ.
var stores = map[string]func(t *testing.T) keserver.KeyStore{
	"memory":    func(*testing.T) keserver.KeyStore { return keserver.NewMemory() },
	"directory": func(t *testing.T) keserver.KeyStore { return openDir(t, filepath.Join(t.TempDir(), "a", "keys")) },
}

func TestKeyStores(t *testing.T) {
	for kind, open := range stores {
		t.Run(kind, func(t *testing.T) {
			s, ctx := open(t), t.Context()
			list := func(prefix string) []string {
				t.Helper()
				names, err := s.List(ctx, prefix)
				if err != nil {
					t.Fatal(err)
				}
				return names
			}
			if err := s.Status(ctx); err != nil {
				t.Error(err)
			}
			if names := list(""); len(names) != 0 {
				t.Errorf("it holds %q", names)
			}
			one, two := newKey(), newKey()
			two.Algorithm, two.CreatedBy, two.CreatedAt = "ChaCha20", "", time.Time{}
			for name, key := range map[string]keserver.Key{"app-1": one, "app-2": two, strings.Repeat("x", 80): one} {
				if err := s.Create(ctx, name, key); err != nil {
					t.Fatal(err)
				}
				if err := s.Create(ctx, name, newKey()); !errors.Is(err, kms.ErrKeyExists) {
					t.Errorf("%s once more: %v", name, err)
				}
				if got, err := s.Get(ctx, name); err != nil || !sameKey(got, key) {
					t.Errorf("%s: %v, or another key", name, err)
				}
			}
			if names := list("app-"); !slices.Equal(names, []string{"app-1", "app-2"}) {
				t.Errorf("app-: %q", names)
			}
			if names := list(""); len(names) != 3 || !slices.IsSorted(names) {
				t.Errorf("all: %q", names)
			}
			if err := s.Delete(ctx, "app-1"); err != nil {
				t.Error(err)
			}
			if _, err := s.Get(ctx, "app-1"); !errors.Is(err, kms.ErrKeyNotFound) {
				t.Errorf("deleted: %v", err)
			}
			if err := s.Delete(ctx, "app-1"); !errors.Is(err, kms.ErrKeyNotFound) {
				t.Errorf("deleted twice: %v", err)
			}
			if names := list("app"); !slices.Equal(names, []string{"app-2"}) {
				t.Errorf("app: %q", names)
			}
		})
	}
}

// TestKeyStoreCreatesOnce: of many that make a key of one name at once, one does.
func TestKeyStoreCreatesOnce(t *testing.T) {
	for kind, open := range stores {
		t.Run(kind, func(t *testing.T) {
			s := open(t)
			for round := range 20 {
				name := fmt.Sprintf("key-%d", round)
				var made atomic.Int32
				var winner keserver.Key
				var wait sync.WaitGroup
				for range 8 {
					wait.Go(func() {
						key := newKey()
						switch err := s.Create(t.Context(), name, key); {
						case err == nil:
							made.Add(1)
							winner = key
						case !errors.Is(err, kms.ErrKeyExists):
							t.Error(err)
						}
					})
				}
				wait.Wait()
				if got, err := s.Get(t.Context(), name); made.Load() != 1 || err != nil || !sameKey(got, winner) {
					t.Fatalf("%d were told that they made it: %v", made.Load(), err)
				}
			}
		})
	}
}

func TestDirFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	d := openDir(t, path)
	if err := d.Create(t.Context(), "key-1", newKey()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 1 || entries[0].Name() != "key-1" {
		t.Fatalf("%v, %v", entries, err)
	}
	if runtime.GOOS != "windows" {
		for p, want := range map[string]os.FileMode{path: os.ModeDir | 0o700, filepath.Join(path, "key-1"): 0o600} {
			if info, err := os.Stat(p); err != nil || info.Mode() != want {
				t.Errorf("%s: %v, %v", p, info.Mode(), err)
			}
		}
	}

	// What is no key is not listed, and never in the way.
	old := time.Now().Add(-2 * time.Hour)
	for name, at := range map[string]time.Time{".new-LEFTBEHIND": old, ".new-JUSTNOW": time.Now(), "README.txt": old, ".hidden": old} {
		p := filepath.Join(path, name)
		if err := errors.Join(os.WriteFile(p, []byte("x"), 0o600), os.Chtimes(p, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(path, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	d = openDir(t, path)
	if names, err := d.List(t.Context(), ""); err != nil || !slices.Equal(names, []string{"key-1"}) {
		t.Errorf("%q, %v", names, err)
	}
	for name, there := range map[string]bool{".new-LEFTBEHIND": false, ".new-JUSTNOW": true, "README.txt": true, "key-1": true} {
		if _, err := os.Stat(filepath.Join(path, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := d.Create(t.Context(), "folder", newKey()); !errors.Is(err, kms.ErrKeyExists) {
		t.Errorf("a key in a folder's place: %v", err)
	}
	if err := d.Delete(t.Context(), "folder"); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("delete of a folder: %v", err)
	}
}

// TestDirRefuses: names that lead elsewhere, keys that servers fail on, files
// that hold none. No error shows what was in one.
func TestDirRefuses(t *testing.T) {
	top := t.TempDir()
	d, ctx := openDir(t, filepath.Join(top, "keys")), t.Context()
	for _, name := range []string{"", ".", "..", "../outside", "a/b", `a\b`, "/etc/passwd", "a.b", ".new-x", "_", "-a", "a\x00", strings.Repeat("x", 81)} {
		if err := d.Create(ctx, name, newKey()); !errors.Is(err, kms.ErrInvalidKeyID) {
			t.Errorf("Create(%q): %v", name, err)
		}
		if _, err := d.Get(ctx, name); !errors.Is(err, kms.ErrInvalidKeyID) {
			t.Errorf("Get(%q): %v", name, err)
		}
		if err := d.Delete(ctx, name); !errors.Is(err, kms.ErrInvalidKeyID) {
			t.Errorf("Delete(%q): %v", name, err)
		}
	}
	for what, spoil := range map[string]func(*keserver.Key){
		"no secret":    func(k *keserver.Key) { k.Secret = keserver.Secret{} },
		"no HMAC key":  func(k *keserver.Key) { k.HMAC = keserver.Secret{} },
		"no algorithm": func(k *keserver.Key) { k.Algorithm = "" },
	} {
		key := newKey()
		spoil(&key)
		if err := d.Create(ctx, "bad", key); err == nil {
			t.Errorf("%s: made", what)
		}
	}
	for name, content := range map[string]string{"empty": "", "garbage": "SECRET-garbage", "json": `{"bytes":"SECRET"}`} {
		if err := os.WriteFile(filepath.Join(top, "keys", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Get(ctx, name); err == nil || strings.Contains(err.Error(), "SECRET") || errors.Is(err, kms.ErrKeyNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := d.Create(ctx, "real", newKey()); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		return // links need a privilege there
	}
	value, err := os.ReadFile(filepath.Join(top, "keys", "real"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(top, "outside"), value, 0o600), os.Symlink("../outside", filepath.Join(top, "keys", "link")), os.Symlink("../new", filepath.Join(top, "keys", "dangling"))); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(ctx, "link"); err == nil {
		t.Error("a link leads outside")
	}
	if err := d.Create(ctx, "dangling", newKey()); !errors.Is(err, kms.ErrKeyExists) {
		t.Errorf("create over a link: %v", err)
	}
	if _, err := os.Stat(filepath.Join(top, "new")); err == nil {
		t.Error("a key was made outside")
	}
}

// TestDirAway: a key store that is not there is told from a key that is not.
func TestDirAway(t *testing.T) {
	top := t.TempDir()
	path := filepath.Join(top, "keys")
	s := kestest.NewServerWith(kestest.Options{KeyStore: openDir(t, path)})
	t.Cleanup(s.Close)
	c := admin(t, s)
	c.gives("PUT", "/v1/key/create/a", noBody, nil)
	if err := os.Rename(path, filepath.Join(top, "away")); err != nil {
		t.Fatal(err)
	}
	c.fails("GET", "/v1/ready", noBody, 504, "key store is not reachable")
	c.fails("PUT", "/v1/key/create/b", noBody, 502, "failed to create key")
	c.fails("PUT", "/v1/key/generate/a", noBody, 502, "failed to read key")
	c.fails("GET", "/v1/key/list/", noBody, 502, "failed to list keys")
	c.fails("DELETE", "/v1/key/delete/a", noBody, 502, "failed to delete key")
	if err := os.Rename(filepath.Join(top, "away"), path); err != nil {
		t.Fatal(err)
	}
	c.gives("PUT", "/v1/key/generate/a", noBody, &message{})
	c.gives("GET", "/v1/ready", noBody, nil)

	if err := os.WriteFile(filepath.Join(top, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keserver.OpenDir(filepath.Join(top, "file")); err == nil {
		t.Error("a file is a key store")
	}
}

// TestDirGolden serves the key stores that real servers left, and opens there
// what those sealed.
func TestDirGolden(t *testing.T) {
	golden := filepath.Join("..", "..", "..", "testdata", "golden")
	files, err := filepath.Glob(filepath.Join(golden, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, dir := range []string{"B", "C", "G", "H"} {
		store := filepath.Join(t.TempDir(), "keys")
		if err := os.CopyFS(store, os.DirFS(filepath.Join(golden, "keys", dir))); err != nil {
			t.Fatal(err)
		}
		s := kestest.NewServerWith(kestest.Options{KeyStore: openDir(t, store)})
		t.Cleanup(s.Close)
		backend := s.Backend(nil)
		for _, file := range files {
			if !strings.Contains(filepath.Base(file), "-"+dir+"-") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var object struct {
				Bucket, Object string
				Metadata       map[string]string
			}
			if err := json.Unmarshal(text, &object); err != nil {
				t.Fatal(err)
			}
			name := object.Metadata["X-Minio-Internal-Server-Side-Encryption-S3-Kms-Key-Id"]
			var sealed []byte
			if object.Metadata["X-Minio-Internal-Server-Side-Encryption-S3-Sealed-Key"] == "" {
				continue // of another scheme: the context is more than bucket and object
			}
			if err := json.Unmarshal([]byte(`"`+object.Metadata["X-Minio-Internal-Server-Side-Encryption-S3-Kms-Sealed-Key"]+`"`), &sealed); err != nil {
				t.Fatal(err)
			}
			if _, err := backend.Decrypt(t.Context(), name, sealed, kms.AssociatedData{object.Bucket: object.Bucket + "/" + object.Object}); err != nil {
				t.Errorf("%s: %v", filepath.Base(file), err)
			}
			opened++
		}
		var kept [2][]byte
		for i, p := range []string{filepath.Join(golden, "keys", dir), store} {
			entries, err := os.ReadDir(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				value, err := os.ReadFile(filepath.Join(p, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				kept[i] = append(kept[i], value...)
			}
		}
		if !bytes.Equal(kept[0], kept[1]) {
			t.Errorf("%s: serving has changed the key store", dir)
		}
	}
	t.Logf("opened %d data keys", opened)
	if opened < 4 {
		t.Error("that is too few")
	}
}
