package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/objseal/objseal/drive/drivetest"
	"github.com/objseal/objseal/drive/recovery"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
	"github.com/objseal/objseal/sse"
)

// driveKey is the key of drives that tests make, and its value of MINIO_KMS_SECRET_KEY.
const driveKey = "k:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func driveClient(tb testing.TB) *kms.Client {
	tb.Helper()
	key, err := static.ParseKey(driveKey)
	if err != nil {
		tb.Fatal(err)
	}
	backend, err := static.New([]static.Key{key}, "")
	if err != nil {
		tb.Fatal(err)
	}
	return kms.NewClient(backend, nil)
}

// TestKilled kills a recovery at any moment, again and again, and goes on with
// --resume: at no moment is there a partial file under a final name, at the end
// everything is there, and nothing was recovered twice.
func TestKilled(t *testing.T) {
	const objects = 200
	dir := t.TempDir()
	c := drivetest.New(t, filepath.Join(dir, "drives"), 1, 2)
	client := driveClient(t)
	want := make(map[string]string) // path: content
	for i := range objects {
		name := fmt.Sprintf("dir%d/object-%d", i%7, i)
		text := strings.Repeat(name+" ", 1+i*i%3000)
		v := drivetest.Sealed(t, client, sse.Request{Method: sse.S3}, "bucket", name, text)
		v.Inline = i%3 == 0
		c.Put("bucket", name, v)
		want["bucket/"+name] = text
	}
	out, report := filepath.Join(dir, "out"), filepath.Join(dir, "report.jsonl")
	started := make(map[string]os.FileInfo) // files that were reported
	kills := 0
	for {
		cmd := exec.Command("objseal", append(append([]string{"drive", "recover"}, c.Drives()...), "--out", out, "--report", report, "--resume")...)
		cmd.Env = append(os.Environ(), "MINIO_KMS_SECRET_KEY="+driveKey)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		before := lineCount(t, report)
		enough := before + rand.IntN(objects/4)
		var err error
		killed := false
	running:
		for {
			select {
			case err = <-ended:
				break running
			case <-time.After(time.Millisecond):
				if !killed && lineCount(t, report) > enough {
					killed = true
					cmd.Process.Kill()
				}
			}
		}
		// What is under a final name is whole, killed or not.
		for path, text := range want {
			if got, err := os.ReadFile(filepath.Join(out, path)); err == nil && string(got) != text {
				t.Fatalf("%s: %d bytes of %d", path, len(got), len(text))
			}
		}
		for _, l := range reportLines(t, report) {
			info, err := os.Stat(filepath.Join(out, l.Path))
			if err != nil {
				t.Fatalf("%s is reported: %v", l.Path, err)
			}
			if first := started[l.Path]; first != nil && !os.SameFile(first, info) {
				t.Errorf("%s was recovered twice", l.Path)
			}
			started[l.Path] = info
		}
		if !killed {
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			break
		}
		kills++
	}
	lines := reportLines(t, report)
	seen := make(map[string]bool)
	for _, l := range lines {
		text := want[l.Path]
		sum := sha256.Sum256([]byte(text))
		if seen[l.Path] || l.Status != recovery.OK || l.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%+v", l)
		}
		seen[l.Path] = true
	}
	if len(seen) != objects {
		t.Errorf("%d of %d objects", len(seen), objects)
	}
	if left, err := os.ReadDir(filepath.Join(out, ".partial")); err == nil {
		t.Errorf("%d files are left in .partial", len(left))
	}
	t.Logf("killed %d times", kills)
	if kills == 0 {
		t.Error("it was never killed")
	}
}

func lineCount(t *testing.T, report string) int {
	t.Helper()
	text, err := os.ReadFile(report)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

func reportLines(t *testing.T, report string) (lines []recovery.Line) {
	t.Helper()
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var l recovery.Line
		if err := json.Unmarshal(line, &l); err != nil {
			if bytes.HasSuffix(line, []byte("\n")) {
				t.Fatal(err)
			}
			continue // half of a line
		}
		lines = append(lines, l)
	}
	return lines
}

// cluster DIR makes four drives with one of everything, under the key driveKey.
func cluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: cluster DIR")
	}
	tb := scriptTB{ts: ts}
	c := drivetest.New(tb, ts.MkAbs(args[0]), 1, 4)
	client := driveClient(tb)
	seal := func(object string, r sse.Request, text string) {
		v := drivetest.Sealed(tb, client, r, "photos", object, text)
		v.Metadata["X-Amz-Meta-Camera"] = "box"
		v.Metadata["content-type"] = "image/x-text"
		v.Inline = len(text) < 10000
		c.Put("photos", object, v)
	}
	key, err := sse.NewCustomerKey(bytes.Repeat([]byte{1}, 32))
	ts.Check(err)
	seal("2020/cat", sse.Request{Method: sse.S3}, "a cat\n")
	seal("2020/dog", sse.Request{Method: sse.KMS, Context: kms.AssociatedData{"team": "pets"}}, "a dog")
	seal("2021/big", sse.Request{Method: sse.S3}, strings.Repeat("a horse ", 400000))
	seal("2021/own", sse.Request{Method: sse.C, CustomerKey: key}, "a secret cat")
	c.Put("plain", "folder/", drivetest.Version{Inline: true, Parts: [][]byte{nil}})
	c.Put("plain", "note", drivetest.Version{Inline: true, Parts: [][]byte{[]byte("in clear")}, Metadata: map[string]string{"etag": "0b0a9a5f4b3a9b2a1c4b6ee9f0f2d6a1-1"}})
	c.Put("plain", "note/below", drivetest.Version{Inline: true, Parts: [][]byte{[]byte("below")}})
	id := func(n int) string { return fmt.Sprintf("0000000%d-1111-4111-8111-000000000000", n) }
	c.Put("plain", "gone",
		drivetest.Version{ID: id(2), Deleted: true, ModTime: time.Unix(1700000002, 0)},
		drivetest.Version{ID: id(1), ModTime: time.Unix(1700000001, 0), Inline: true, Parts: [][]byte{[]byte("was here")}})
}

// scriptTB lets helpers of tests fail a script.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (s scriptTB) Helper()           {}
func (s scriptTB) Fatal(args ...any) { s.ts.Fatalf("%s", fmt.Sprint(args...)) }
