//go:build unix

package minio_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/objseal/objseal/internal/interop/minio/s3client"
	"github.com/objseal/objseal/internal/interop/minio/xlmeta"
	"github.com/objseal/objseal/internal/interop/minioproc"
	"github.com/objseal/objseal/internal/interop/process"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/sse/rewrapper"
)

const (
	// A server's own settings and users are sealed too, as blobs (package kms/blob), under
	// the key that was its default when it wrote them. Rewrapping objects leaves them as
	// they are; so that the old key can go, it never was theirs.
	serverKey = "key-of-the-server"
	oldKey    = "key-of-last-year"
	newKey    = "key-of-this-year"
)

// TestRewrapStoppedDrive: package rewrapper gives a thousand objects of a MinIO server a
// new key, on the server's drives while it is stopped. The run is killed twice, without
// and with knowledge of where it was, and finished; the data stays what it was, the
// server serves everything, and the old key can be deleted.
func TestRewrapStoppedDrive(t *testing.T) {
	if os.Getenv(rewrapVariable) != "" {
		rewrapProcess(t)
		return
	}
	binary := minioproc.Build(t, ".")
	objseal := process.Build(t, "../../..", "./cmd/objseal")
	for _, test := range []struct{ drives, objects int }{{1, 1000}, {4, 200}} {
		t.Run(fmt.Sprintf("drives=%d", test.drives), func(t *testing.T) { testRewrap(t, binary, objseal, test.drives, test.objects) })
	}
}

