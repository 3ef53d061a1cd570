package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes/kestest"
	"github.com/objseal/objseal/kms/kmsenv"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse/rewrapper"
)

// rewrapChild makes the test binary the command `s3gateway rewrap`, so that a test can kill it.
const rewrapChild = "S3GATEWAY_TEST_REWRAP"

func TestMain(m *testing.M) {
	if os.Getenv(rewrapChild) == "" {
		os.Exit(m.Run())
	}
	if err := rewrap(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// env is an environment.
type env map[string]string

func (e env) lookup(name string) (string, bool) {
	v, ok := e[name]
	return v, ok
}

// as returns e with a prefix in front of all names, and of more as it is.
func (e env) old(more env) env {
	out := maps.Clone(more)
	for name, value := range e {
		out["OLD_"+name] = value
	}
	return out
}

// kesEnv names a key server and its default key.
func kesEnv(t *testing.T, s *kestest.Server, key string) env {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return env{"MINIO_KMS_KES_ENDPOINT": s.URL, "MINIO_KMS_KES_KEY_NAME": key, "MINIO_KMS_KES_API_KEY": s.Admin.Text(), "MINIO_KMS_KES_CAPATH": ca}
}

// builtInEnv names a built-in key.
func builtInEnv(t *testing.T, key string) env {
	t.Helper()
	k, err := static.NewKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return env{"MINIO_KMS_SECRET_KEY": k.Text()}
}

// served is a gateway with the keys of an environment.
type served struct{ *testGateway }

// startGateway serves dir with the keys of e until the end of the test.
func startGateway(t *testing.T, dir string, e env) *served {
	t.Helper()
	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.root.Close() })
	client, _, err := kmsenv.Load(e.lookup, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &served{serveStore(t, s, client)}
}

// object is one that was put, and how it is read.
type object struct {
	path   string
	header http.Header // of a GET
	sum    [32]byte
	etag   string
}

// started is an unfinished multipart upload.
type started struct {
	object
	id, parts string
}

func customerKey() http.Header { return customerHeaders(bytes.Repeat([]byte{7}, 32)) }

const kmsContext = "eyJ0ZW5hbnQiOiJhIn0=" // {"tenant":"a"}

// fill puts n objects of every kind. A tenth each is plain and under a customer key,
// and a twentieth multipart, which is also unfinished.
func (g *served) fill(n int) (objects []object, encrypted int, unfinished []started) {
	g.call(http.MethodPut, "/photos", nil, nil, http.StatusOK)
	for i := range n {
		o := object{path: fmt.Sprintf("/photos/folder %d/object-%d", i%7, i)}
		body := []byte(strings.Repeat(fmt.Sprintf("content of %d\n", i), i%50))
		var h http.Header
		switch i % 10 {
		case 0:
			h = header()
		case 1:
			h = customerKey()
			o.header = h
		case 2, 3, 4, 5:
			h = header("X-Amz-Server-Side-Encryption", "aws:kms", "X-Amz-Server-Side-Encryption-Context", kmsContext)
		default:
			h = header("X-Amz-Server-Side-Encryption", "AES256")
		}
		o.path = strings.ReplaceAll(o.path, " ", "%20")
		if i%10 > 1 {
			encrypted++
		}
		if i%20 < 19 {
			answer := g.call(http.MethodPut, o.path, h, body, http.StatusOK).header
			o.etag = answer.Get("ETag")
		} else {
			id := g.create(o.path, h)
			first := bytes.Repeat([]byte("a large part\n"), 10)
			if i%500 == 499 {
				first = bytes.Repeat([]byte{byte(i)}, 5<<20)
				body = append([]byte("rest"), body...)
			} else {
				body = nil
			}
			parts := g.uploadPart(o.path, id, 2, first)
			if body != nil {
				parts += g.uploadPart(o.path, id, 7, body)
			}
			g.complete(o.path, id, parts)
			body = append(first, body...)
		}
		o.sum = sha256.Sum256(body)
		if o.etag == "" {
			answer := g.call(http.MethodHead, o.path, o.header, nil, http.StatusOK).header
			o.etag = answer.Get("ETag")
		}
		objects = append(objects, o)
		if i%100 == 50 {
			u := started{object: object{path: o.path + "-unfinished", sum: o.sum}}
			u.id = g.create(u.path, header("X-Amz-Server-Side-Encryption", "AES256"))
			u.parts = g.uploadPart(u.path, u.id, 3, body)
			unfinished = append(unfinished, u)
		}
	}
	return objects, encrypted, unfinished
}

// uploadPart returns the line of the part for the completion.
func (g *served) uploadPart(path, id string, number int, body []byte) string {
	answer := g.call(http.MethodPut, fmt.Sprintf("%s?partNumber=%d&uploadId=%s", path, number, id), nil, body, http.StatusOK).header
	return fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", number, answer.Get("ETag"))
}

func (g *served) complete(path, id, parts string) {
	g.t.Helper()
	g.call(http.MethodPost, path+"?uploadId="+id, nil, []byte("<CompleteMultipartUpload>"+parts+"</CompleteMultipartUpload>"), http.StatusOK)
}

// check reads all objects.
func (g *served) check(objects []object) {
	g.t.Helper()
	for _, o := range objects {
		a := g.call(http.MethodGet, o.path, o.header, nil, http.StatusOK)
		if sha256.Sum256(a.body) != o.sum || a.header.Get("ETag") != o.etag {
			g.t.Fatalf("%s: %d bytes, ETag %s, want %s", o.path, len(a.body), a.header.Get("ETag"), o.etag)
		}
	}
}

// dataFiles hashes all files of dir that hold what clients sent.
func dataFiles(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	sums := make(map[string][32]byte)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(filepath.Dir(path)) != "data" {
			return err
		}
		data, err := os.ReadFile(path)
		sums[path] = sha256.Sum256(data)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return sums
}

// mustRewrap runs the command, which must go well.
func mustRewrap(t *testing.T, e env, args ...string) (report rewrapper.Report) {
	t.Helper()
	var out, problems strings.Builder
	if err := rewrapWith(t.Context(), append(args, "--json"), e.lookup, openStore, &out, &problems); err != nil {
		t.Fatalf("%v\n%s", err, problems.String())
	}
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil {
		t.Fatal(err)
	}
	return report
}

// TestRewrap moves a store to a new key: every object is served under it alone, no
// data file changes, and a second run does nothing.
func TestRewrap(t *testing.T) {
	server := kestest.NewServer()
	defer server.Close()
	server.CreateKey("old", "new")
	dir := t.TempDir()
	g := startGateway(t, dir, kesEnv(t, server, "old"))
	const n = 1000
	objects, encrypted, unfinished := g.fill(n)
	encrypted += len(unfinished)
	all := int64(n + len(unfinished))
	g.Close()
	before := dataFiles(t, dir)

	e := kesEnv(t, server, "new")
	asked := len(server.Requests("/v1/key/"))
	would := mustRewrap(t, e, "--dir", dir, "--to", "new", "--dry-run")
	if would.Rewrapped != int64(encrypted) || would.Listed != all || would.Skipped != all-int64(encrypted) || would.Keys["old"] != int64(encrypted) {
		t.Errorf("dry run: %+v, %d are encrypted", would, encrypted)
	}
	if again := mustRewrap(t, e, "--dir", dir, "--to", "new", "--from", "another", "--dry-run"); again.Rewrapped != 0 {
		t.Errorf("dry run from another key: %+v", again)
	}
	if now := len(server.Requests("/v1/key/")); now != asked+2 { // whether there is the new key
		t.Errorf("%d requests of two dry runs", now-asked)
	}
	refused := func(args ...string) error {
		return rewrapWith(t.Context(), args, e.lookup, openStore, io.Discard, io.Discard)
	}
	if err := refused("--dir", dir, "--to", "absent", "--dry-run"); !errors.Is(err, kms.ErrKeyNotFound) {
		t.Errorf("dry run to a key that is not there: %v", err)
	}
	if err := refused("--dir", t.TempDir(), "--to", "new"); err == nil {
		t.Error("a directory that is no store passes for one in which all is done")
	}
	did := mustRewrap(t, e, "--dir", dir, "--to", "new")
	if got, want := summary(did, false), fmt.Sprintf("rewrapped %d, done before 0, passed over %d, changed by others 0, failed 0; keys now: new %d", encrypted, all-int64(encrypted), encrypted); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if did.Rewrapped != int64(encrypted) || did.Keys["new"] != int64(encrypted) || len(did.Keys) != 1 {
		t.Errorf("%+v, %d are encrypted", did, encrypted)
	}
	asked = len(server.Requests("/v1/key/"))
	if again := mustRewrap(t, e, "--dir", dir, "--to", "new"); again.Rewrapped != 0 || again.Done != int64(encrypted) {
		t.Errorf("second run: %+v", again)
	}
	if now := len(server.Requests("/v1/key/")); now != asked {
		t.Errorf("%d requests of a second run", now-asked)
	}

	if err := server.Keys.Delete(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	if after := dataFiles(t, dir); !maps.Equal(before, after) {
		t.Errorf("%d data files became %d, or others", len(before), len(after))
	}
	g = startGateway(t, dir, e)
	g.check(objects)
	for _, u := range unfinished {
		g.complete(u.path, u.id, u.parts)
		if got := g.call(http.MethodGet, u.path, nil, nil, http.StatusOK).body; sha256.Sum256(got) != u.sum {
			t.Fatalf("%s differs", u.path)
		}
	}
}

// TestRewrapKilled kills a run, as a process, and lets another resume.
func TestRewrapKilled(t *testing.T) {
	server := kestest.NewServer()
	defer server.Close()
	server.CreateKey("old", "new")
	dir := t.TempDir()
	g := startGateway(t, dir, kesEnv(t, server, "old"))
	const n = 300
	objects, encrypted, unfinished := g.fill(n)
	encrypted += len(unfinished)
	g.Close()
	before := dataFiles(t, dir)

	e := kesEnv(t, server, "new")
	killed := exec.CommandContext(t.Context(), os.Args[0], "--dir", dir, "--to", "new")
	killed.Env = append(os.Environ(), rewrapChild+"=1")
	for name, value := range e {
		killed.Env = append(killed.Env, name+"="+value)
	}
	var enough sync.Once
	server.Inject("/v1/key/generate/new", -1, func(w http.ResponseWriter, r *http.Request, s *kestest.Server) {
		if s.Count("/v1/key/generate/new") > encrypted/2 {
			enough.Do(func() { killed.Process.Kill() })
		}
		s.KES.ServeHTTP(w, r)
	})
	var out bytes.Buffer
	killed.Stdout, killed.Stderr = &out, &out
	if err := killed.Run(); err == nil || killed.ProcessState.Exited() {
		t.Fatalf("it was not killed: %v\n%s", err, out.String())
	}
	server.Heal()

	text, err := os.ReadFile(filepath.Join(dir, positionFile))
	if err != nil {
		t.Fatal(err)
	}
	var p position
	if err := json.Unmarshal(text, &p); err != nil || p.After == "" {
		t.Fatalf("position %s: %v", text, err)
	}
	if err := rewrapWith(t.Context(), []string{"--dir", dir, "--to", "old", "--resume"}, e.lookup, openStore, io.Discard, io.Discard); err == nil {
		t.Error("a run to another key resumes")
	}
	rest := mustRewrap(t, e, "--dir", dir, "--to", "new", "--resume")
	if rest.Listed >= n || rest.Rewrapped == 0 || rest.Rewrapped >= int64(encrypted) {
		t.Errorf("the run that resumed: %+v", rest)
	}
	if whole := mustRewrap(t, e, "--dir", dir, "--to", "new", "--resume"); whole.Rewrapped != 0 || whole.Done != int64(encrypted) || whole.Keys["new"] != int64(encrypted) {
		t.Errorf("after it: %+v, %d are encrypted", whole, encrypted)
	}
	if err := server.Keys.Delete(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(before, dataFiles(t, dir)) {
		t.Error("data files differ")
	}
	startGateway(t, dir, e).check(objects)
}

// TestRewrapKeyServers moves a store from a built-in key to a key server, and back.
func TestRewrapKeyServers(t *testing.T) {
	server := kestest.NewServer()
	defer server.Close()
	server.CreateKey("kes-key")
	builtIn, kes := builtInEnv(t, "built-in"), kesEnv(t, server, "kes-key")
	dir := t.TempDir()
	g := startGateway(t, dir, builtIn)
	objects, encrypted, unfinished := g.fill(100)
	g.check(objects)
	g.Close()
	for _, test := range []struct {
		to       string
		from, at env
	}{{"kes-key", builtIn, kes}, {"built-in", kes, builtIn}} {
		if did := mustRewrap(t, test.from.old(test.at), "--dir", dir, "--to", test.to); did.Rewrapped != int64(encrypted+len(unfinished)) {
			t.Errorf("to %s: %+v", test.to, did)
		}
		if again := mustRewrap(t, test.from.old(test.at), "--dir", dir, "--to", test.to); again.Rewrapped != 0 {
			t.Errorf("again to %s: %+v", test.to, again)
		}
		g := startGateway(t, dir, test.at)
		g.check(objects)
		g.Close()
	}
}

// TestRewrapBesideServer: what a server writes while keys change is kept, and nothing
// else is lost.
func TestRewrapBesideServer(t *testing.T) {
	server := kestest.NewServer()
	defer server.Close()
	server.CreateKey("old", "new")
	dir := t.TempDir()
	g := startGateway(t, dir, kesEnv(t, server, "old"))
	g.call(http.MethodPut, "/photos", nil, nil, http.StatusOK)
	const n = 40
	h := header("X-Amz-Server-Side-Encryption", "AES256")
	path := func(i int) string { return fmt.Sprintf("/photos/%d", i) }
	for i := range n {
		g.call(http.MethodPut, path(i), h, []byte("first"), http.StatusOK)
	}

	// A third each is overwritten, deleted and left alone between the listing of an
	// object and the replacement of its metadata: when the key server is asked.
	server.Inject("/v1/key/generate/new", n, func(w http.ResponseWriter, r *http.Request, s *kestest.Server) {
		var a answer
		var err error
		switch i := objectAsked(t, r); i % 3 {
		case 0:
			a, err = g.do(http.MethodPut, path(i), h, []byte("second"))
		case 1:
			a, err = g.do(http.MethodDelete, path(i), nil, nil)
		}
		if err != nil || a.status >= 300 {
			t.Errorf("%d %s: %v", a.status, a.code, err)
		}
		s.KES.ServeHTTP(w, r)
	})
	first := mustRewrap(t, kesEnv(t, server, "new"), "--dir", dir, "--to", "new")
	if first.Rewrapped != n/3 || first.Changed != n-n/3 || first.Failed != 0 {
		t.Errorf("%+v", first)
	}
	for i := range n {
		switch i % 3 {
		case 0:
			if got := g.call(http.MethodGet, path(i), nil, nil, http.StatusOK).body; string(got) != "second" {
				t.Errorf("object %d: %q", i, got)
			}
		case 1:
			g.call(http.MethodGet, path(i), nil, nil, http.StatusNotFound)
		default:
			if got := g.call(http.MethodGet, path(i), nil, nil, http.StatusOK).body; string(got) != "first" {
				t.Errorf("object %d: %q", i, got)
			}
		}
	}
	again := mustRewrap(t, kesEnv(t, server, "new"), "--dir", dir, "--to", "new")
	if again.Rewrapped != (n+2)/3 || again.Done != n/3 || len(again.Keys) != 1 {
		t.Errorf("second run: %+v", again)
	}
	if err := server.Keys.Delete(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if i%3 != 1 {
			g.call(http.MethodGet, path(i), nil, nil, http.StatusOK)
		}
	}
}

// objectAsked is the number of the object that a key server is asked about: SSE-S3
// binds its keys to the name.
func objectAsked(t *testing.T, r *http.Request) (i int) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	var asked struct{ Context []byte }
	if err := json.Unmarshal(text, &asked); err != nil {
		t.Error(err)
	}
	if _, err := fmt.Sscanf(string(asked.Context), `{"photos":"photos/%d"}`, &i); err != nil {
		t.Errorf("%s: %v", asked.Context, err)
	}
	return i
}

// TestRewrapStore: every item has a place in one order, from run to run, and is
// replaced only as long as it is what was listed.
func TestRewrapStore(t *testing.T) {
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.root.Close()
	for _, bucket := range []string{"abc", "abc-d", "abc.e", "abcd"} {
		if err := s.makeBucket(bucket); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b/c", "d"} {
			metadata := map[string][]byte{"old": {0xff}}
			if err := s.put(&record{bucket: bucket, Name: name, Metadata: metadata}, nil); err != nil {
				t.Fatal(err)
			}
			if err := s.newUpload(&upload{bucket: bucket, Name: name, Metadata: metadata}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.put(&record{bucket: bucket, Name: "deleted", Deleted: true}, nil); err != nil {
			t.Fatal(err)
		}
	}
	list := func(after string) (items []rewrapper.Item) {
		for item, err := range (rewrapStore{s}).List(t.Context(), after) {
			if err != nil {
				t.Fatal(err)
			}
			items = append(items, item)
		}
		return items
	}
	all := list("")
	if len(all) != 4*6 {
		t.Fatalf("%d items", len(all))
	}
	for i, item := range all {
		if rest := list(item.Position); len(rest) != len(all)-i-1 || len(rest) > 0 && rest[0].Position != all[i+1].Position {
			t.Errorf("behind %s come %d items of %d", item.Position, len(rest), len(all))
		}
	}
	for i, item := range all {
		replace := func(value string) error {
			return rewrapStore{s}.Replace(t.Context(), item, map[string]string{"new": value})
		}
		var want error
		switch i % 3 {
		case 1: // somebody is faster
			if err := replace("\x00"); err != nil {
				t.Fatal(err)
			}
			want = rewrapper.ErrChanged
		case 2: // it is gone
			var err error
			switch old := item.Ref.(type) {
			case *upload:
				err = s.abort(old)
			case *record:
				err = s.delete(item.Name)
			}
			if err != nil {
				t.Fatal(err)
			}
			want = rewrapper.ErrChanged
		}
		if err := replace("\x00\xff"); err != want {
			t.Errorf("%s: %v, want %v", item.Position, err, want)
		}
	}
	left := list("")
	if len(left) != 4*4 {
		t.Errorf("%d items are left", len(left))
	}
	for i, item := range left {
		want := map[bool]string{true: "\x00\xff", false: "\x00"}[i%2 == 0]
		if len(item.Metadata) != 1 || item.Metadata["new"] != want {
			t.Errorf("%s: %q, want %q", item.Position, item.Metadata, want)
		}
	}
}

func TestRewrapUsage(t *testing.T) {
	e := builtInEnv(t, "key")
	for _, args := range [][]string{nil, {"--dir", t.TempDir()}, {"--to", "key"}, {"--dir", t.TempDir(), "--to", "key", "more"}, {"--no-such-flag"}} {
		if err := rewrapWith(t.Context(), args, e.lookup, openStore, io.Discard, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
	for name, e := range map[string]env{"no keys": {}, "an old key that is none": {"MINIO_KMS_SECRET_KEY": e["MINIO_KMS_SECRET_KEY"], "OLD_MINIO_KMS_SECRET_KEY": "x"}} {
		if err := rewrapWith(t.Context(), []string{"--dir", t.TempDir(), "--to", "key"}, e.lookup, openStore, io.Discard, io.Discard); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
