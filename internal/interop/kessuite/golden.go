//go:build unix

package kessuite

import (
	"encoding/json"
	"path"
	"path/filepath"
	"testing"

	"github.com/objseal/objseal/internal/interop/kesproc"
)

// golden is an object that a real MinIO sealed, as its index tells.
type golden struct {
	File       string
	Deployment string // its key store is keys/<Deployment>
	Size       int
	SHA256     string
	KES        string // set if a KES server had the key
	ETag       string
	Scheme     string
	KMSKeyID   string `json:"kms_key_id"`
}

// answer is what the command tells of an opened object.
type answer struct {
	ETag     string `json:"etag"`
	SSE      string `json:"sse"`
	KMSKeyID string `json:"kms_key_id"`
}

// testGolden opens the objects that real MinIO servers sealed, through a real
// KES server that serves the very key store they were sealed under.
func testGolden(t *testing.T, binary, command string, g Generation) {
	var index struct{ Objects []golden }
	if err := json.Unmarshal(read(t, filepath.Join(g.GoldenDir, "index.json")), &index); err != nil {
		t.Fatal(err)
	}
	objects, err := filepath.Abs(g.GoldenDir)
	if err != nil {
		t.Fatal(err)
	}
	byDeployment := make(map[string][]golden)
	matched := make(map[string]bool)
	for _, o := range index.Objects {
		if o.KES == "" {
			continue
		}
		for _, pattern := range g.Golden {
			if ok, err := path.Match(pattern, o.File); err != nil {
				t.Fatal(err)
			} else if ok {
				matched[pattern] = true
				byDeployment[o.Deployment] = append(byDeployment[o.Deployment], o)
			}
		}
	}
	for _, pattern := range g.Golden {
		if !matched[pattern] {
			t.Errorf("no golden object is named like %s", pattern)
		}
	}

	opened := 0
	for deployment, list := range byDeployment {
		d := kesproc.NewDeployment(t, binary, &kesproc.Options{KeyStore: filepath.Join(g.GoldenDir, "keys", deployment)})
		s := d.Start(t)
		for _, c := range []caller{withAPIKey(command, d, d.APIKey, s), withCertificate(command, d, list[0].KMSKeyID, s)} {
			for _, o := range list {
				t.Run(o.File+" with "+c.name, func(t *testing.T) {
					out := t.TempDir()
					r := c.must(t, out, "decrypt", "--json", "-o", "plain", filepath.Join(objects, o.File))
					var told answer
					if err := json.Unmarshal([]byte(r.stdout), &told); err != nil {
						t.Fatalf("%v: %s", err, r.stdout)
					}
					if want := (answer{o.ETag, o.Scheme, o.KMSKeyID}); told != want {
						t.Errorf("told %+v, want %+v", told, want)
					}
					if got := read(t, filepath.Join(out, "plain")); len(got) != o.Size || sum(got) != o.SHA256 {
						t.Errorf("%d bytes of sha256 %s, want %d of %s", len(got), sum(got), o.Size, o.SHA256)
					}
					opened++
				})
			}
		}
	}
	t.Logf("opened %d golden objects, each with both credentials", opened/2)
}
