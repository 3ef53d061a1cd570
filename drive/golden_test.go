package drive

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// golden is what testdata/drives tells of a server's drives.
type golden struct {
	Keys []struct {
		Name, Algorithm string
		Key             []byte
	}
	Objects []goldenVersion
	Uploads []struct {
		Bucket, Object string
		ID             string `json:"upload_id"`
		Parts          []struct {
			Number int
			Size   int64
			SHA256 string
		}
	} `json:"unfinished_uploads"`
	Flips []struct{ File string }
}

type goldenVersion struct {
	Bucket, Object, SHA256, ETag string
	VersionID                    string `json:"version_id"`
	IsLatest                     bool   `json:"is_latest"`
	DeleteMarker                 bool   `json:"delete_marker"`
	Size                         int64
	StoredSize                   int64 `json:"stored_size"`
	Inline                       bool  `json:"inline_data"`
	Compressed                   bool
	ContentType                  string            `json:"content_type"`
	UserMetadata                 map[string]string `json:"user_metadata"`
	SSE                          struct {
		Type     string
		KMSKeyID string            `json:"kms_key_id"`
		Context  map[string]string `json:"kms_context"`
		Key      string            `json:"ssec_key_base64"`
	}
	Parts []int
}

func readGolden(t testing.TB, name string) *golden {
	t.Helper()
	b, err := os.ReadFile("../testdata/drives/" + name + ".json")
	must(t, err)
	g := new(golden)
	must(t, json.Unmarshal(b, g))
	return g
}

// unpackDrives unpacks archives, later ones over earlier ones, and returns the drives.
func unpackDrives(t testing.TB, archives ...string) (dir string, roots []string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range archives {
		f, err := os.Open("../testdata/drives/" + name + ".tar.gz")
		must(t, err)
		defer f.Close()
		z, err := gzip.NewReader(f)
		must(t, err)
		replaced := make(map[string]bool)
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			must(t, err)
			drive, _, _ := strings.Cut(h.Name, "/")
			if !replaced[drive] {
				replaced[drive] = true
				must(t, os.RemoveAll(filepath.Join(dir, drive)))
			}
			path := filepath.Join(dir, filepath.FromSlash(h.Name))
			if h.Typeflag == tar.TypeDir {
				must(t, os.MkdirAll(path, 0o755))
				continue
			}
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			b, err := io.ReadAll(r)
			must(t, err)
			must(t, os.WriteFile(path, b, 0o644))
		}
	}
	roots, err := filepath.Glob(filepath.Join(dir, "drive*"))
	must(t, err)
	return dir, roots
}

// goldenKeys opens what servers sealed, with the keys that they had.
type goldenKeys struct {
	kms.Backend
	g *golden
}

func (k goldenKeys) Decrypt(_ context.Context, id string, ciphertext []byte, ad kms.AssociatedData) (kms.DataKey, error) {
	for _, key := range k.g.Keys {
		if key.Name != id {
			continue
		}
		algorithm, ok := dek.ParseAlgorithm(key.Algorithm)
		if !ok {
			return kms.DataKey{}, kms.ErrUnsupported
		}
		plain, err := dek.Open(nil, key.Key, algorithm, ciphertext, ad.Canonical())
		if err != nil {
			return kms.DataKey{}, kms.ErrNotAuthentic
		}
		return kms.NewDataKey(plain)
	}
	return kms.DataKey{}, kms.ErrKeyNotFound
}

func (g *golden) client() *kms.Client { return kms.NewClient(goldenKeys{g: g}, nil) }

// check walks over the drives and compares every version with what the server told of it.
func (g *golden) check(t *testing.T, d *Deployment) (versions int) {
	t.Helper()
	objects := make(map[string]*Object)
	found := 0
	must(t, d.Walk(t.Context(), nil, func(o *Object) error {
		objects[o.Bucket+"/"+o.Name] = o
		found += len(o.Versions)
		if len(o.Unsettled) > 0 {
			t.Errorf("%s/%s: %d versions unsettled", o.Bucket, o.Name, len(o.Unsettled))
		}
		return nil
	}))
	client := g.client()
	for i := range g.Objects {
		w := &g.Objects[i]
		id := w.VersionID
		if id == "" {
			id = NullVersion
		}
		o := objects[w.Bucket+"/"+w.Object]
		if o == nil || o.Version(id) == nil {
			t.Errorf("%s/%s, version %s is not there", w.Bucket, w.Object, id)
			continue
		}
		if err := w.check(o.Version(id), client); err != nil {
			t.Errorf("%s/%s, version %s: %v", w.Bucket, w.Object, id, err)
		}
	}
	if found != len(g.Objects) {
		t.Errorf("%d versions on the drives, the server had %d", found, len(g.Objects))
	}
	return found
}

