//go:build unix

package minio_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/interop/minio/s3client"
	"github.com/objseal/objseal/internal/interop/minio/workload"
	"github.com/objseal/objseal/internal/interop/minioproc"
	"github.com/objseal/objseal/internal/interop/process"
)

var objectCount = flag.Int("objects", 300, "how many objects TestRecover stores")

const kmsKey = "test-key"

// TestRecover takes everything off the drives of a deployment of two erasure sets
// with the command, and compares it with what the server said before: once without four
// drives of each set, which is all that EC:4 allows, and once without three of each,
// with damage to shards of the others. Then everything goes into another server.
func TestRecover(t *testing.T) {
	binary, objseal := minioproc.Build(t, "."), process.Build(t, filepath.Join("..", "..", ".."), "./cmd/objseal")
	key := make([]byte, 32)
	rand.Read(key)
	secret := "MINIO_KMS_SECRET_KEY=" + kmsKey + ":" + base64.StdEncoding.EncodeToString(key)
	server := minioproc.Start(t, binary, &minioproc.Options{
		Env:    append([]string{secret, "MINIO_ERASURE_SET_DRIVE_COUNT=8", "MINIO_STORAGE_CLASS_STANDARD=EC:4"}, workload.Env...),
		Drives: 16,
		TLS:    true, // for SSE-C
	})
	client := s3client.New(t, server)
	workload.Fill(t, client, kmsKey, *objectCount)
	var want []workload.Version
	for _, bucket := range []string{workload.Objects, workload.Versions} {
		want = append(want, workload.Read(t, client, bucket, *objectCount, false)...)
	}
	t.Logf("%d objects: %s", *objectCount, workload.Count(want))
	backend := fillBackend(t, server, client)
	server.Stop(t)

	keys := filepath.Join(t.TempDir(), "customer-keys")
	workload.WriteCustomerKeys(t, keys, *objectCount)
	run := command{path: objseal, env: []string{secret}}
	random := mathrand.New(mathrand.NewPCG(2, 3))
	sets := [][]string{server.Drives[:8], server.Drives[8:]}

	t.Run("four drives of each set missing", func(t *testing.T) {
		drives := without(random, sets, 4)
		out := t.TempDir()
		lines := run.recover(t, drives, "--out", out, "--all-versions", "--customer-keys", keys)
		compareLines(t, lines, want, out)
		backend.compare(t, run, drives)
	})
	t.Run("three missing, shards damaged", func(t *testing.T) {
		drives := without(random, sets, 3)
		damaged := damageShards(t, random, drives, 50)
		out := t.TempDir()
		lines := run.recover(t, drives, "--out", out, "--all-versions", "--customer-keys", keys)
		compareLines(t, lines, want, out)
		// A shard that nothing needed was not read: about one in five.
		if found := findings(lines, "shard-damaged"); found < damaged/2 || found > damaged {
			t.Errorf("%d of %d damaged shards are told", found, damaged)
		} else {
			t.Logf("%d of %d damaged shards were met and told", found, damaged)
		}
	})
	t.Run("into another server", func(t *testing.T) {
		target := minioproc.Start(t, binary, &minioproc.Options{Env: []string{secret}})
		there := run
		there.env = append(slices.Clone(run.env), "AWS_ACCESS_KEY_ID="+minioproc.User, "AWS_SECRET_ACCESS_KEY="+minioproc.Password)
		there.recover(t, server.Drives, "--out", "s3://", "--s3-endpoint", target.URL(), "--all-versions", "--customer-keys", keys)
		c := s3client.New(t, target)
		var got []workload.Version
		for _, bucket := range []string{workload.Objects, workload.Versions} {
			got = append(got, workload.Read(t, c, bucket, *objectCount, true)...)
		}
		compareStores(t, got, want)
	})
}

// without returns the drives that are left when each set has lost n.
func without(random *mathrand.Rand, sets [][]string, n int) (left []string) {
	for _, set := range sets {
		kept := slices.Clone(set)
		random.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
		left = append(left, kept[n:]...)
	}
	random.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	return left
}

