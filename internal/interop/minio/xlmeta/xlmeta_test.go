package xlmeta_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/drivetest"
	"github.com/objseal/objseal/internal/interop/minio/xlmeta"
)

// TestChange: what was changed reads as such, by package drive too, and nothing
// else has changed.
func TestChange(t *testing.T) {
	cluster := drivetest.New(t, t.TempDir(), 1, 1)
	const id = "0a0b0c0d-0102-4304-8506-0708090a0b0c"
	content := strings.Repeat("content ", 1000)
	cluster.Put("bucket", "a/object/",
		drivetest.Version{ID: id, ModTime: time.Unix(1_700_000_002, 0), Parts: [][]byte{[]byte(content)}, Inline: true, Metadata: map[string]string{"etag": "1", "x-minio-internal-x": "2"}},
		drivetest.Version{Deleted: true, ModTime: time.Unix(1_700_000_001, 0)})
	root := cluster.Drives()[0]
	name := filepath.Join(xlmeta.Dir("bucket", "a/object/"), xlmeta.FileName)
	before, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := xlmeta.Parse(before)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(f.Bytes(), before) {
		t.Error("what nobody changed is another file")
	}
	if len(f.Versions) != 2 || f.Versions[0].ID() != id || f.Versions[1].ID() != "null" || !f.Versions[0].IsObject() || f.Versions[1].IsObject() {
		t.Fatal("other versions")
	}
	v := f.Versions[0]
	if m, err := v.Metadata(); err != nil || !maps.Equal(m, map[string]string{"etag": "1", "x-minio-internal-x": "2"}) {
		t.Errorf("metadata %q, %v", m, err)
	}
	want := map[string]string{"etag": strings.Repeat("3", 96), "X-Minio-Internal-Y": "\x00\xff", "X-Minio-Internal-Empty": "", "X-Amz-Meta-A": "b"}
	v.SetMetadata(want)
	v.SetActualSizes([]int64{17})
	if err := f.Write(root, name); err != nil {
		t.Fatal(err)
	}

	if f, err = xlmeta.Read(filepath.Join(root, name)); err != nil {
		t.Fatal(err)
	}
	m, err := f.Versions[0].Metadata()
	if err != nil || !maps.Equal(m, want) {
		t.Errorf("metadata %q, %v", m, err)
	}
	if parts, err := f.Versions[0].Parts(); err != nil || len(parts) != 1 || parts[0].Number != 1 || parts[0].Size != int64(len(content)) || parts[0].ActualSize != 17 {
		t.Errorf("parts %v, %v", parts, err)
	}
	if !bytes.Contains(f.Inline(), []byte(content[:100])) {
		t.Error("the data is gone")
	}
	d, err := drive.Open(t.Context(), []string{root}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	o, err := d.Lookup(t.Context(), "bucket", "a/object/")
	if err != nil {
		t.Fatal(err)
	}
	got := o.Version(id)
	if got == nil || got.ETag() != want["etag"] || len(got.Parts) != 1 || got.Parts[0].ActualSize != 17 {
		t.Errorf("package drive reads %+v", got)
	}
}

func TestParseRefuses(t *testing.T) {
	cluster := drivetest.New(t, t.TempDir(), 1, 1)
	cluster.Put("bucket", "object", drivetest.Version{Parts: [][]byte{[]byte("x")}, Inline: true})
	good, err := os.ReadFile(filepath.Join(cluster.Drives()[0], "bucket", "object", xlmeta.FileName))
	if err != nil {
		t.Fatal(err)
	}
	end := len(good) - len("\x01")
	for n := range end {
		if f, err := xlmeta.Parse(good[:n]); err == nil && !bytes.Equal(f.Bytes(), good[:n]) {
			t.Errorf("%d bytes are taken, and become others", n)
		}
	}
	bad := bytes.Clone(good)
	bad[40] ^= 1
	if _, err := xlmeta.Parse(bad); err == nil {
		t.Error("a file with a wrong checksum is taken")
	}
}
