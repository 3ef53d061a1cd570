package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestCommitNeverReplaces: a file that came while the output was written stays.
func TestCommitNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	o, err := create(path, 0o600, false)
	if err != nil {
		t.Fatal(err)
	}
	defer o.discard()
	if _, err := o.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.commit(); !errors.Is(err, errExists) {
		t.Errorf("commit: %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "old" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if entries, err := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
}
