//go:build unix

package kessuite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/objseal/objseal/internal/interop/kesproc"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/cache"
	"github.com/objseal/objseal/kms/keystore"
	"github.com/objseal/objseal/kms/kmstest"
)

// testCache runs the conformance suite on a cache over a real server.
func testCache(t *testing.T, binary string) {
	kmstest.Run(t, func(t *testing.T) kmstest.Harness {
		d := kesproc.NewDeployment(t, binary, nil)
		s := d.Start(t)
		createKeys(t, d, s)
		c := cache.New(backend(t, d, apiKey(t, d.APIKey), nil, s), nil)
		t.Cleanup(func() { c.Close() })
		return kmstest.Harness{Backend: c, KeyIDs: [2]string{"app-1", "app-2"}}
	})
}

// testOffline lets a server make keys and seal under them, takes it away, and
// opens everything by its key store alone. Then it brings the server back with
// a key that was made again, and without, and sees it told apart.
func testOffline(t *testing.T, binary, path string, g Generation) {
	for name, options := range map[string]*kesproc.Options{"AES256": nil, "ChaCha20": chacha20} {
		t.Run(name, func(t *testing.T) {
			d := kesproc.NewDeployment(t, binary, options)
			s := d.Start(t)
			createKeys(t, d, s)
			b := backend(t, d, apiKey(t, d.APIKey), nil, s)
			ad := kms.AssociatedData{"bucket": "bucket/dir/object", "<&>": "\x08\u2028é"}
			var made []kms.GeneratedKey
			for range 20 {
				key, err := b.GenerateKey(t.Context(), "app-1", ad)
				if err != nil {
					t.Fatal(err)
				}
				made = append(made, key)
			}
			told, err := b.DescribeKey(t.Context(), "app-1")
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			data := someBytes(2*65536 + 1)
			write(t, filepath.Join(dir, "file"), data)
			online := withAPIKey(path, d, d.APIKey, s)
			online.must(t, dir, online.encrypt("file", "--sse", "kms", "--context", "tenant=a")...)
			s.Stop(t)

			store, err := keystore.Open(d.KeyStore, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range made {
				if key, err := store.Decrypt(t.Context(), "app-1", m.Ciphertext, ad); err != nil || !key.Equal(m.Key) {
					t.Fatalf("a data key of the server: %v, or another one", err)
				}
			}
			if info, err := store.DescribeKey(t.Context(), "app-1"); err != nil || info != told || info.Algorithm != name || info.CreatedBy != d.APIKey.Identity && info.CreatedBy != d.Client.Identity {
				t.Errorf("the file tells %+v, the server %+v, error %v", info, told, err)
			}
			offline := caller{name: "offline", path: path, flags: []string{"--keystore", d.KeyStore}}
			opensTo(t, offline, filepath.Join(dir, "file.sealed"), data)
			other, err := store.GenerateKey(t.Context(), "app-1", ad)
			if err != nil {
				t.Fatal(err)
			}

			s.Restart(t)
			key, err := b.Decrypt(t.Context(), "app-1", other.Ciphertext, ad)
			if g.ReadsNewest && (err != nil || !key.Equal(other.Key)) {
				t.Errorf("a data key sealed offline: %v, or another one", err)
			} else if !g.ReadsNewest && !errors.Is(err, kms.ErrNotAuthentic) {
				t.Errorf("a data key in a form that this server does not know: %v", err)
			}

			// The key is deleted and made again; a backup of the old one stays.
			s.Stop(t)
			old := filepath.Join(d.KeyStore, "app-1")
			if err := os.Rename(old, old+"-backup"); err != nil {
				t.Fatal(err)
			}
			s.Restart(t)
			online.must(t, dir, "kms", "create", "app-1")
			decrypt := []string{"decrypt", "-o", "new", "file.sealed"}
			online.refused(t, dir, []string{"not authentic", "another key has its name now", "a backup of the old key"}, decrypt...)
			offline.refused(t, dir, []string{"wrong key", fmt.Sprintf("it opens with key %q", "app-1-backup")}, decrypt...)
			online.refused(t, dir, []string{"another key has its name now"}, "rewrap", "file.sealed")
		})
	}
}
