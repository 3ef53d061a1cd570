//go:build unix

package kessuite

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/objseal/objseal/internal/interop/kesproc"
)

// sealedFile makes a deployment with a server, the keys app-1 and app-2, and a
// directory with "file" and "file.sealed" under app-1 (SSE-KMS, tenant=a).
func sealedFile(t *testing.T, binary, path string, servers int) (*kesproc.Deployment, []*kesproc.Server, string) {
	t.Helper()
	d := kesproc.NewDeployment(t, binary, nil)
	var s []*kesproc.Server
	for range servers {
		s = append(s, d.Start(t))
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), someBytes(2*65536+1))
	c := withCertificate(path, d, "app-1", s...)
	c.must(t, dir, "kms", "create", "app-1")
	c.must(t, dir, "kms", "create", "app-2")
	c.must(t, dir, c.encrypt("file", "--sse", "kms", "--context", "tenant=a")...)
	return d, s, dir
}

// testRefusals shows the command bad input that only a real server can judge.
func testRefusals(t *testing.T, binary, path string) {
	d, servers, dir := sealedFile(t, binary, path, 1)
	s := servers[0]
	c := withAPIKey(path, d, d.APIKey, s)
	encrypt := append(c.encrypt("file"), "-o", "new")
	decrypt := []string{"decrypt", "-o", "new", "file.sealed"}

	t.Run("not permitted", func(t *testing.T) {
		stranger := withAPIKey(path, d, d.Stranger, s)
		stranger.refused(t, dir, []string{"not permitted", "app-1"}, encrypt...)
		stranger.refused(t, dir, []string{"not permitted", "app-1"}, decrypt...)
		stranger.refused(t, dir, []string{"not permitted", "app-1"}, "rewrap", "file.sealed", "--kms-key", "app-2")
	})
	t.Run("unknown key", func(t *testing.T) {
		c.refused(t, dir, []string{"key not found", "app-9"}, "encrypt", "-o", "new", "--kms-key", "app-9", "file")
		c.refused(t, dir, []string{"key not found", "app-9"}, "rewrap", "--kms-key", "app-9", "file.sealed")
		c.refused(t, dir, []string{"key not found", "app-9"}, "kms", "describe", "app-9")
	})
	t.Run("key exists", func(t *testing.T) {
		c.refused(t, dir, []string{"key already exists", "app-1"}, "kms", "create", "app-1")
	})
	t.Run("wrong context", func(t *testing.T) {
		const context = "X-Minio-Internal-Server-Side-Encryption-Context"
		changed := withMetadata(t, dir, func(meta map[string]any) {
			values := meta["metadata"].(map[string]any)
			if values[context] == nil {
				t.Fatalf("the metadata has no %s: %v", context, values)
			}
			values[context] = base64.StdEncoding.EncodeToString([]byte(`{"tenant":"b"}`))
		})
		c.refused(t, changed, []string{"not authentic", "app-1"}, decrypt...)
	})
	t.Run("renamed object", func(t *testing.T) {
		changed := withMetadata(t, dir, func(meta map[string]any) { meta["object"] = "dir/other" })
		c.refused(t, changed, []string{"not authentic", "app-1"}, decrypt...)
	})
	t.Run("server certificate of an unknown issuer", func(t *testing.T) {
		untrusting := c
		untrusting.flags = nil
		untrusting.refused(t, dir, []string{s.Address(), "certificate", "--kes-ca"}, decrypt...)
	})
	t.Run("key gone from the server", func(t *testing.T) {
		s.Stop(t)
		key := filepath.Join(d.KeyStore, "app-1")
		if err := os.Rename(key, key+"-away"); err != nil {
			t.Fatal(err)
		}
		s.Restart(t)
		c.refused(t, dir, []string{"key not found", "app-1"}, decrypt...)
		if err := os.Rename(key+"-away", key); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("hung server", func(t *testing.T) {
		s.Suspend(t)
		defer s.Resume(t)
		c.refused(t, dir, []string{"unreachable", s.Address()}, decrypt...)
	})
	t.Run("unreachable server", func(t *testing.T) {
		s.Kill()
		c.refused(t, dir, []string{"unreachable", s.Address()}, decrypt...)
		c.refused(t, dir, []string{"unreachable", s.Address()}, encrypt...)
	})
}

// withMetadata returns a copy of dir with change made to the metadata.
func withMetadata(t *testing.T, dir string, change func(map[string]any)) string {
	t.Helper()
	changed := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(changed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(changed, "file.sealed.json")
	var meta map[string]any
	if err := json.Unmarshal(read(t, path), &meta); err != nil {
		t.Fatal(err)
	}
	change(meta)
	text, err := json.Marshal(meta)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, text)
	return changed
}

// testFailover gives the command two servers and takes the first one away: a
// dead one and a hung one must cost time at most.
func testFailover(t *testing.T, binary, path string) {
	for _, take := range ways {
		t.Run("first server "+take.name, func(t *testing.T) {
			d, servers, dir := sealedFile(t, binary, path, 2)
			take.away(t, servers[0])
			for _, c := range []caller{withAPIKey(path, d, d.APIKey, servers...), withCertificate(path, d, "app-1", servers...)} {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel() // a hung server costs every command one deadline
					out := t.TempDir()
					sealed, opened := filepath.Join(out, "sealed"), filepath.Join(out, "opened")
					c.must(t, dir, append(c.encrypt("file", "--sse", "kms", "--context", "tenant=a"), "-o", sealed)...)
					c.must(t, dir, "decrypt", "-o", opened, sealed)
					if sum(read(t, opened)) != sum(read(t, filepath.Join(dir, "file"))) {
						t.Error("what was sealed through the second server opens to something else")
					}
				})
			}
		})
	}
}
