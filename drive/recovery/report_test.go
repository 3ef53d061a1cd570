package recovery

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func always(*Line) bool { return true }

// TestResumeReport: what is ok and still there stays, all else is taken out.
func TestResumeReport(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r.jsonl")
	r, err := CreateReport(name)
	if err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1700000000, 5)
	for _, l := range []*Line{
		{Bucket: "b", Object: "kept", VersionID: "null", Status: OK, Path: "p"},
		{Bucket: "b", Object: "failed", VersionID: "null", Status: Failed},
		{Bucket: "b", Object: "skipped", VersionID: "null", Status: Skipped},
		{Bucket: "b", Object: "gone", VersionID: "null", Status: OK},
		{Bucket: "b", Object: "odd\xff\n", VersionID: "null", Status: OK, Path: "p\xfe"},
		{Bucket: "b", Object: "two", VersionID: "v1", Status: OK},
		{Bucket: "b", Object: "two", VersionID: "null", Status: OK, Unsettled: true, ModTime: &when},
	} {
		if err := r.Write(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateReport(name); !errors.Is(err, os.ErrExist) {
		t.Errorf("an existing report is overwritten: %v", err)
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"bucket":"b","object":"half"`); err != nil { // killed in the middle
		t.Fatal(err)
	}
	f.Close()
	// What a resumption leaves that is killed while it copies.
	if err := os.WriteFile(filepath.Join(filepath.Dir(name), ".objseal-r.jsonl"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}

	r, err = ResumeReport(name, func(l *Line) bool {
		if l.Object == "odd\xff\n" && l.Path != "p\xfe" {
			t.Errorf("path %q", l.Path)
		}
		return l.Object != "gone"
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		object, version string
		want            bool
	}{{"kept", "null", true}, {"failed", "null", false}, {"skipped", "null", false}, {"gone", "null", false}, {"odd\xff\n", "null", true}, {"two", "v1", true}, {"two", "null", false},
		{"two", unsettledID("null", when), true}, {"half", "null", false}, {"new", "null", false}} {
		if got := r.Done("b", test.object, test.version); got != test.want {
			t.Errorf("%q %s: done is %v", test.object, test.version, got)
		}
	}
	if err := r.Write(&Line{Bucket: "b", Object: "new", VersionID: "null", Status: OK}); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 5 || !strings.Contains(lines[4], `"new"`) {
		t.Errorf("%d lines:\n%s", len(lines), text)
	}
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 1 {
		t.Errorf("%d files: %v", len(left), err)
	}
}

// TestResumeWhatIsNoReport: such a file is refused, and stays as it is.
func TestResumeWhatIsNoReport(t *testing.T) {
	good := `{"bucket":"b","object":"o","status":"ok"}` + "\n"
	for name, text := range map[string]string{
		"text":        good + "a letter\n",
		"other JSON":  good + `{"bucket":"b"}` + "\n",
		"array":       good + "[]\n",
		"empty line":  good + "\n" + good,
		"binary":      good + "\x00\xff\n",
		"endless":     good + strings.Repeat("x", maxLine+2<<20) + "\n",
		"wrong types": good + `{"bucket":"b","status":"ok","parts":"many"}` + "\n",
	} {
		file := filepath.Join(t.TempDir(), "r")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ResumeReport(file, always)
		var e *ReportError
		if !errors.As(err, &e) || e.Line != 2 {
			t.Errorf("%s: %v", name, err)
		}
		after, err := os.ReadFile(file)
		if err != nil || string(after) != text {
			t.Errorf("%s: the file was changed", name)
		}
		if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
			t.Errorf("%s: %d files are left: %v", name, len(left), err)
		}
	}
}

// TestReportFails: after the first failure nothing more is written.
func TestReportFails(t *testing.T) {
	w := &failing{left: 1}
	r := NewReport(w)
	for i, want := range []bool{true, false, false} {
		if err := r.Write(&Line{Object: "o"}); (err == nil) != want {
			t.Errorf("line %d: %v", i+1, err)
		}
	}
	if w.calls != 2 {
		t.Errorf("%d writes", w.calls)
	}
	if (*Report)(nil).Write(&Line{}) != nil || (*Report)(nil).Done("b", "o", "v") || (*Report)(nil).Close() != nil {
		t.Error("a nil report does something")
	}
}

type failing struct{ left, calls int }

func (f *failing) Write(p []byte) (int, error) {
	f.calls++
	if f.left--; f.left < 0 {
		return 0, os.ErrClosed
	}
	return len(p), nil
}

// FuzzReport: any file is refused or read, and what is read is written the same again.
func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"bucket":"b","object":"o","version_id":"v","status":"ok","findings":[{"problem":"shard-damaged","part":1,"block":0}]}` + "\n"))
	f.Add([]byte(`{"object":"?","object#base64":"/w==","status":"ok"}` + "\n{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var seen []*Line
		var out bytes.Buffer
		r := new(Report)
		if err := r.keep(bytes.NewReader(text), &out, "r", func(l *Line) bool { seen = append(seen, l); return true }); err != nil {
			if !errors.As(err, new(*ReportError)) {
				t.Error(err)
			}
			return
		}
		if n := bytes.Count(out.Bytes(), []byte("\n")); n != len(seen) {
			t.Errorf("%d lines stay of %d", n, len(seen))
		}
		for _, l := range seen {
			if l.Unsettled {
				continue
			}
			if !r.Done(l.Bucket, l.Object, l.VersionID) {
				t.Errorf("%q is not done", l.Object)
			}
			text, err := l.encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := decodeLine(bytes.TrimSuffix(text, []byte("\n")))
			if err != nil || again.Object != l.Object || again.Bucket != l.Bucket || again.Path != l.Path {
				t.Errorf("%q became %q: %v", l.Object, again.Object, err)
			}
		}
	})
}
