package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/sample.md anew")

// The page of the sample is what was looked at and found right.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	if err := render(dir, []string{"testdata/sample.txt"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/sample.md", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/sample.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("not testdata/sample.md but\n%s", got)
	}

	charts, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil || len(charts) != 1 || filepath.Base(charts[0]) != "encryptreader-aes-256-gcm.svg" {
		t.Fatalf("charts %q, error %v", charts, err)
	}
	svg, err := os.ReadFile(charts[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"Encrypting reader", "Example CPU with spaces", "commit 0123456789ab", "1 MiB", "objseal", "sio", "tink", "memcpy (the roof)"} {
		if !strings.Contains(string(svg), word) {
			t.Errorf("the chart does not say %q", word)
		}
	}
	x := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		if _, err := x.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the SVG is no XML: %v", err)
		}
	}
	f, err := os.Open(strings.TrimSuffix(charts[0], "svg") + "png")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil || img.Bounds().Dx() < 1000 {
		t.Errorf("the PNG is not one, or is small: %v", err)
	}
}

// A median is a figure that was measured, and one slow run does not move it.
func TestMedian(t *testing.T) {
	r, err := read([]string{"testdata/sample.txt"})
	if err != nil {
		t.Fatal(err)
	}
	s := r.sections[0]
	v, ok := s.cells[cellKey{row{size: "1KiB"}, "objseal"}].median("B/s")
	if !ok || v != 5e9 {
		t.Errorf("median %v, want 5e9", v)
	}
}

func TestFilesThatAreNoRun(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("PASS\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("BenchmarkSeal/impl=objseal 10 many ns/op\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{empty, broken, filepath.Join(t.TempDir(), "missing")} {
		if _, err := read([]string{name}); err == nil {
			t.Errorf("%s is accepted", filepath.Base(name))
		}
	}
}
