//go:build unix

package kessuite

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/interop/kesproc"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/keystore"
	"github.com/objseal/objseal/kms/kmsenv"
	"github.com/objseal/objseal/sse"
)

var update = flag.Bool("update", false, "write the rows of docs/errors.md that are not as they are there")

// testErrors brings about everything that can go wrong between objseal and a
// server, and compares what is said about it with the committed table.
func testErrors(t *testing.T, binary, path string, g Generation) {
	table := readTable(t, g.ErrorTable)
	for _, cause := range causes {
		name := cause.name
		if cause.differs && g.Older {
			name += older
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // some wait for a server that hangs
			row := cause.run(&bench{t: t, binary: binary, path: path})
			row.cause = name
			table.check(t, row)
		})
	}
	t.Cleanup(func() { table.finish(t) }) // after the parallel ones
}

// older ends the name of what an older generation of servers says differently.
const older = " (KES before v0.24)"

// bench is where one cause is brought about.
type bench struct {
	t            *testing.T
	binary, path string

	d *kesproc.Deployment
	s *kesproc.Server
}

// start starts a server that holds app-1 and app-2, unless its certificate is
// one that nobody accepts.
func (b *bench) start(o *kesproc.Options) {
	b.t.Helper()
	b.d = kesproc.NewDeployment(b.t, b.binary, o)
	b.s = b.d.Start(b.t)
	if o == nil || o.ServerCert == nil {
		createKeys(b.t, b.d, b.s)
	}
}

// caller is the usual one: it names its default key, and may do everything.
func (b *bench) caller() caller { return withCertificate(b.path, b.d, "app-1", b.s) }

// seal returns a directory with "file", and "file.sealed" under app-1.
func (b *bench) seal() string {
	b.t.Helper()
	dir := b.t.TempDir()
	write(b.t, dir+"/file", someBytes(65537))
	c := b.caller()
	c.must(b.t, dir, c.encrypt("file", "--sse", "kms", "--context", "tenant=a")...)
	return dir
}

// attempt is something to do that will fail: for the command and, to learn of
// what kind the error is, for the library.
type attempt struct {
	dir  string
	args []string
	call func(context.Context, *kms.Client) error
}

func (b *bench) create(key string) attempt {
	return attempt{b.t.TempDir(), []string{"kms", "create", key}, func(ctx context.Context, c *kms.Client) error { return c.CreateKey(ctx, key) }}
}

func (b *bench) describe(key string) attempt {
	return attempt{b.t.TempDir(), []string{"kms", "describe", key}, func(ctx context.Context, c *kms.Client) error {
		_, err := c.DescribeKey(ctx, key)
		return err
	}}
}

// encrypt seals a file under a key, or the default key if it is empty.
func (b *bench) encrypt(key string) attempt {
	args := []string{"encrypt", "--bucket", "bucket", "--object", "dir/object", "-o", "new", "--sse", "kms"}
	if key != "" {
		args = append(args, "--kms-key", key)
	}
	dir := b.t.TempDir()
	write(b.t, filepath.Join(dir, "file"), someBytes(100))
	return attempt{dir, append(args, "file"), func(ctx context.Context, c *kms.Client) error {
		_, err := sse.Encrypt(ctx, c, sse.Request{Method: sse.KMS, KMSKeyID: key}, sse.ObjectName{Bucket: "bucket", Object: "dir/object"}, strings.NewReader(""), nil)
		return err
	}}
}

// open opens dir/file.sealed.
func (b *bench) open(dir string) attempt {
	return attempt{dir, []string{"decrypt", "-o", "new", "file.sealed"}, func(ctx context.Context, c *kms.Client) error {
		s := readSidecar(b.t, dir)
		name := sse.ObjectName{Bucket: s.Bucket, Object: s.Object}
		_, err := sse.Open(ctx, c, name, sse.Stored{Metadata: s.Metadata, Size: int64(len(read(b.t, filepath.Join(dir, "file.sealed"))))}, nil)
		return sse.Diagnose(ctx, c, name, s.Metadata, s.written, err)
	}}
}

// fails makes the attempt as the command and in the library, at once, and
// returns what they say.
func (b *bench) fails(c caller, a attempt) row {
	b.t.Helper()
	p := c.start(b.t, a.dir, a.args...)
	r := b.kind(b.call(b.t.Context(), c, a))
	return b.said(r, p.wait(b.t))
}

