package static_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
)

func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadKeyFile(t *testing.T) {
	pad := strings.Repeat("\n", static.MaxFileSize-len("k:"+encodedKey))
	for name, tt := range map[string]struct {
		text string
		err  error // nil: it has the key k
	}{
		"as MinIO wants it":     {text: "k:" + encodedKey},
		"trailing line break":   {text: "k:" + encodedKey + "\n"},
		"trailing CR LF":        {text: "k:" + encodedKey + "\r\n"},
		"white space around it": {text: " \t k:" + encodedKey + " \n\n"},
		"largest":               {text: "k:" + encodedKey + pad},

		"one byte too large": {text: "k:" + encodedKey + pad + "\n", err: errAny},
		"empty":              {text: "", err: static.ErrKeyFormat},
		"no name":            {text: encodedKey, err: static.ErrKeyFormat},
		"short":              {text: "k:AAAA", err: static.KeyLengthError(3)},
		"two keys":           {text: "k:" + encodedKey + "\nl:" + encodedKey, err: errAny},
		"comment":            {text: "# k\nk:" + encodedKey, err: kms.ErrInvalidKeyID},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, tt.text)
			key, err := static.ReadKeyFile(path)
			checkFileError(t, err, tt.err, path, 0)
			if err == nil && key.Text() != "k:"+encodedKey {
				t.Error("another key")
			}
		})
	}
}

// errAny stands for errors without a sentinel of their own.
var errAny = errors.New("any error")

func checkFileError(t *testing.T, err, want error, path string, line int) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	var f *static.FileError
	switch {
	case !errors.As(err, &f):
		t.Fatalf("error %v is not a *FileError", err)
	case want != errAny && !errors.Is(err, want):
		t.Errorf("error %v, want %v", err, want)
	case f.Path != path || f.Line != line:
		t.Errorf("error is about line %d of %s, want line %d of %s", f.Line, f.Path, line, path)
	case strings.Count(err.Error(), path) != 1:
		t.Errorf("%q does not name the file once", err)
	}
	noKeyIn(t, err.Error())
}

func TestReadKeyList(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want string // names
		err  error
		line int
	}{
		"one":                {text: "k:" + encodedKey, want: "[k]"},
		"several, in order":  {text: "z:" + encodedKey + "\na:" + encodedKey + "\n", want: "[z a]"},
		"comments and space": {text: "# keys\r\n\r\n  k:" + encodedKey + "\t\r\n   # l:bad\n\nl:" + encodedKey, want: "[k l]"},

		"exported from KES": {text: "k:" + encodedKey + "\nv: " + exportedKey + "\n", want: "[k v]"},

		"empty":                   {text: "", err: errAny},
		"only comments":           {text: "# k:" + encodedKey + "\n\n", err: errAny},
		"second is no key":        {text: "k:" + encodedKey + "\nSECRET-secret-SECRET\n", err: static.ErrKeyFormat, line: 2},
		"comments count as lines": {text: "#\n\nk:AAAA\n", err: static.KeyLengthError(3), line: 3},
		"comment after the key":   {text: "k:" + encodedKey + " # mine", err: errAny, line: 1},
		"too large":               {text: "k:" + encodedKey + strings.Repeat("\n#", static.MaxFileSize), err: errAny},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, tt.text)
			keys, err := static.ReadKeyList(path)
			checkFileError(t, err, tt.err, path, tt.line)
			var names []string
			for _, k := range keys {
				names = append(names, k.Name)
			}
			if err == nil && fmt.Sprint(names) != tt.want {
				t.Errorf("keys %v, want %v", names, tt.want)
			}
		})
	}
}

func TestReadKeyFileUnreadable(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	_, err := static.ReadKeyFile(missing)
	checkFileError(t, err, fs.ErrNotExist, missing, 0)
	_, err = static.ReadKeyList(missing)
	checkFileError(t, err, fs.ErrNotExist, missing, 0)
	_, err = static.ReadKeyFile(dir)
	checkFileError(t, err, errAny, dir, 0)
}

// TestReadKeyFilePipe: a secret manager may hand over a pipe, which has no size.
func TestReadKeyFilePipe(t *testing.T) {
	if _, err := os.Stat("/dev/fd"); err != nil {
		return // nothing to test on a system that has no names for pipes
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		defer w.Close()
		w.WriteString("k:")
		w.WriteString(encodedKey + "\n")
	}()
	key, err := static.ReadKeyFile(fmt.Sprintf("/dev/fd/%d", r.Fd()))
	if err != nil || key.Text() != "k:"+encodedKey {
		t.Errorf("no key from a pipe: %v", err)
	}
}

// FuzzReadKeyList: no text panics, and a list written from the keys that were
// read has the same ones.
func FuzzReadKeyList(f *testing.F) {
	for _, text := range []string{"", "# none\n", "k:" + encodedKey, " k:" + encodedKey + "\r\n\n#\nl:" + encodedKey, "k:" + encodedKey + "\n:", "\x00"} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "keys")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := static.ReadKeyList(path)
		if err != nil {
			var file *static.FileError
			if len(keys) > 0 || !errors.As(err, &file) || file.Path != path {
				t.Errorf("%d keys beside %v", len(keys), err)
			}
			return
		}
		var list strings.Builder
		for _, k := range keys {
			fmt.Fprintln(&list, k.Text())
		}
		if list.Len() > static.MaxFileSize { // it may have grown a line break
			return
		}
		if err := os.WriteFile(path, []byte(list.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := static.ReadKeyList(path)
		if err != nil || len(again) != len(keys) {
			t.Fatalf("%d keys, %v; want %d", len(again), err, len(keys))
		}
		for i, k := range keys {
			if again[i].Name != k.Name || !again[i].Equal(k.Key) {
				t.Errorf("key %d is another one", i)
			}
		}
	})
}
