//go:build unix

package kessuite

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/interop/kesproc"
)

// testCommand walks the main way with both schemes and both credentials: seal
// a file, open it whole and in part, move it to a second key without touching
// its data, open it when the first key is gone.
func testCommand(t *testing.T, binary, path string) {
	for _, scheme := range []struct {
		name string
		args []string
	}{
		{"s3", []string{"--sse", "s3"}},
		{"kms", []string{"--sse", "kms", "--context", "tenant=a"}},
	} {
		for _, credential := range []string{"API key", "mTLS"} {
			t.Run(scheme.name+" with "+credential, func(t *testing.T) {
				d := kesproc.NewDeployment(t, binary, nil)
				s := d.Start(t)
				c := withAPIKey(path, d, d.APIKey, s)
				if credential == "mTLS" {
					c = withCertificate(path, d, "app-1", s)
				}
				sealOpenRewrap(t, d, s, c, scheme.args)
			})
		}
	}
}

func sealOpenRewrap(t *testing.T, d *kesproc.Deployment, s *kesproc.Server, c caller, scheme []string) {
	c.must(t, t.TempDir(), "kms", "status")
	c.must(t, t.TempDir(), "kms", "create", "app-1")
	c.must(t, t.TempDir(), "kms", "create", "app-2")
	if keys := c.must(t, t.TempDir(), "kms", "keys").stdout; !strings.Contains(keys, "app-1") || !strings.Contains(keys, "app-2") {
		t.Errorf("kms keys shows %q, want app-1 and app-2", keys)
	}

	dir := t.TempDir()
	file, sealed := filepath.Join(dir, "file"), filepath.Join(dir, "file.sealed")
	data := someBytes(3*65536 + 1)
	write(t, file, data)
	c.must(t, dir, c.encrypt(file, scheme...)...)
	stored := sum(read(t, sealed))
	opensTo(t, c, sealed, data)
	if meta := read(t, sealed+".json"); !bytes.Contains(meta, []byte("app-1")) {
		t.Errorf("the metadata does not name the key app-1: %s", meta)
	}

	c.must(t, dir, "rewrap", "--kms-key", "app-2", sealed)
	if now := sum(read(t, sealed)); now != stored {
		t.Errorf("rewrap changed the data: sha256 %s, was %s", now, stored)
	}
	opensTo(t, c, sealed, data)

	// A server keeps keys in memory: only a new process shows that the first
	// key is not needed any more.
	s.Stop(t)
	if err := os.Remove(filepath.Join(d.KeyStore, "app-1")); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
	opensTo(t, c, sealed, data)
}

// encrypt returns the arguments that seal file. The key servers' default key
// is used where the environment names one.
func (c caller) encrypt(file string, scheme ...string) []string {
	args := slices.Concat([]string{"encrypt", "--bucket", "bucket", "--object", "dir/object"}, scheme)
	if c.key == "" {
		args = append(args, "--kms-key", "app-1")
	}
	return append(args, file)
}

// opensTo decrypts the sealed file, whole and in part.
func opensTo(t *testing.T, c caller, sealed string, data []byte) {
	t.Helper()
	out := t.TempDir()
	c.must(t, out, "decrypt", "-o", "whole", sealed)
	if got := read(t, filepath.Join(out, "whole")); !bytes.Equal(got, data) {
		t.Errorf("decrypt gives sha256 %s of %d bytes, want %s of %d", sum(got), len(got), sum(data), len(data))
	}
	c.must(t, out, "decrypt", "--range", "65530-70000", "-o", "part", sealed)
	if got, want := read(t, filepath.Join(out, "part")), data[65530:70001]; !bytes.Equal(got, want) {
		t.Errorf("decrypt --range gives sha256 %s of %d bytes, want %s of %d", sum(got), len(got), sum(want), len(want))
	}
}

// someBytes returns n bytes that are the same in every run.
func someBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}
