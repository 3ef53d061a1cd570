package recovery

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func put(t *testing.T, d *Dir, it Item, text string) string {
	t.Helper()
	it.Size = int64(len(text))
	path, err := d.Put(context.Background(), &it, NewBody(strings.NewReader(text), it.Size))
	if err != nil {
		t.Fatal(err)
	}
	if !d.Holds(context.Background(), path, it.Size) || d.Holds(context.Background(), path, it.Size+1) {
		t.Errorf("%q is not held", path)
	}
	b, err := os.ReadFile(filepath.Join(d.root.Name(), path))
	if err != nil || string(b) != text {
		t.Errorf("%q holds %q: %v", path, b, err)
	}
	return path
}

func newDir(t *testing.T) *Dir {
	t.Helper()
	d, err := NewDir(t.TempDir(), "id")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(context.Background()) })
	return d
}

// TestDirNeverReplaces: a version goes to its next place where its name is taken by
// another file, by a directory, or by a file where a directory should be.
func TestDirNeverReplaces(t *testing.T) {
	d := newDir(t)
	latest := Item{Bucket: "b", Object: "o", VersionID: "null", IsLatest: true}
	if got := put(t, d, latest, "one"); got != "b/o" {
		t.Errorf("first: %q", got)
	}
	if got := put(t, d, latest, "one"); got != "b/o" {
		t.Errorf("the same once more: %q", got)
	}
	if got := put(t, d, latest, "two"); got != ".versions/b/o/null" {
		t.Errorf("another content: %q", got)
	}
	if got := put(t, d, latest, "six"); !strings.HasPrefix(got, ".versions/.names/") {
		t.Errorf("a third one: %q", got)
	}
	it := latest
	if _, err := d.Put(context.Background(), &it, NewBody(strings.NewReader("ten"), 3)); !errors.Is(err, fs.ErrExist) || errors.Is(err, ErrStop) {
		t.Errorf("a fourth one: %v", err)
	}
	if got := put(t, d, Item{Bucket: "b", Object: "o/below", VersionID: "null", IsLatest: true}, "below a file"); !strings.HasPrefix(got, ".versions/b/o/below/") {
		t.Errorf("below a file: %q", got)
	}
	put(t, d, Item{Bucket: "b", Object: "dir/x", VersionID: "null", IsLatest: true}, "x")
	if got := put(t, d, Item{Bucket: "b", Object: "dir", VersionID: "null", IsLatest: true}, "a directory's name"); got != ".versions/b/dir/null" {
		t.Errorf("at a directory: %q", got)
	}
	b, err := os.ReadFile(filepath.Join(d.root.Name(), "b/o"))
	if err != nil || string(b) != "one" {
		t.Errorf("the first file: %q, %v", b, err)
	}
}

// TestDirStaysInside: names and links that lead out of the directory do not.
func TestDirStaysInside(t *testing.T) {
	d := newDir(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(d.root.Name(), "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(d.root.Name(), "c"), 0o700); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(outside, "file")
	if err := os.WriteFile(target, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(d.root.Name(), "c", "o")); err != nil {
		t.Fatal(err)
	}
	for _, it := range []Item{{Bucket: "b", Object: "o"}, {Bucket: "c", Object: "o"}, {Bucket: "..", Object: "x"}, {Bucket: "d", Object: "../../x"}, {Bucket: "d", Object: "a\x00"},
		{Bucket: "d", Object: strings.Repeat("n", 300)}, {Bucket: "d", Object: strings.Repeat("directory/", 500) + "o"}, {Bucket: "d", Object: ""}} {
		it.VersionID, it.IsLatest = "null", true
		if got := put(t, d, it, "ours"); !strings.HasPrefix(got, ".versions/") {
			t.Errorf("%.40q/%.40q: %q", it.Bucket, it.Object, got)
		}
	}
	left, err := os.ReadDir(outside)
	if err != nil || len(left) != 1 {
		t.Errorf("outside are %d files: %v", len(left), err)
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != "theirs" {
		t.Errorf("outside: %q, %v", b, err)
	}
}

// TestDirFailedBody: what was not confirmed leaves nothing.
func TestDirFailedBody(t *testing.T) {
	d := newDir(t)
	it := &Item{Bucket: "b", Object: "o", VersionID: "null", IsLatest: true}
	if _, err := d.Put(context.Background(), it, NewBody(strings.NewReader("short"), 6)); err == nil || errors.Is(err, ErrStop) {
		t.Errorf("a short body: %v", err)
	}
	for _, dir := range []string{"b", ".versions", ".partial/id"} {
		if left, err := os.ReadDir(filepath.Join(d.root.Name(), dir)); err == nil && len(left) > 0 {
			t.Errorf("%s has %d files", dir, len(left))
		}
	}
}

// TestDirLeftovers: what a killed run left is removed by the next one of its id only.
func TestDirLeftovers(t *testing.T) {
	name := t.TempDir()
	for _, id := range []string{"1", "2"} {
		if err := os.MkdirAll(filepath.Join(name, ".partial", id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(name, ".partial", id, "half"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := NewDir(name, "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(name, ".partial", "1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its own: %v", err)
	}
	if _, err := os.Stat(filepath.Join(name, ".partial", "2", "half")); err != nil {
		t.Errorf("another's: %v", err)
	}
}
