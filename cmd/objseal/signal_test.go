//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// waitFor returns when the directory holds n entries.
func waitFor(t *testing.T, dir string, n int) {
	t.Helper()
	for range 3000 {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s never held %d files", dir, n)
}

// TestInterrupted: one signal ends a command that waits for its input, and
// nothing is left of what it had begun to write.
func TestInterrupted(t *testing.T) {
	t.Setenv("MINIO_KMS_SECRET_KEY", "k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := t.TempDir()
		stdin, silent := io.Pipe()
		t.Cleanup(func() { silent.Close() })
		var stdout, stderr bytes.Buffer
		code := make(chan int)
		go func() {
			code <- run([]string{"encrypt", "--object", "o", "-o", filepath.Join(dir, "out"), "-"}, stdin, &stdout, &stderr)
		}()
		waitFor(t, dir, 2) // its two temporary files: from here on the signal is its own
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		if got := <-code; got != 1 {
			t.Errorf("%v: exit code %d", s, got)
		}
		if !strings.Contains(stderr.String(), "objseal: hint: it was interrupted") {
			t.Errorf("%v: %s", s, stderr.String())
		}
		waitFor(t, dir, 0)
	}
}

// TestModes: the umask counts, plaintext is its owner's alone, and what is
// replaced opens to nobody whom it was closed to.
func TestModes(t *testing.T) {
	t.Setenv("MINIO_KMS_SECRET_KEY", "k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	defer syscall.Umask(syscall.Umask(0o022))
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	mode := func(name string, want os.FileMode) {
		t.Helper()
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	objseal := func(args ...string) {
		t.Helper()
		var stderr bytes.Buffer
		if code := run(args, nil, io.Discard, &stderr); code != 0 {
			t.Fatalf("exit code %d, %s", code, stderr.String())
		}
	}
	sealed := file + ".sealed"

	objseal("encrypt", file)
	mode("file.sealed", 0o644)
	mode("file.sealed.json", 0o644)
	objseal("decrypt", "-o", filepath.Join(dir, "opened"), sealed)
	mode("opened", 0o600)

	syscall.Umask(0o027)
	objseal("encrypt", "-o", filepath.Join(dir, "other"), file)
	mode("other", 0o640)
	mode("other.json", 0o640)

	syscall.Umask(0o022)
	if err := os.Chmod(sealed+".json", 0o600); err != nil {
		t.Fatal(err)
	}
	objseal("rewrap", sealed)
	mode("file.sealed.json", 0o600)
	objseal("encrypt", "--force", file)
	mode("file.sealed", 0o644)
	mode("file.sealed.json", 0o600)
	objseal("decrypt", "--force", sealed)
	mode("file", 0o600)
}
