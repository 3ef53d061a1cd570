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

// TestBadSidecars has metadata files that no writer makes.
func TestBadSidecars(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ text, want string }{
		"empty":      {"", "is no object metadata"},
		"no object":  {`{"size":1}`, "is no object metadata"},
		"list":       {`[1]`, "is no object metadata"},
		"trailing":   {`{"bucket":"b"}x`, "is no object metadata"},
		"large size": {`{"bucket":"b","size":9223372036854775808}`, "is no object metadata"},
		"not base64": {`{"bucket":"b","metadata":{"k#base64":"?"}}`, `has a value that is not base64 under "k#base64"`},
		"two values": {`{"bucket":"b","metadata":{"k":"v","k#base64":"dg=="}}`, `has two values of "k"`},
		"long":       {`{"bucket":"b"}` + strings.Repeat(" ", maxSidecar), "is too long for object metadata"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".json", []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		if code := run([]string{"inspect", path}, nil, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), ".json "+tt.want) || !strings.Contains(stderr.String(), "objseal: hint: ") {
			t.Errorf("%s: exit code %d, %s", name, code, stderr.String())
		}
	}
}

// TestSizeLies: the size in the metadata file is not believed, however the real
// one is known.
func TestSizeLies(t *testing.T) {
	golden := filepath.Join("..", "..", "testdata", "golden")
	meta := filepath.Join(t.TempDir(), "meta.json")
	for _, object := range []string{"007-A-s3-s3-65537", "036-A-kms-mp-part-number-7", "059-E-s3-text-s3-65537-log", "063-E-kms-mp-kmsctx-txt"} {
		s, err := readSidecar(filepath.Join(golden, object+".json"), os.Open)
		if err != nil {
			t.Fatal(err)
		}
		s.Size++
		text, err := s.encode()
		if err == nil {
			err = os.WriteFile(meta, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		if code := run([]string{"inspect", "--meta", meta, filepath.Join(golden, object)}, nil, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "its metadata says") {
			t.Errorf("%s: exit code %d, %s", object, code, stderr.String())
		}
	}
}