// call makes an attempt in the library, with the keys that the command would
// use.
func (b *bench) call(ctx context.Context, c caller, a attempt) error {
	if dir := c.flag("--keystore"); dir != "" {
		store, err := keystore.Open(dir, nil)
		if err != nil {
			return err
		}
		return a.call(ctx, kms.NewClient(store, nil))
	}
	client, _, err := kmsenv.Load(func(name string) (string, bool) {
		for _, v := range c.env {
			if n, value, _ := strings.Cut(v, "="); n == name {
				return value, true
			}
		}
		return "", false
	}, &kmsenv.Options{KESCommand: true, CAFile: c.flag("--kes-ca")})
	if err != nil {
		return err
	}
	return a.call(ctx, client)
}

// sentinels are the errors that a caller may ask for.
var sentinels = []struct {
	name string
	err  error
}{
	{"kms.ErrKeyNotFound", kms.ErrKeyNotFound},
	{"kms.ErrKeyExists", kms.ErrKeyExists},
	{"kms.ErrNotAuthentic", kms.ErrNotAuthentic},
	{"kms.ErrWrongKey", kms.ErrWrongKey},
	{"kms.ErrWrongContext", kms.ErrWrongContext},
	{"kms.ErrKeyRecreated", kms.ErrKeyRecreated},
	{"kms.ErrKeyDamaged", kms.ErrKeyDamaged},
	{"kms.ErrUnreachable", kms.ErrUnreachable},
	{"kms.ErrNotPermitted", kms.ErrNotPermitted},
	{"kms.ErrUnsupported", kms.ErrUnsupported},
	{"kms.ErrInvalidKeyID", kms.ErrInvalidKeyID},
	{"kms.ErrKeySize", kms.ErrKeySize},
	{"kms.ErrNotConfigured", kms.ErrNotConfigured},
	{"kes.ErrAnswerLost", kes.ErrAnswerLost},
	{"kes.ErrKeyStore", kes.ErrKeyStore},
	{"kes.ErrCertificateExpired", kes.ErrCertificateExpired},
	{"kmsenv.ErrIncomplete", kmsenv.ErrIncomplete},
	{"kmsenv.ErrMalformed", kmsenv.ErrMalformed},
	{"sse.ErrNotAuthentic", sse.ErrNotAuthentic},
	{"sse.ErrTampered", sse.ErrTampered},
	{"context.Canceled", context.Canceled},
	{"context.DeadlineExceeded", context.DeadlineExceeded},
}

// kind returns the part of a row that tells programs from the error.
func (b *bench) kind(err error) (r row) {
	b.t.Helper()
	if err == nil {
		b.t.Fatal("the library's call did not fail")
	}
	r.kind = string(sse.KindOf(err))
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			r.errors = append(r.errors, s.name)
		}
	}
	return r
}

// library is the row of what cannot happen to the command.
func (b *bench) library(err error, why string) row {
	b.t.Helper()
	r := b.kind(err)
	r.message, r.hint = b.normal(err.Error()), "("+why+")"
	return r
}

// said adds what the command told people.
func (b *bench) said(r row, got result) row {
	b.t.Helper()
	if got.code != 1 || got.stdout != "" {
		b.t.Errorf("objseal %s: exit code %d, %d bytes of output", strings.Join(got.args, " "), got.code, len(got.stdout))
	}
	for line := range strings.Lines(got.stderr) {
		line = b.normal(strings.TrimSuffix(line, "\n"))
		if strings.HasPrefix(line, "objseal: warning: ") {
			continue // of a certificate that expires
		}
		switch message, isError := strings.CutPrefix(line, "objseal: error: "); {
		case isError && r.message == "":
			r.message = message
		default:
			hint, isHint := strings.CutPrefix(line, "objseal: hint: ")
			if !isHint || r.hint != "" {
				b.t.Errorf("objseal %s: unexpected line %q", strings.Join(got.args, " "), line)
			}
			r.hint = hint
		}
	}
	if r.message == "" || r.hint == "" {
		b.t.Errorf("objseal %s: no error, or no hint: %q", strings.Join(got.args, " "), got.stderr)
	}
	return r
}

