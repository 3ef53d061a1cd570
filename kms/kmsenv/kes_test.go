package kmsenv_test

import (
	"cmp"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmsenv"
)

// newServer returns a TLS server that tells of every path it is asked for, and the
// PEM of its certificate.
func newServer(t *testing.T, asked func(path string)) (server *httptest.Server, root []byte) {
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked(r.URL.Path)
		io.WriteString(w, `{"version":"a test"}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs refused handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// TestDefaultKey: the key that the variable names is the one asked for.
func TestDefaultKey(t *testing.T) {
	paths := make(chan string, 10)
	server, root := newServer(t, func(path string) { paths <- path })
	caFile := filepath.Join(t.TempDir(), "root.crt")
	if err := os.WriteFile(caFile, root, 0o600); err != nil {
		t.Fatal(err)
	}
	client, _, err := kmsenv.Load(env{end: server.URL, name: "app", api: apiKey}.lookup, &kmsenv.Options{CAFile: caFile})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.GenerateKey(t.Context(), "", nil); err == nil {
		t.Error("a data key from a server that makes none")
	}
	close(paths)
	if path := <-paths; path != "/v1/key/generate/app" {
		t.Errorf("asked for %q", path)
	}
}

// TestTrust asks a server whose certificate only the named CA files make
// trustworthy.
func TestTrust(t *testing.T) {
	server, root := newServer(t, func(string) {})
	f := makeFiles(t)
	write := func(path string, text []byte) string {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ours := write(filepath.Join(t.TempDir(), "root.crt"), root)
	empty, dir := t.TempDir(), t.TempDir()
	write(filepath.Join(dir, "a-readme"), []byte("no PEM"))
	if err := os.Mkdir(filepath.Join(dir, "b-directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, "c-root.crt"), root)
	write(filepath.Join(dir, "d-readme"), []byte("no PEM"))
	large := write(filepath.Join(t.TempDir(), "large"), append(root, make([]byte, 8<<20)...))

	// A mounted secret: its files are links.
	links := t.TempDir()
	if err := os.Symlink(ours, filepath.Join(links, "root.crt")); err != nil {
		links = dir // no links on this system
	}

	for _, tt := range []struct {
		name, capath, caFile string
		refused              error // of Load
		untrusted            bool
	}{
		{name: "none", untrusted: true},
		{name: "CAPATH file", capath: ours},
		{name: "CAPATH directory", capath: dir},
		{name: "CAPATH directory of links", capath: links},
		{name: "CAPATH of another CA", capath: f.ca, untrusted: true},
		{name: "CAPATH missing", capath: f.missing, untrusted: true},
		{name: "CAPATH empty directory", capath: empty, untrusted: true},
		{name: "CAPATH without a certificate", capath: f.text, refused: kmsenv.ErrMalformed},
		{name: "CAPATH too large", capath: large, refused: kmsenv.ErrMalformed},
		{name: "CA file", caFile: ours},
		{name: "CA file that is a directory", caFile: dir},
		{name: "CA file beside CAPATH", capath: f.ca, caFile: ours},
		{name: "CAPATH beside CA file", capath: ours, caFile: f.ca},
		{name: "CA file missing", caFile: f.missing, refused: fs.ErrNotExist},
		{name: "CA file missing, also CAPATH", capath: f.missing, caFile: f.missing, refused: fs.ErrNotExist},
		{name: "CA file without a certificate", caFile: f.text, refused: errAny},
		{name: "CA file is an empty directory", caFile: empty, refused: errAny},
		{name: "CA file too large", caFile: large, refused: errAny},
	} {
		for family, e := range map[string]env{
			"minio":   {end: server.URL, name: "app", api: apiKey},
			"command": {"MINIO_KES_SERVER": strings.TrimPrefix(server.URL, "https://"), "MINIO_KES_API_KEY": apiKey},
		} {
			t.Run(tt.name+"/"+family, func(t *testing.T) {
				if tt.capath != "" {
					e[ca] = tt.capath
				}
				client, _, err := kmsenv.Load(e.lookup, &kmsenv.Options{KESCommand: true, CAFile: tt.caFile})
				if tt.refused != nil {
					if err == nil || tt.refused != errAny && !errors.Is(err, tt.refused) {
						t.Errorf("error %v, want %v", err, tt.refused)
					} else if !strings.Contains(err.Error(), cmp.Or(tt.caFile, tt.capath)) {
						t.Errorf("%q does not name the file", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				switch status, err := client.Status(t.Context()); {
				case tt.untrusted && !errors.Is(err, kms.ErrUnreachable):
					t.Errorf("an untrusted server: %v", err)
				case !tt.untrusted && (err != nil || status.Version != "a test"):
					t.Errorf("a trusted server: %v", err)
				}
			})
		}
	}
}

// errAny stands for errors without a sentinel of their own.
var errAny = errors.New("any error")
