package recovery_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/drivetest"
	"github.com/objseal/objseal/drive/recovery"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmstest"
	"github.com/objseal/objseal/sse"
)

func versionID(n int) string { return fmt.Sprintf("%08x-1111-4111-8111-%012x", n, n) }

func customerKey(t testing.TB) sse.CustomerKey {
	t.Helper()
	key, err := sse.NewCustomerKey(bytes.Repeat([]byte{5}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// deployment is drives with one of everything, and what they hold: plaintext by bucket, object and version id.
type deployment struct {
	*drivetest.Cluster
	client *kms.Client
	keys   *recovery.CustomerKeys
	want   map[string]string
}

func newDeployment(t testing.TB, sets, drives int) *deployment {
	t.Helper()
	d := &deployment{Cluster: drivetest.New(t, t.TempDir(), sets, drives), client: kms.NewClient(kmstest.NewBackend("k1", "k2"), nil), want: make(map[string]string)}
	customer := customerKey(t)
	put := func(bucket, object string, r sse.Request, text string, inline bool) {
		v := drivetest.Version{Parts: [][]byte{[]byte(text)}, Inline: inline, Metadata: map[string]string{"content-type": "text/plain", "etag": "0123456789abcdef0123456789abcdef-1"}}
		if r.Method != sse.None {
			v = drivetest.Sealed(t, d.client, r, bucket, object, text)
			v.Inline = inline
			v.Metadata["X-Amz-Meta-Name"] = object
		}
		d.Put(bucket, object, v)
		d.want[bucket+"/"+object+" null"] = text
	}
	put("b1", "none", sse.Request{}, "in clear", true)
	put("b1", "s3", sse.Request{Method: sse.S3, KMSKeyID: "k1"}, "sealed", true)
	put("b1", "kms/of another key", sse.Request{Method: sse.KMS, KMSKeyID: "k2"}, strings.Repeat("much ", 100_000), false)
	put("b1", "large", sse.Request{Method: sse.S3, KMSKeyID: "k1"}, strings.Repeat("0123456789abcdef", 70_000), false)
	put("b1", "customer", sse.Request{Method: sse.C, CustomerKey: customer}, "mine", true)
	put("b1", "empty", sse.Request{Method: sse.S3, KMSKeyID: "k1"}, "", true)
	put("b2", "a", sse.Request{}, "a file", true)
	put("b2", "a/b", sse.Request{}, "below it", true)
	put("b2", "folder/", sse.Request{}, "", true)
	put("b2", "not\xffutf8\n", sse.Request{}, "odd", true)
	put("b2", strings.Repeat("n", 255), sse.Request{}, "long", true)

	versions := []drivetest.Version{{ID: versionID(3), Deleted: true, ModTime: time.Unix(1700000003, 0)}}
	for i := 2; i > 0; i-- {
		text := fmt.Sprint("version ", i)
		v := drivetest.Sealed(t, d.client, sse.Request{Method: sse.KMS, KMSKeyID: "k1"}, "b3", "doc", text)
		v.ID, v.ModTime = versionID(i), time.Unix(1700000000+int64(i), 0)
		versions = append(versions, v)
		d.want["b3/doc "+v.ID] = text
	}
	d.Put("b3", "doc", versions...)

	text := fmt.Sprintf("{\"bucket\":\"b1\",\"prefix\":\"\",\"key\":%q}\n", base64.StdEncoding.EncodeToString(customer.Bytes()))
	keys, err := recovery.ReadCustomerKeys(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	d.keys = keys
	return d
}

// outcome is what a run did.
type outcome struct {
	recovery.Summary
	err   error
	lines map[string]*recovery.Line // by bucket/object version
	order []string
}

// run recovers from the drives into a sink.
func run(t testing.TB, roots []string, sink recovery.Sink, o recovery.Options) outcome {
	t.Helper()
	var text bytes.Buffer
	if o.Report == nil {
		o.Report = recovery.NewReport(&text)
	}
	r := recovery.New(sink, &o)
	d, err := drive.Open(t.Context(), roots, &drive.Options{Report: r.Finding})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out outcome
	out.Summary, out.err = r.Run(t.Context(), d)
	out.lines, out.order = parse(t, text.Bytes())
	return out
}

func parse(t testing.TB, text []byte) (lines map[string]*recovery.Line, order []string) {
	t.Helper()
	lines = make(map[string]*recovery.Line)
	for line := range bytes.Lines(text) {
		var l recovery.Line
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		if l.ObjectBytes != nil {
			l.Object = string(l.ObjectBytes)
		}
		if l.PathBytes != nil {
			l.Path = string(l.PathBytes)
		}
		name := l.Bucket + "/" + l.Object + " " + l.VersionID
		if lines[name] != nil && l.Object != "" {
			t.Errorf("%q has two lines", name)
		}
		lines[name] = &l
		order = append(order, name)
	}
	return lines, order
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// check compares the lines, and what read returns for their paths, with what the drives hold.
func (d *deployment) check(t testing.TB, out outcome, read func(path string) (string, error)) {
	t.Helper()
	if out.err != nil || out.Failed != 0 {
		for name, l := range out.lines {
			if l.Status == recovery.Failed {
				t.Errorf("%q: %s %s", name, l.Kind, l.Error)
			}
		}
		t.Fatalf("err %v, %d failed", out.err, out.Failed)
	}
	for name, text := range d.want {
		l := out.lines[name]
		if l == nil || l.Status != recovery.OK || l.Size != int64(len(text)) || l.SHA256 != hexSum(text) {
			t.Errorf("%q: line %+v", name, l)
			continue
		}
		if got, err := read(l.Path); err != nil || got != text {
			t.Errorf("%q: %q has %d bytes, want %d: %v", name, l.Path, len(got), len(text), err)
		}
	}
}

func TestDir(t *testing.T) {
	for _, shape := range [][2]int{{1, 1}, {1, 4}, {2, 4}} {
		t.Run(fmt.Sprintf("sets=%d/drives=%d", shape[0], shape[1]), func(t *testing.T) {
			d := newDeployment(t, shape[0], shape[1])
			dir := filepath.Join(t.TempDir(), "new", "out")
			sink, err := recovery.NewDir(dir, "id")
			if err != nil {
				t.Fatal(err)
			}
			out := run(t, d.Drives(), sink, recovery.Options{Client: d.client, CustomerKeys: d.keys, AllVersions: true})
			d.check(t, out, func(path string) (string, error) {
				b, err := os.ReadFile(filepath.Join(dir, path))
				return string(b), err
			})
			for name, want := range map[string]string{
				"b1/s3 null":                 "b1/s3",
				"b2/a null":                  ".versions/b2/a/null",
				"b2/a/b null":                "b2/a/b",
				"b2/folder/ null":            "b2/folder__XLDIR__",
				"b2/not\xffutf8\n null":      "b2/not\xffutf8\n",
				"b3/doc " + versionID(2):     ".versions/b3/doc/" + versionID(2),
				"b3/doc " + versionID(3):     "", // a delete marker
				"b1/kms/of another key null": "b1/kms/of another key",
			} {
				if l := out.lines[name]; l == nil || l.Path != want {
					t.Errorf("%q: path of %+v, want %q", name, l, want)
				}
			}
			if l := out.lines["b3/doc "+versionID(3)]; !l.DeleteMarker || !l.IsLatest || l.Status != recovery.OK {
				t.Errorf("the delete marker: %+v", l)
			}
			l := out.lines["b1/s3 null"]
			if l.UserMetadata["Name"] != "s3" || l.KMSKeyID != "k1" || l.SSE != "SSE-S3" || l.Integrity != "content" || len(l.ETag) != 32 {
				t.Errorf("b1/s3: %+v", l)
			}
			if out.OK != int64(len(d.want))+1 || out.DeleteMarkers != 1 || out.Skipped != 0 {
				t.Errorf("summary %+v", out.Summary)
			}
			if left, err := os.ReadDir(filepath.Join(dir, ".partial")); err == nil {
				t.Errorf(".partial is left, with %d files", len(left))
			}
			info, err := os.Stat(filepath.Join(dir, ".versions", "b3", "doc", versionID(1)))
			if err != nil || !info.ModTime().Equal(time.Unix(1700000001, 0)) || info.Mode().Perm() != 0o600 {
				t.Errorf("a version's file: %v, %v", info, err)
			}
		})
	}
}

// TestLatest recovers what clients saw that asked for no version.
func TestLatest(t *testing.T) {
	d := newDeployment(t, 1, 1)
	sink, err := recovery.NewDir(t.TempDir(), "id")
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, d.Drives(), sink, recovery.Options{Client: d.client, CustomerKeys: d.keys})
	if out.err != nil || out.Failed != 0 || len(out.lines) != len(d.want)-1 {
		t.Fatalf("%+v, %d lines", out.Summary, len(out.lines))
	}
	if l := out.lines["b3/doc "+versionID(3)]; l == nil || !l.DeleteMarker {
		t.Errorf("the deleted object: %+v", l)
	}
}

func TestTar(t *testing.T) {
	d := newDeployment(t, 1, 4)
	var stream bytes.Buffer
	out := run(t, d.Drives(), recovery.NewTar(&stream), recovery.Options{Client: d.client, CustomerKeys: d.keys, AllVersions: true})
	entries := make(map[string]string)
	for r := tar.NewReader(&stream); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		entries[h.Name] = string(text)
		if got := h.PAXRecords["OBJSEAL.sha256"]; got != hexSum(string(text)) {
			t.Errorf("%q: OBJSEAL.sha256 is %q", h.Name, got)
		}
		name := h.PAXRecords["OBJSEAL.bucket"] + "/" + h.PAXRecords["OBJSEAL.object"] + " " + h.PAXRecords["OBJSEAL.version_id"]
		if l := out.lines[name]; l == nil || l.Path != h.Name || l.ETag != h.PAXRecords["OBJSEAL.etag"] {
			t.Errorf("%q is the entry of %q, whose line is %+v", h.Name, name, l)
		}
		if h.Name == "b1/s3" && h.PAXRecords["OBJSEAL.user_metadata"] != `{"Name":"s3"}` {
			t.Errorf("user metadata in the tar stream: %q", h.PAXRecords["OBJSEAL.user_metadata"])
		}
	}
	if len(entries) != len(d.want) {
		t.Errorf("%d entries, want %d", len(entries), len(d.want))
	}
	d.check(t, out, func(path string) (string, error) {
		text, ok := entries[path]
		if !ok {
			return "", fs.ErrNotExist
		}
		return text, nil
	})
}

// TestTarHeaderTooLong: metadata that no header holds fails its version, not the stream.
func TestTarHeaderTooLong(t *testing.T) {
	c := drivetest.New(t, t.TempDir(), 1, 1)
	c.Put("b", "a", drivetest.Version{Parts: [][]byte{[]byte("a")}, Metadata: map[string]string{"X-Amz-Meta-Long": strings.Repeat("x", 2<<20)}})
	c.Put("b", "b", drivetest.Version{Parts: [][]byte{[]byte("b")}})
	var stream bytes.Buffer
	out := run(t, c.Drives(), recovery.NewTar(&stream), recovery.Options{Jobs: 1})
	if l := out.lines["b/a null"]; out.err != nil || out.OK != 1 || l == nil || l.Status != recovery.Failed || l.Kind != recovery.KindOutput {
		t.Errorf("%v, %+v, %+v", out.err, out.Summary, l)
	}
	r := tar.NewReader(&stream)
	if h, err := r.Next(); err != nil || h.Name != "b/b" {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

// recorder is a sink in memory, which fails where it is told to.
type recorder struct {
	mu      sync.Mutex
	put     []string
	content map[string]string
	fail    func(it *recovery.Item) error
	closed  int
}

func (s *recorder) Put(_ context.Context, it *recovery.Item, body *recovery.Body) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := it.Bucket + "/" + it.Object + " " + it.VersionID
	if s.fail != nil {
		if err := s.fail(it); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return "", err
	}
	s.put = append(s.put, name)
	if s.content == nil {
		s.content = make(map[string]string)
	}
	s.content[name] = string(text)
	return name, nil
}

func (s *recorder) Delete(_ context.Context, it *recovery.Item) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put = append(s.put, "delete "+it.VersionID)
	return "", nil
}

func (s *recorder) Close(context.Context) error {
	s.closed++
	return nil
}

// TestVersionOrder: the versions of an object reach the sink oldest first.
func TestVersionOrder(t *testing.T) {
	d := newDeployment(t, 1, 1)
	sink := new(recorder)
	out := run(t, d.Drives(), sink, recovery.Options{Client: d.client, Bucket: "b3", AllVersions: true})
	want := []string{"b3/doc " + versionID(1), "b3/doc " + versionID(2), "delete " + versionID(3)}
	if out.err != nil || !slices.Equal(sink.put, want) || sink.closed != 1 {
		t.Errorf("%v, %q, closed %d times", out.err, sink.put, sink.closed)
	}
}

// TestSinkErrors: one version is refused and the run goes on, a full output ends it.
func TestSinkErrors(t *testing.T) {
	d := newDeployment(t, 1, 1)
	refused := errors.New("not this one")
	for name, test := range map[string]struct {
		err    error
		status recovery.Status
		ends   bool
	}{
		"one":       {refused, recovery.Failed, false},
		"not taken": {fmt.Errorf("%w: no versions there", recovery.ErrNotTaken), recovery.Skipped, false},
		"full":      {fmt.Errorf("%w: %w", recovery.ErrStop, syscall.ENOSPC), recovery.Failed, true},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &recorder{fail: func(it *recovery.Item) error {
				if it.Object == "s3" {
					return test.err
				}
				return nil
			}}
			out := run(t, d.Drives(), sink, recovery.Options{Client: d.client, CustomerKeys: d.keys, Jobs: 1})
			l := out.lines["b1/s3 null"]
			switch {
			case sink.closed != 1:
				t.Errorf("closed %d times", sink.closed)
			case test.ends:
				if !errors.Is(out.err, syscall.ENOSPC) || l == nil || l.Status != test.status || l.Kind != recovery.KindOutput || out.Failed != 1 || len(out.lines) == len(d.want)-1 {
					t.Errorf("%v after %d lines, one of the version: %+v", out.err, len(out.lines), l)
				}
			case out.err != nil || l.Status != test.status || l.Kind != recovery.KindOutput || l.SHA256 != "" || len(out.lines) != len(d.want)-1:
				t.Errorf("%v, %d lines, %+v", out.err, len(out.lines), l)
			}
		})
	}
}

// TestMissingKeys: what opens is recovered, what does not is told by kind.
func TestMissingKeys(t *testing.T) {
	d := newDeployment(t, 1, 1)
	client := kms.NewClient(kmstest.NewBackend("k2"), nil) // another k2, and no k1
	for _, dry := range []bool{false, true} {
		t.Run(fmt.Sprintf("dry=%v", dry), func(t *testing.T) {
			sink := new(recorder)
			o := recovery.Options{Client: client, AllVersions: true, DryRun: dry}
			var out outcome
			if dry {
				out = run(t, d.Drives(), nil, o)
			} else {
				out = run(t, d.Drives(), sink, o)
			}
			if out.err != nil {
				t.Fatal(out.err)
			}
			for name, kind := range map[string]sse.Kind{
				"b1/s3 null":                 sse.KindKeyNotFound,
				"b1/large null":              sse.KindKeyNotFound,
				"b1/kms/of another key null": sse.KindNotAuthentic,
				"b1/customer null":           sse.KindKeyNotFound,
				"b3/doc " + versionID(1):     sse.KindKeyNotFound,
			} {
				if l := out.lines[name]; l.Status != recovery.Failed || l.Kind != kind {
					t.Errorf("%q: %s %s, want %s", name, l.Status, l.Kind, kind)
				}
			}
			l := out.lines["b1/none null"]
			if dry && (l.Status != recovery.Skipped || l.Kind != recovery.KindDryRun) || !dry && l.Status != recovery.OK {
				t.Errorf("what needs no key: %+v", l)
			}
			missing := make(map[string]int64)
			for _, k := range out.Keys {
				missing[k.Method.String()+" "+k.KMSKeyID] = k.Missing
			}
			if missing["SSE-S3 k1"] != 3 || missing["SSE-KMS k2"] != 1 || missing["SSE-KMS k1"] != 2 || missing["SSE-C "] != 1 {
				t.Errorf("missing keys: %v", missing)
			}
		})
	}
}

// TestDryRunCalls: a dry run opens one data key of each key.
func TestDryRunCalls(t *testing.T) {
	d := newDeployment(t, 1, 1)
	var mu sync.Mutex
	calls := make(map[string]int)
	client := kms.NewClient(d.client.Backend(), &kms.Options{Observe: func(c kms.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls[c.KeyID]++
	}})
	out := run(t, d.Drives(), nil, recovery.Options{Client: client, CustomerKeys: d.keys, AllVersions: true, DryRun: true, Jobs: 1})
	if out.err != nil || out.Failed != 0 || out.OK != 0 || calls["k1"] != 2 || calls["k2"] != 1 { // k1 as SSE-S3 and as SSE-KMS
		t.Errorf("%v, %+v, calls %v", out.err, out.Summary, calls)
	}
}

// TestDamage: with bad shards beyond repair, or a rotten xl.meta, everything else is recovered.
func TestDamage(t *testing.T) {
	d := newDeployment(t, 1, 4)
	flipAll := func(slot int) {
		parts, err := filepath.Glob(filepath.Join(d.Drive(0, slot), "b1", "large", "*", "part.1"))
		if err != nil || len(parts) != 1 {
			t.Fatal(parts, err)
		}
		b, err := os.ReadFile(parts[0])
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(parts[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flipAll(0)
	sink := new(recorder)
	o := recovery.Options{Client: d.client, CustomerKeys: d.keys, AllVersions: true}
	out := run(t, d.Drives(), sink, o)
	d.check(t, out, func(path string) (string, error) { return sink.content[path], nil })
	l := out.lines["b1/large null"]
	one := out.Findings // the bad shard may not have been needed
	if one > 0 && (len(l.Findings) == 0 || l.Findings[0].Problem != drive.ShardDamaged || l.Findings[0].Part != 1 || l.Findings[0].Block == nil || l.Findings[0].Drive != d.Drive(0, 0)) {
		t.Errorf("the bad shard: %+v", l.Findings)
	}

	for slot := 1; slot < 3; slot++ {
		flipAll(slot)
	}
	for slot := range 4 {
		if err := os.WriteFile(filepath.Join(d.Drive(0, slot), "b1", "s3", "xl.meta"), []byte("XL2 nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc", filepath.Join(d.Drive(0, 0), "b1", "link")); err != nil {
		t.Fatal(err)
	}
	sink = new(recorder)
	out = run(t, d.Drives(), sink, o)
	if out.err != nil || out.Failed != 2 {
		t.Errorf("%v, %+v", out.err, out.Summary)
	}
	if l := out.lines["b1/large null"]; l.Status != recovery.Failed || l.Kind != drive.KindDamaged || len(l.Findings) == 0 || l.SHA256 != "" {
		t.Errorf("beyond repair: %+v", l)
	}
	if l := out.lines["b1/s3 "]; l.Status != recovery.Failed || l.Kind != drive.KindDamaged || len(l.Findings) != 4 {
		t.Errorf("without metadata: %+v", l)
	}
	if l := out.lines["b1/ "]; l == nil || l.Status != recovery.Skipped || l.Kind != sse.Kind(drive.NotRegular) {
		t.Errorf("the link: %+v", l)
	}
	if len(sink.content) != len(d.want)-2 {
		t.Errorf("recovered %d versions, want %d", len(sink.content), len(d.want)-2)
	}
}

// TestUnsettledMarkers: a delete marker that too few drives have holds nothing that could be
// recovered, and a free version is none of the client's.
func TestUnsettledMarkers(t *testing.T) {
	dir := t.TempDir()
	c := drivetest.New(t, dir, 1, 4)
	v := drivetest.Version{ID: versionID(1), ModTime: time.Unix(1700000001, 0), Parts: [][]byte{[]byte("text")}, Inline: true}
	marker := drivetest.Version{ID: versionID(2), ModTime: time.Unix(1700000002, 0), Deleted: true}
	free := drivetest.Version{ID: versionID(3), ModTime: time.Unix(1700000003, 0), Deleted: true, Metadata: map[string]string{"x-minio-internal-tier-free-marker": ""}}
	c.Put("b", "o", free, marker)
	path := filepath.Join(c.Drive(0, 0), "b", "o", "xl.meta")
	one, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Put("b", "o", v)
	if err := os.WriteFile(path, one, 0o600); err != nil {
		t.Fatal(err)
	}
	out := run(t, c.Drives(), new(recorder), recovery.Options{AllVersions: true, Unsettled: true})
	if out.err != nil || out.OK != 1 || out.Failed != 0 || out.Skipped != 1 || len(out.lines) != 2 {
		t.Errorf("%v, %+v, %q", out.err, out.Summary, out.order)
	}
	if l := out.lines["b/o "+versionID(2)]; l == nil || l.Status != recovery.Skipped || l.Kind != drive.KindUnsettled || !l.DeleteMarker {
		t.Errorf("%+v", l)
	}
}

// TestFindingsOnce: what several walks meet is told once.
func TestFindingsOnce(t *testing.T) {
	d := newDeployment(t, 1, 1)
	if err := os.Symlink("/", filepath.Join(d.Drives()[0], "b1", "link")); err != nil {
		t.Fatal(err)
	}
	var deployment *drive.Deployment
	count := func(it *recovery.Item) error { // while the run lasts, as a progress bar does
		_, err := recovery.Count(t.Context(), deployment, new(recovery.Options))
		return err
	}
	var text bytes.Buffer
	o := recovery.Options{Client: d.client, CustomerKeys: d.keys, Report: recovery.NewReport(&text), Bucket: "b1"}
	r := recovery.New(&recorder{fail: count}, &o)
	deployment, err := drive.Open(t.Context(), d.Drives(), &drive.Options{Report: r.Finding})
	if err != nil {
		t.Fatal(err)
	}
	defer deployment.Close()
	sum, err := r.Run(t.Context(), deployment)
	if n := strings.Count(text.String(), `"kind":"not-regular"`); err != nil || n != 1 || sum.Failed != 1 {
		t.Errorf("%v, %d lines, %+v", err, n, sum)
	}
}

// TestTooFewDrives: three of four drives missing leaves nothing but delete markers; of two sets, one missing is told.
func TestTooFewDrives(t *testing.T) {
	d := newDeployment(t, 1, 4)
	out := run(t, []string{d.Drive(0, 2)}, new(recorder), recovery.Options{Client: d.client, CustomerKeys: d.keys, AllVersions: true})
	for name := range d.want {
		if l := out.lines[name]; d.want[name] != "" && (l == nil || l.Status != recovery.Failed || l.Kind != drive.KindDamaged) {
			t.Errorf("%q: %+v", name, l)
		}
	}
	two := newDeployment(t, 2, 2)
	out = run(t, []string{two.Drive(0, 0), two.Drive(0, 1)}, new(recorder), recovery.Options{Client: two.client, CustomerKeys: two.keys, AllVersions: true})
	if out.err != nil || out.Failed != 1 || out.OK == 0 {
		t.Errorf("a whole set missing: %v, %+v", out.err, out.Summary)
	}
}

// TestShards: the shards together are the whole, and share nothing.
func TestShards(t *testing.T) {
	d := newDeployment(t, 1, 1)
	dir := t.TempDir()
	total := make(map[string]*recovery.Line)
	for i := range 3 {
		sink, err := recovery.NewDir(dir, fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		out := run(t, d.Drives(), sink, recovery.Options{Client: d.client, CustomerKeys: d.keys, AllVersions: true, Shard: i, Shards: 3})
		if out.err != nil || out.Failed != 0 {
			t.Fatalf("%v, %+v", out.err, out.Summary)
		}
		for name, l := range out.lines {
			if total[name] != nil {
				t.Errorf("%q is in two shards", name)
			}
			total[name] = l
		}
	}
	d.check(t, outcome{lines: total}, func(path string) (string, error) {
		b, err := os.ReadFile(filepath.Join(dir, path))
		return string(b), err
	})
}

// TestCancel: a run ends with its context, and leaves no lines of what it did not do.
func TestCancel(t *testing.T) {
	d := newDeployment(t, 1, 1)
	dir := t.TempDir()
	sink, err := recovery.NewDir(dir, "id")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var text bytes.Buffer
	stopping := &stopper{Sink: sink, after: 3, stop: cancel}
	r := recovery.New(stopping, &recovery.Options{Client: d.client, CustomerKeys: d.keys, Report: recovery.NewReport(&text), Jobs: 1})
	dep, err := drive.Open(ctx, d.Drives(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dep.Close()
	_, err = r.Run(ctx, dep)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the run ended with %v", err)
	}
	lines, _ := parse(t, text.Bytes())
	for name, l := range lines {
		if l.Status != recovery.OK {
			t.Errorf("%q: %+v", name, l)
		}
	}
	if len(lines) == 0 || len(lines) >= len(d.want) {
		t.Errorf("%d lines", len(lines))
	}
}

type stopper struct {
	recovery.Sink
	after int
	stop  func()
}

func (s *stopper) Put(ctx context.Context, it *recovery.Item, body *recovery.Body) (string, error) {
	if s.after--; s.after == 0 {
		s.stop()
	}
	return s.Sink.Put(ctx, it, body)
}