// damageShards flips a byte of up to n shards, of different objects, so that none loses more
// than one, and returns how many.
func damageShards(t *testing.T, random *mathrand.Rand, drives []string, n int) int {
	t.Helper()
	var files []string
	for _, drive := range drives {
		for _, bucket := range []string{workload.Objects, workload.Versions} {
			err := filepath.WalkDir(filepath.Join(drive, bucket), func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.Type().IsRegular() {
					files = append(files, path)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	touched := make(map[string]bool)
	for _, path := range files {
		if len(touched) == n {
			break
		}
		object := filepath.Dir(path)
		part := strings.HasPrefix(filepath.Base(path), "part.")
		if part {
			object = filepath.Dir(object)
		}
		for _, drive := range drives {
			object = strings.TrimPrefix(object, drive+"/")
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := len(b) - 1 // of xl.meta: the end of the last inline shard
		if part {
			at = random.IntN(len(b))
		}
		if touched[object] || !part && !bytes.Contains(b, []byte("inline-data")) {
			continue
		}
		if !part && len(b) > 0 && b[len(b)-1] == 0 {
			continue // may be an entry without bytes: there is nothing to damage
		}
		b[at] ^= byte(1 + random.IntN(255))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		touched[object] = true
	}
	return len(touched)
}

// A command runs objseal with nothing in its environment but env.
type command struct {
	path string
	env  []string
}

// run returns what the command prints; it must succeed.
func (c *command) run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.path, args...)
	cmd.Env = append([]string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, c.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("objseal %s: %v\n%.4000s", strings.Join(args[:2], " "), err, stderr.String())
	}
	return out
}

// A line is one of the report of drive recover.
type line struct {
	Bucket, Object, SHA256, SSE, ETag, Path, Status, Kind, Error, Tags string
	VersionID                                                          string `json:"version_id"`
	IsLatest                                                           bool   `json:"is_latest"`
	DeleteMarker                                                       bool   `json:"delete_marker"`
	Size                                                               int64
	ContentType                                                        string            `json:"content_type"`
	UserMetadata                                                       map[string]string `json:"user_metadata"`
	Findings                                                           []struct{ Problem string }
}

func (c *command) recover(t *testing.T, drives []string, args ...string) []line {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.jsonl")
	args = append(append([]string{"drive", "recover", "--report", report}, args...), drives...)
	c.run(t, args...)
	f, err := os.Open(report)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []line
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

func findings(lines []line, problem string) (n int) {
	for _, l := range lines {
		for _, f := range l.Findings {
			if f.Problem == problem {
				n++
				break
			}
		}
	}
	return n
}

// compareLines demands that every version was recovered as the server had it.
func compareLines(t *testing.T, lines []line, want []workload.Version, out string) {
	t.Helper()
	type name struct{ bucket, object, version string }
	got := make(map[name]line)
	for _, l := range lines {
		if l.Object != "" {
			got[name{l.Bucket, l.Object, l.VersionID}] = l
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d versions, want %d", len(got), len(want))
	}
	wrong := 0
	for _, w := range want {
		id := w.VersionID
		if id == "" {
			id = "null"
		}
		l, ok := got[name{w.Bucket, w.Object, id}]
		problem := ""
		switch {
		case !ok:
			problem = "it is not in the report"
		case l.Status != "ok":
			problem = fmt.Sprintf("%s: %s: %s", l.Status, l.Kind, l.Error)
		case l.IsLatest != w.IsLatest || l.DeleteMarker != w.DeleteMarker:
			problem = "its place among the versions is another"
		case w.DeleteMarker:
		case l.Size != w.Size || l.SHA256 != w.SHA256 || fileSum(t, filepath.Join(out, l.Path)) != w.SHA256:
			problem = "its content is another"
		case l.ETag != w.ETag:
			problem = fmt.Sprintf("its ETag is %s, the server's %s", l.ETag, w.ETag)
		case !strings.EqualFold(l.SSE, w.Scheme):
			problem = "its encryption is said to be " + l.SSE
		case l.ContentType != w.ContentType || !sameMetadata(l.UserMetadata, w.UserMetadata):
			problem = fmt.Sprintf("its metadata is %s %q", l.ContentType, l.UserMetadata)
		}
		if problem == "" {
			continue
		}
		if wrong++; wrong <= 10 {
			t.Errorf("%s/%s version %s (%s, %d bytes): %s", w.Bucket, w.Object, id, w.Scheme, w.Size, problem)
		}
	}
	t.Logf("%d of %d versions are right", len(want)-wrong, len(want))
}

// sameMetadata compares without regard to the case of names, which HTTP changes.
func sameMetadata(a, b map[string]string) bool {
	lower := func(m map[string]string) map[string]string {
		l := make(map[string]string)
		for name, value := range m {
			l[strings.ToLower(name)] = value
		}
		return l
	}
	return maps.Equal(lower(a), lower(b))
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// compareStores demands that a store has the versions of another one, in their order.
func compareStores(t *testing.T, got, want []workload.Version) {
	t.Helper()
	type name struct{ bucket, object string }
	byName := func(versions []workload.Version) map[name][]workload.Version {
		m := make(map[name][]workload.Version)
		for _, v := range versions {
			n := name{v.Bucket, v.Object}
			m[n] = append(m[n], v)
		}
		return m
	}
	have := byName(got)
	wrong, equal, sameETags := 0, 0, 0
	for n, versions := range byName(want) {
		if len(have[n]) != len(versions) {
			t.Errorf("%s/%s: %d versions, want %d", n.bucket, n.object, len(have[n]), len(versions))
			continue
		}
		for i, w := range versions {
			g := have[n][i]
			same := (g.VersionID == "null") == (w.VersionID == "null") && g.DeleteMarker == w.DeleteMarker && g.IsLatest == w.IsLatest && g.Size == w.Size && g.SHA256 == w.SHA256 &&
				g.ContentType == w.ContentType && maps.Equal(g.Header, w.Header) && sameMetadata(g.UserMetadata, w.UserMetadata) && maps.Equal(g.Tags, w.Tags)
			if g.ETag == w.ETag {
				sameETags++
			}
			if same {
				equal++
			} else if wrong++; wrong <= 10 {
				t.Errorf("%s/%s, version %d: got %+v, want %+v", n.bucket, n.object, i, g, w)
			}
		}
	}
	t.Logf("%d of %d versions are equal, %d of them with their ETag", equal, len(want), sameETags)
}