func testRewrap(t *testing.T, binary, objseal string, drives, count int) {
	keys := startKeyServer(t, objseal, func(dir string) {
		first := kes.NewAPIKey()
		policy := fmt.Sprintf(`{"policy": {"all": {"allow": ["/v1/key/*", "/v1/status"], "identities": [%q]}}}`, first.Identity())
		if os.MkdirAll(dir, 0o700) != nil || os.WriteFile(filepath.Join(dir, "policy.json"), []byte(policy), 0o600) != nil ||
			os.WriteFile(filepath.Join(dir, "api-key"), []byte(first.Text()), 0o600) != nil {
			t.Fatal("failed to write the policy")
		}
	})
	admin := keys.client(t)
	for _, name := range []string{serverKey, oldKey, newKey} {
		if err := admin.CreateKey(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	server := minioproc.Start(t, binary, &minioproc.Options{Drives: drives, TLS: true, Env: []string{
		"MINIO_KMS_KES_ENDPOINT=https://" + keys.address,
		"MINIO_KMS_KES_KEY_NAME=" + serverKey,
		"MINIO_KMS_KES_CAPATH=" + keys.path("server.crt"),
		"MINIO_KMS_KES_API_KEY=" + keys.apiKey(t),
	}})
	// The last of its own files it writes in the background.
	waitForFile(t, filepath.Join(server.Drives[drives-1], ".minio.sys", "config", "iam", "format.json", xlmeta.FileName))
	server.Stop(t)
	server.Restart(t, "MINIO_KMS_KES_KEY_NAME="+oldKey)
	client := s3client.New(t, server)
	objects := fillForRewrap(t, client, count)
	compareObjects(t, "before", client, objects, 0)
	server.Stop(t)
	before := driveFiles(t, server.Drives)

	first := server.Drives[0]
	underOld := countKeys(t, first)[oldKey]
	run := rewrapRun{drives: server.Drives, keys: keys}
	killed := run.start(t, "", count/4) // it ends there
	was := countKeys(t, first)
	t.Logf("killed after item %q: %v", killed.position, was)
	killed = run.start(t, killed.position, count/4)
	now := countKeys(t, first)
	t.Logf("killed after item %q: %v", killed.position, now)
	if was[newKey] == 0 || now[newKey] <= was[newKey] || now[oldKey] == 0 || now[newKey]+now[oldKey] != underOld {
		t.Error("neither of the runs was killed half-way")
	}
	tear(t, server.Drives, before)
	server.Restart(t)
	compareObjects(t, "half-way", client, objects, -1)
	server.Stop(t)

	last := run.start(t, "", -1)
	t.Logf("finished: %+v", last)
	if r := last.Report; r.Rewrapped < int64(now[oldKey]) || last.Calls != 2*int64(now[oldKey]) || r.Keys[oldKey] != 0 || r.Keys[newKey] != int64(underOld) || r.Failed != 0 || r.Changed != 0 {
		t.Errorf("the last run says %+v, where %v was", r, now)
	}
	for _, drive := range server.Drives {
		if now := countKeys(t, drive); now[oldKey] != 0 || now[newKey] != underOld {
			t.Errorf("then there are %v on a drive", now)
		}
	}
	nothing := run.start(t, "", -1)
	if nothing.Report.Rewrapped != 0 || nothing.Calls != 0 || nothing.Report.Keys[newKey] != int64(underOld) {
		t.Errorf("a run that finds nothing to do: %+v", nothing)
	}
	compareDriveFiles(t, driveFiles(t, server.Drives), before)

	server.Restart(t, "MINIO_KMS_KES_KEY_NAME="+newKey)
	compareObjects(t, "rewrapped", client, objects, 1)
	server.Stop(t)
	if err := admin.DeleteKey(t.Context(), oldKey); err != nil {
		t.Fatal(err)
	}
	server.Restart(t)
	compareObjects(t, "without the old key", client, objects, 1)
	if log := server.Log(); strings.Contains(log, "does not exist") {
		t.Errorf("the server misses a key: %.4000s", log)
	}
}

// waitForFile returns when there is a file.
func waitForFile(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(process.StartTimeout); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// rewrapObject is an object of the server.
type rewrapObject struct {
	bucket, name, version string
	scheme                int // see fillForRewrap
	number                int
	size                  int
	parts                 bool
	etag                  string
}

func (o *rewrapObject) data() []byte { return contents()[o.number*97:][:o.size] }

const (
	plainScheme = iota
	s3Scheme
	kmsScheme
	contextScheme
	customerScheme
	changedCustomerScheme // its customer gets a new key too
	rewrapSchemes
)

// encryption is that of an object, after so many rotations of customer keys.
func (o *rewrapObject) encryption(t *testing.T, rotations int) encrypt.ServerSide {
	switch o.scheme {
	case s3Scheme:
		return encrypt.NewSSE()
	case kmsScheme:
		return managed(t, oldKey, nil)
	case contextScheme:
		return managed(t, oldKey, map[string]string{"number": fmt.Sprint(o.number), "<&>": "é\u2028"})
	case customerScheme:
		return customerSSE(t, 1)
	case changedCustomerScheme:
		return customerSSE(t, byte(2+rotations))
	}
	return nil
}

func (o *rewrapObject) customer(t *testing.T, rotations int) encrypt.ServerSide {
	if o.scheme < customerScheme {
		return nil
	}
	return o.encryption(t, rotations)
}

// fillForRewrap stores the objects: small ones, some in parts, some as versions of one name.
func fillForRewrap(t *testing.T, c *minio.Core, count int) []*rewrapObject {
	t.Helper()
	for _, bucket := range []string{"bucket", "versions"} {
		s3client.MakeBucket(t, c, bucket)
	}
	if err := c.EnableVersioning(t.Context(), "versions"); err != nil {
		t.Fatal(err)
	}
	var objects []*rewrapObject
	for n := range count {
		o := &rewrapObject{bucket: "bucket", name: fmt.Sprintf("%02d/object %04d", n%17, n), number: n, size: []int{0, 1, 100, 1000, 5000, 70_000, 200_000}[n%7]}
		// Mostly what there is most of.
		o.scheme = []int{s3Scheme, contextScheme, s3Scheme, kmsScheme, contextScheme, s3Scheme, contextScheme, customerScheme, changedCustomerScheme, plainScheme}[n%10]
		switch {
		case n%100 == 50 || n%100 == 51:
			o.size, o.parts = 5<<20+1000, true
		case n%25 == 4 || n%25 == 6:
			o.parts = true
		case n%9 == 8:
			o.bucket, o.name = "versions", fmt.Sprintf("of %d ünï", n/27)
		}
		objects = append(objects, o)
	}
	inParallel(t, objects, func(o *rewrapObject) error {
		info, err := o.put(t, c)
		o.etag, o.version = info.ETag, info.VersionID
		return err
	})
	return objects
}

func (o *rewrapObject) put(t *testing.T, c *minio.Core) (minio.UploadInfo, error) {
	options := minio.PutObjectOptions{ServerSideEncryption: o.encryption(t, 0), DisableMultipart: true}
	if !o.parts {
		return c.Client.PutObject(t.Context(), o.bucket, o.name, bytes.NewReader(o.data()), int64(o.size), options)
	}
	id, err := c.NewMultipartUpload(t.Context(), o.bucket, o.name, options)
	if err != nil {
		return minio.UploadInfo{}, err
	}
	var parts []minio.CompletePart
	for number, rest := 2, o.data(); len(rest) > 0 || number == 2; number += 3 {
		n := min(len(rest), 5<<20)
		p, err := c.PutObjectPart(t.Context(), o.bucket, o.name, id, number, bytes.NewReader(rest[:n]), int64(n), minio.PutObjectPartOptions{SSE: o.customer(t, 0)})
		if err != nil {
			return minio.UploadInfo{}, err
		}
		parts = append(parts, minio.CompletePart{PartNumber: number, ETag: p.ETag})
		rest = rest[n:]
	}
	return c.CompleteMultipartUpload(t.Context(), o.bucket, o.name, id, parts, minio.PutObjectOptions{})
}

// inParallel calls do for each of what, some at once.
func inParallel[T any](t *testing.T, what []T, do func(T) error) {
	t.Helper()
	work := make(chan T)
	var failed atomic.Int64
	var running sync.WaitGroup
	for range 6 {
		running.Go(func() {
			for one := range work {
				if err := do(one); err != nil && failed.Add(1) <= 10 {
					t.Error(err)
				}
			}
		})
	}
	for _, one := range what {
		work <- one
	}
	close(work)
	running.Wait()
	if n := failed.Load(); n > 0 {
		t.Fatalf("%d of %d failed", n, len(what))
	}
}

// compareObjects reads everything from the server. Negative rotations mean that customer
// keys have been rotated or not.
func compareObjects(t *testing.T, when string, c *minio.Core, objects []*rewrapObject, rotations int) {
	t.Helper()
	inParallel(t, objects, func(o *rewrapObject) error {
		what := fmt.Sprintf("%s: %s/%s of scheme %d, in parts %v", when, o.bucket, o.name, o.scheme, o.parts)
		get := func(rotations int) (io.ReadCloser, minio.ObjectInfo, error) {
			body, info, _, err := c.GetObject(t.Context(), o.bucket, o.name, minio.GetObjectOptions{VersionID: o.version, ServerSideEncryption: o.customer(t, rotations)})
			return body, info, err
		}
		body, info, err := get(max(rotations, 0))
		if rotations < 0 && minio.ToErrorResponse(err).Code == "AccessDenied" {
			body, info, err = get(1)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		defer body.Close()
		got, err := io.ReadAll(body)
		if err != nil || sha256.Sum256(got) != sha256.Sum256(o.data()) || info.ETag != o.etag {
			return fmt.Errorf("%s: %d bytes, want %d; ETag %s, want %s: %v", what, len(got), o.size, info.ETag, o.etag, err)
		}
		return nil
	})
	t.Logf("%s: %d objects are right", when, len(objects))
}

// A driveStore is the objects on the drives of a server that is not running. The first
// drive counts: it is written first, and others that a killed run has not come to follow it.
type driveStore struct{ drives []string }

// ref is where a version is.
type ref struct {
	name    string // of its xl.meta, below a drive
	version int
}

func (s driveStore) files() (names []string, err error) {
	for _, bucket := range []string{"bucket", "versions"} {
		err = filepath.WalkDir(filepath.Join(s.drives[0], bucket), func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Name() == xlmeta.FileName {
				names = append(names, strings.TrimPrefix(path, s.drives[0]+"/"))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return names, nil
}

func (s driveStore) List(_ context.Context, after string) iter.Seq2[rewrapper.Item, error] {
	return func(yield func(rewrapper.Item, error) bool) {
		names, err := s.files()
		if err != nil {
			yield(rewrapper.Item{}, err)
			return
		}
		for _, name := range names {
			items, err := s.items(name)
			if err != nil {
				yield(rewrapper.Item{}, err)
				return
			}
			for _, item := range items {
				if item.Position > after && !yield(item, nil) {
					return
				}
			}
		}
	}
}

// items are the versions of an object.
func (s driveStore) items(name string) (items []rewrapper.Item, err error) {
	f, err := xlmeta.Read(filepath.Join(s.drives[0], name))
	if err != nil {
		return nil, err
	}
	bucket, object, _ := strings.Cut(filepath.Dir(name), "/")
	for i, v := range f.Versions {
		if !v.IsObject() {
			continue
		}
		metadata, err := v.Metadata()
		if err == nil {
			err = s.follow(name, i, metadata)
		}
		if err != nil {
			return nil, err
		}
		items = append(items, rewrapper.Item{
			Position: fmt.Sprintf("%s %05d", name, i),
			Name:     sse.ObjectName{Bucket: bucket, Object: object},
			Metadata: metadata,
			Ref:      ref{name, i},
		})
	}
	return items, nil
}

// follow writes metadata to the drives that have another one.
func (s driveStore) follow(name string, version int, metadata map[string]string) error {
	for _, drive := range s.drives[1:] {
		if err := replaceMetadata(drive, name, version, metadata); err != nil {
			return err
		}
	}
	return nil
}

// replaceMetadata writes metadata to one drive, unless it is there.
func replaceMetadata(drive, name string, version int, metadata map[string]string) error {
	f, err := xlmeta.Read(filepath.Join(drive, name))
	if err != nil {
		return err
	}
	v := f.Versions[version]
	if stored, err := v.Metadata(); err != nil || maps.Equal(stored, metadata) {
		return err
	}
	v.SetMetadata(metadata)
	return f.Write(drive, name)
}

// replacing: the versions of an object share a file.
var replacing sync.Mutex

func (s driveStore) Replace(_ context.Context, item rewrapper.Item, metadata map[string]string) error {
	replacing.Lock()
	defer replacing.Unlock()
	r := item.Ref.(ref)
	f, err := xlmeta.Read(filepath.Join(s.drives[0], r.name))
	if err != nil {
		return err
	}
	if stored, err := f.Versions[r.version].Metadata(); err != nil {
		return err
	} else if !maps.Equal(stored, item.Metadata) {
		return rewrapper.ErrChanged
	}
	if err := replaceMetadata(s.drives[0], r.name, r.version, metadata); err != nil {
		return err
	}
	return s.follow(r.name, r.version, metadata)
}

// rewrapVariable makes a process of this test one that rewraps.
const rewrapVariable = "OBJSEAL_TEST_REWRAP"

// rewrapJob is what such a process is told.
type rewrapJob struct {
	Drives                    []string
	Endpoint, APIKey, RootsCA string
	After                     string
}

// rewrapProgress is what it tells, a line of JSON each.
type rewrapProgress struct {
	Position string
	Done     bool
	Report   rewrapper.Report
	Calls    int64 // of the key server
}

func rewrapProcess(t *testing.T) {
	var job rewrapJob
	if err := json.Unmarshal([]byte(os.Getenv(rewrapVariable)), &job); err != nil {
		t.Fatal(err)
	}
	key, err := kes.ParseAPIKey(job.APIKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, job.RootsCA))
	backend, err := kes.New([]string{job.Endpoint}, key, &kes.Options{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	var calls atomic.Int64
	client := kms.NewClient(backend, &kms.Options{Observe: func(kms.Call) { calls.Add(1) }})
	out := json.NewEncoder(os.Stdout)
	report, err := rewrapper.Run(t.Context(), client, driveStore{job.Drives}, newKey, &rewrapper.Options{
		KeyIDs:       []string{oldKey, newKey},
		After:        job.After,
		CustomerKeys: newCustomerKeys,
		Progress:     func(r rewrapper.Report) { _ = out.Encode(rewrapProgress{Position: r.Position}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Encode(rewrapProgress{Position: report.Position, Done: true, Report: report, Calls: calls.Load()}); err != nil {
		t.Fatal(err)
	}
}

// newCustomerKeys has new keys for those objects whose numbers say so.
func newCustomerKeys(_ context.Context, item rewrapper.Item) (from, to sse.CustomerKey, err error) {
	if from, err = sse.NewCustomerKey(keyOfCustomer(2)); err != nil {
		return from, to, err
	}
	if to, err = sse.NewCustomerKey(keyOfCustomer(3)); err != nil {
		return from, to, err
	}
	for _, key := range []sse.CustomerKey{from, to} {
		if sse.CheckKeys(context.Background(), nil, item.Name, item.Metadata, &sse.OpenOptions{CustomerKey: key}) == nil {
			return from, to, nil
		}
	}
	return sse.CustomerKey{}, sse.CustomerKey{}, nil // another customer's
}

// rewrapRun starts processes that rewrap.
type rewrapRun struct {
	drives []string
	keys   *keyServer
}

// ended is what such a process has said last.
type ended struct {
	position string
	Report   rewrapper.Report
	Calls    int64
}

// start runs a process from behind a position, and kills it when it has told of kill items;
// negative: never.
func (r rewrapRun) start(t *testing.T, after string, kill int) (last ended) {
	t.Helper()
	job, err := json.Marshal(rewrapJob{r.drives, "https://" + r.keys.address, r.keys.apiKey(t), r.keys.path("server.crt"), after})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestRewrapStoppedDrive$")
	cmd.Env = append(os.Environ(), rewrapVariable+"="+string(job))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, done, others := 0, false, ""
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		var p rewrapProgress
		if json.Unmarshal(scanner.Bytes(), &p) != nil {
			others += scanner.Text() + "\n" // of package testing, or half of one
			continue
		}
		lines++
		last.position = p.Position
		if p.Done {
			done, last.Report, last.Calls = true, p.Report, p.Calls
		}
		if lines == kill {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			break // so it may have come further than it said
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if killed := errors.As(err, &exit) && exit.ExitCode() == -1; killed != (kill >= 0) || done == killed {
		t.Fatalf("the process ended with %v after %d lines\n%s%s", err, lines, others, stderr.String())
	}
	return last
}

// countKeys counts the objects of each key on a drive.
func countKeys(t *testing.T, drive string) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	for item, err := range (driveStore{[]string{drive}}).List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if d, err := sse.DescribeKeys(item.Metadata); err == nil && d.KMSKeyID != "" {
			counts[d.KMSKeyID]++
		}
	}
	return counts
}

// tear puts the drives into the state that a kill between two of them leaves, which a
// test cannot hit: of the first objects that were rewrapped one half of the drives
// has it as it was before.
func tear(t *testing.T, drives []string, before map[string][]byte) {
	t.Helper()
	names, err := (driveStore{drives}).files()
	if err != nil {
		t.Fatal(err)
	}
	torn := 0
	for _, name := range names {
		if bytes.Equal(read(t, filepath.Join(drives[0], name)), before[filepath.Join(drives[0], name)]) {
			continue
		}
		for _, drive := range drives[len(drives)-len(drives)/2:] {
			path := filepath.Join(drive, name)
			if err := os.WriteFile(path, before[path], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if torn++; torn == 10 {
			return
		}
	}
	t.Fatal("nothing was rewrapped")
}

// driveFiles is every file of the buckets.
func driveFiles(t *testing.T, drives []string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for _, drive := range drives {
		for _, bucket := range []string{"bucket", "versions"} {
			err := filepath.WalkDir(filepath.Join(drive, bucket), func(path string, e fs.DirEntry, err error) error {
				if err != nil || !e.Type().IsRegular() {
					return err
				}
				b, err := os.ReadFile(path)
				if e.Name() != xlmeta.FileName {
					sum := sha256.Sum256(b)
					b = sum[:]
				}
				files[path] = b
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return files
}

// compareDriveFiles demands that only seals have changed.
func compareDriveFiles(t *testing.T, after, before map[string][]byte) {
	t.Helper()
	parts, inline, changed := 0, 0, 0
	for path, was := range before {
		is, ok := after[path]
		switch {
		case !ok:
			t.Errorf("%s is gone", path)
		case filepath.Base(path) != xlmeta.FileName:
			if parts++; !bytes.Equal(is, was) {
				t.Errorf("%s is another file", path)
			}
		case !bytes.Equal(is, was):
			changed++
			a, b := withoutSeals(t, is), withoutSeals(t, was)
			if !bytes.Equal(a.Bytes(), b.Bytes()) {
				t.Errorf("%s: more than seals has changed", path)
			}
			if len(a.Inline()) > 0 {
				inline++
			}
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files, where %d were", len(after), len(before))
	}
	if parts == 0 || inline == 0 {
		t.Error("want data of both sorts")
	}
	t.Logf("%d files of parts are the same; %d xl.meta have other seals and nothing else, %d of them with inline data", parts, changed, inline)
}

// withoutSeals is an xl.meta without what rewrapping may change.
func withoutSeals(t *testing.T, b []byte) *xlmeta.File {
	t.Helper()
	f, err := xlmeta.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range f.Versions {
		if !v.IsObject() {
			continue
		}
		m, err := v.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Iv", "Sealed-Key", "S3-Sealed-Key", "Kms-Sealed-Key", "S3-Kms-Key-Id", "S3-Kms-Sealed-Key"} {
			delete(m, "X-Minio-Internal-Server-Side-Encryption-"+name)
		}
		v.SetMetadata(m)
	}
	return f
}
