package main

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzSidecar: no text panics, and what is read is read again from what is
// written.
func FuzzSidecar(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "golden", "*A*.json"))
	if err != nil || len(files) == 0 {
		f.Fatal(err, len(files))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"bucket":"b","metadata":{"x#base64":"/w==","x":"y","#base64":""}}`))
	f.Add([]byte(`{"object":"\ud800","metadata":{"k\u0000":"\ufffd"},"parts":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseSidecar(text, "f.json")
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseSidecar(again, "f.json"); err != nil || got.Bucket != s.Bucket || got.Object != s.Object || got.Size != s.Size || !maps.Equal(got.Metadata, s.Metadata) || !slices.Equal(got.Parts, s.Parts) {
			t.Errorf("%+v, %v; want %+v", got, err, s)
		}
	})
}

// TestNameNotUTF8: JSON would store another name than the key is bound to, and
// nothing could open the object again.
func TestNameNotUTF8(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--object", "--bucket"} {
		var stderr bytes.Buffer
		if code := run([]string{"encrypt", flag, "a\xff", file}, nil, io.Discard, &stderr); code != 2 || !strings.Contains(stderr.String(), "is not UTF-8") {
			t.Errorf("%s: exit code %d, %s", flag, code, stderr.String())
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left %v", entries)
	}
}