func (w *goldenVersion) check(v *Version, client *kms.Client) error {
	if v.IsLatest != w.IsLatest || (v.Type == DeleteMarker) != w.DeleteMarker {
		return fmt.Errorf("type %d, latest %v", v.Type, v.IsLatest)
	}
	if w.DeleteMarker {
		return nil
	}
	if v.Size != w.StoredSize || v.Size > 0 && v.Inline != w.Inline {
		return fmt.Errorf("%d bytes, inline %v; want %d, %v", v.Size, v.Inline, w.StoredSize, w.Inline)
	}
	if ct, _ := v.Meta("content-type"); ct != w.ContentType {
		return fmt.Errorf("content type %q, want %q", ct, w.ContentType)
	}
	for key, want := range w.UserMetadata {
		if got, _ := v.Meta("x-amz-meta-" + key); got != want {
			return fmt.Errorf("metadata %q: %q, want %q", key, got, want)
		}
	}
	var numbers []int
	for _, p := range v.Parts {
		numbers = append(numbers, p.Number)
	}
	if w.Parts != nil && !slices.Equal(numbers, w.Parts) {
		return fmt.Errorf("parts %v, want %v", numbers, w.Parts)
	}
	o := new(OpenOptions)
	if w.SSE.Key != "" {
		b, err := base64.StdEncoding.DecodeString(w.SSE.Key)
		if err != nil {
			return err
		}
		if o.CustomerKey, err = sse.NewCustomerKey(b); err != nil {
			return err
		}
	}
	c, err := v.Open(context.Background(), client, o)
	if err != nil {
		return err
	}
	defer c.Wipe()
	if !strings.EqualFold(c.Method.String(), w.SSE.Type) || c.Size != w.Size || c.KMSKeyID != w.SSE.KMSKeyID || c.Compressed != w.Compressed || len(c.Context) != len(w.SSE.Context) {
		return fmt.Errorf("%+v", c.Description)
	}
	if tag, err := c.ETag(); err != nil || tag != w.ETag {
		return fmt.Errorf("ETag %q, %w; want %q", tag, err, w.ETag)
	}
	r, err := c.NewReader(context.Background(), sse.Whole)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	if n, err := r.WriteTo(h); err != nil || n != w.Size {
		return fmt.Errorf("%d bytes, %w", n, err)
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != w.SHA256 {
		return fmt.Errorf("SHA-256 %s, want %s", sum, w.SHA256)
	}
	return nil
}

// TestGoldenDrives recovers everything that real servers left on their drives.
func TestGoldenDrives(t *testing.T) {
	for _, name := range []string{"A", "B", "C", "D", "E", "G", "H", "I"} {
		t.Run(name, func(t *testing.T) {
			_, roots := unpackDrives(t, name)
			d := openDrives(t, nil, roots...)
			if f := d.Findings(); len(f) > 0 {
				t.Errorf("%v", f)
			}
			g := readGolden(t, name)
			t.Logf("%d versions", g.check(t, d))
			g.checkUploads(t, d)
			system := 0
			must(t, d.Walk(t.Context(), &WalkOptions{Bucket: SystemBucket}, func(o *Object) error {
				system++
				if _, _, _, err := plaintext(t, o.Latest(), nil, nil); err != nil {
					t.Errorf("%s: %v", o.Name, err)
				}
				return nil
			}))
			if system < 3 {
				t.Errorf("%d objects of the server's own", system)
			}
		})
	}
}

func (g *golden) checkUploads(t *testing.T, d *Deployment) {
	t.Helper()
	found := 0
	must(t, d.Uploads(t.Context(), func(u *Upload) error {
		for _, w := range g.Uploads {
			if w.ID != u.ID || !u.HasName(w.Bucket, w.Object) || len(u.Version.Parts) != len(w.Parts) {
				continue
			}
			found++
			for _, p := range w.Parts {
				v, err := u.Named(w.Bucket, w.Object, p.Number)
				must(t, err)
				b, _, _, err := plaintext(t, v, g.client(), nil)
				if sum := sha256.Sum256(b); err != nil || hex.EncodeToString(sum[:]) != p.SHA256 || int64(len(b)) != p.Size {
					t.Errorf("upload %s, part %d: %d bytes, %v", u.ID, p.Number, len(b), err)
				}
			}
		}
		return nil
	}))
	if found != len(g.Uploads) {
		t.Errorf("%d uploads, want %d", found, len(g.Uploads))
	}
}

// TestGoldenPairs reads D from any two of its four drives, and I from any two of each set.
func TestGoldenPairs(t *testing.T) {
	for _, name := range []string{"D", "I"} {
		dir, roots := unpackDrives(t, name)
		g := readGolden(t, name)
		for pair := range combinations(4, 2) {
			t.Run(fmt.Sprint(name, pair), func(t *testing.T) {
				var some []string
				for set := range len(roots) / 4 {
					for _, i := range pair {
						some = append(some, filepath.Join(dir, fmt.Sprintf("drive%d", 1+4*set+(i+set)%4)))
					}
				}
				d := openDrives(t, nil, some...)
				if got := len(d.Findings()); got != len(some) {
					t.Errorf("%d findings: %v", got, d.Findings())
				}
				g.check(t, d)
				g.checkUploads(t, d)
			})
		}
	}
}

// TestGoldenOneDrive: with three of four drives missing, nothing that has data is recovered.
func TestGoldenOneDrive(t *testing.T) {
	_, roots := unpackDrives(t, "D")
	g := readGolden(t, "D")
	for _, root := range roots {
		d := openDrives(t, nil, root)
		n := 0
		must(t, d.Walk(t.Context(), nil, func(o *Object) error {
			for _, v := range o.Versions {
				if v.Type == DeleteMarker {
					continue
				}
				n++
				i := slices.IndexFunc(g.Objects, func(w goldenVersion) bool {
					return w.Bucket == o.Bucket && w.Object == o.Name && (w.VersionID == v.ID || w.VersionID == "")
				})
				if err := g.Objects[i].check(v, g.client()); !errors.Is(err, ErrDamaged) || KindOf(err) != KindDamaged {
					t.Errorf("%s/%s: %v, want ErrDamaged", o.Bucket, o.Name, err)
				}
			}
			return nil
		}))
		if n < 30 {
			t.Errorf("%d versions were seen", n)
		}
	}
}

// TestGoldenBitrot: everything is recovered, and every file with a flipped byte is told.
func TestGoldenBitrot(t *testing.T) {
	for _, name := range []string{"D", "I"} {
		t.Run(name, func(t *testing.T) {
			dir, roots := unpackDrives(t, name, name+"-bitrot")
			g := readGolden(t, name)
			g.check(t, openDrives(t, nil, roots...))

			var mu sync.Mutex
			told := make(map[string]Problem)
			tell := func(f Finding) {
				mu.Lock()
				defer mu.Unlock()
				path, err := filepath.Rel(dir, filepath.Join(f.Drive, f.Path))
				must(t, err)
				told[filepath.ToSlash(path)] = f.Problem
			}
			d := openDrives(t, &Options{CheckAll: true, Report: tell}, roots...)
			g.check(t, d)
			must(t, d.Walk(t.Context(), nil, func(o *Object) error {
				for _, f := range o.Findings {
					tell(f)
				}
				return nil
			}))
			flipped := make(map[string]bool)
			for _, f := range g.Flips {
				flipped[f.File] = true
				if p := told[f.File]; p != ShardDamaged && p != MetadataDamaged {
					t.Errorf("%s: %q was told", f.File, p)
				}
			}
			for path, p := range told {
				// Of an xl.meta that is damaged as a whole, inline data is damaged too.
				if !flipped[path] {
					t.Errorf("%s: %q was told for nothing", path, p)
				}
			}
		})
	}
}