var (
	anyHome     = regexp.MustCompile(`/\S*/TestKES[^/]*/\d+`)
	anyAddress  = regexp.MustCompile(`(127\.0\.0\.1|localhost):\d+`)
	anyIdentity = regexp.MustCompile(`\b[0-9a-f]{64}\b`)
	anyTime     = regexp.MustCompile(`\b\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?Z?)?( [+-]\d{4} UTC)?\b`)
	anyDuration = regexp.MustCompile(`\(\d+(\.\d+)?m?s\)`)
)

// normal returns a message without what differs from run to run.
func (b *bench) normal(s string) string {
	if b.d != nil {
		s = strings.ReplaceAll(s, b.d.Dir(), "DIR")
		s = strings.ReplaceAll(s, b.s.Address(), "SERVER")
	}
	s = anyHome.ReplaceAllString(s, "DIR")
	s = anyAddress.ReplaceAllString(s, "ADDRESS")
	s = anyIdentity.ReplaceAllString(s, "IDENTITY")
	s = anyTime.ReplaceAllString(s, "TIME")
	return anyDuration.ReplaceAllString(s, "(DURATION)")
}

// row is a line of the table.
type row struct {
	cause   string
	kind    string
	errors  []string
	message string
	hint    string
}

// tableHead is the line above the rows, which go to the end of the file.
const tableHead = "|---|---|---|---|---|\n"

// String is the row in Markdown.
func (r row) String() string {
	kind := "—"
	if r.kind != "" {
		kind = "`" + r.kind + "`"
	}
	names := "—"
	if len(r.errors) > 0 {
		names = "`" + strings.Join(r.errors, "`, `") + "`"
	}
	code := func(s string) string {
		if s == "" {
			return "—"
		}
		return "`" + s + "`"
	}
	cells := []string{r.cause, kind, names, code(r.message), r.hint}
	if r.hint == "" {
		cells[4] = "—"
	}
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// table is the committed one.
type table struct {
	path, before string

	mu      sync.Mutex
	rows    map[string]string // in Markdown, by cause
	changed bool
}

func readTable(t *testing.T, path string) *table {
	t.Helper()
	before, rows, ok := strings.Cut(string(read(t, path)), tableHead)
	if !ok {
		t.Fatalf("%s has no place for the rows", path)
	}
	tab := &table{path: path, before: before, rows: make(map[string]string)}
	for line := range strings.Lines(rows) {
		cause, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		tab.rows[cause] = strings.TrimSuffix(line, "\n")
	}
	return tab
}

// check wants the row to be in the table as it is.
func (tab *table) check(t *testing.T, r row) {
	t.Helper()
	tab.mu.Lock()
	defer tab.mu.Unlock()
	got, want := r.String(), tab.rows[r.cause]
	switch {
	case got == want:
	case *update:
		tab.rows[r.cause], tab.changed = got, true
	default:
		t.Errorf("not as in %s; if it is better there, run the test with -update:\n got %s\nwant %s", tab.path, got, want)
	}
}

// finish writes the table if it is to be written, and wants no row in it that
// no test has produced.
func (tab *table) finish(t *testing.T) {
	var order []string
	for _, c := range causes {
		order = append(order, c.name)
		if c.differs {
			order = append(order, c.name+older)
		}
	}
	for cause := range tab.rows {
		if !slices.Contains(order, cause) {
			t.Errorf("%s: nothing brings about %q", tab.path, cause)
			delete(tab.rows, cause)
			tab.changed = true
		}
	}
	if !*update || !tab.changed {
		return
	}
	var b strings.Builder
	b.WriteString(tab.before + tableHead)
	for _, cause := range order {
		if r, ok := tab.rows[cause]; ok {
			b.WriteString(r + "\n")
		}
	}
	if err := os.WriteFile(tab.path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sidecar is the metadata file of a sealed file.
type sidecar struct {
	Bucket, Object string
	Metadata       map[string]string

	written time.Time
}

func readSidecar(t *testing.T, dir string) (s sidecar) {
	t.Helper()
	path := filepath.Join(dir, "file.sealed.json")
	if err := json.Unmarshal(read(t, path), &s); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s.written = info.ModTime()
	return s
}
