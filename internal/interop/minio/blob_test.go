//go:build unix

package minio_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/minio/highwayhash"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/objseal/objseal/internal/interop/minioproc"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/blob"
	"github.com/objseal/objseal/kms/static"
)

const configPath = "config/config.json"

// TestServerReadsConfig seals a changed configuration in place of the one that
// the server sealed; the server reads it, with either cipher, and shows it in what
// it answers to S3 requests and in its admin API.
func TestServerReadsConfig(t *testing.T) {
	raw := make([]byte, 32)
	rand.Read(raw)
	secret := "test-key:" + base64.StdEncoding.EncodeToString(raw)
	key, err := static.ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	backend, err := static.New([]static.Key{key}, "")
	if err != nil {
		t.Fatal(err)
	}
	client := kms.NewClient(backend, nil)
	server := minioproc.Start(t, minioproc.Build(t, "."), &minioproc.Options{Env: []string{"MINIO_KMS_SECRET_KEY=" + secret}})
	origin := "*"
	for _, c := range []struct {
		algorithm blob.Algorithm
		origin    string
	}{
		{blob.AES256GCM, "https://aes.example"},
		{blob.ChaCha20Poly1305, "https://chacha.example"},
	} {
		if got := corsOrigin(t, server, "https://elsewhere.example"); (got == "") != (origin != "*") {
			t.Errorf("allowed elsewhere: %q", got)
		}
		server.Stop(t)
		file := openInlineFile(t, filepath.Join(server.Drives[0], ".minio.sys", configPath, "xl.meta"))
		text, form, err := blob.ReadFile(t.Context(), client, configPath, "", file.data)
		if err != nil || form != blob.Sealed {
			t.Fatalf("the server's configuration: %v, %v", form, err)
		}
		old := []byte(`{"key":"cors_allow_origin","value":"` + origin + `"}`)
		origin = c.origin
		if !bytes.Contains(text, old) {
			t.Fatalf("%s is not in the server's configuration", old)
		}
		text = bytes.Replace(text, old, []byte(`{"key":"cors_allow_origin","value":"`+origin+`"}`), 1)
		// Room for the longer value: what has its default may be left out.
		text = bytes.Replace(text, []byte(`{"key":"cluster_deadline","value":"10s"},`), nil, 1)
		text = bytes.TrimRight(text, " ")
		file.replace(t, func(size int) []byte {
			sealed := seal(t, client, text, blob.AssociatedData(configPath), c.algorithm)
			for len(sealed) < size { // JSON may end with spaces
				text = append(text, bytes.Repeat([]byte{' '}, size-len(sealed))...)
				sealed = seal(t, client, text, blob.AssociatedData(configPath), c.algorithm)
			}
			return sealed
		})
		server.Restart(t)
		if got := corsOrigin(t, server, origin); got != origin {
			t.Errorf("%s: the server allows %q, want %q", c.algorithm, got, origin)
		}
		// What the admin API answers is sealed under the caller's secret key.
		answer := admin(t, server, "/minio/admin/v3/get-config-kv?key=api")
		shown, err := blob.OpenPassword(minioproc.Password, answer)
		if err != nil || blob.Detect(answer) != blob.Password {
			t.Fatalf("the answer of the admin API: %v, %v", blob.Detect(answer), err)
		}
		if !bytes.Contains(shown, []byte("cors_allow_origin="+origin)) {
			t.Errorf("%s: the admin API shows another configuration: %s", c.algorithm, shown)
		}
	}
}

func seal(t *testing.T, client *kms.Client, text []byte, ad kms.AssociatedData, a blob.Algorithm) []byte {
	t.Helper()
	b, err := blob.Seal(t.Context(), client, text, ad, &blob.Options{Algorithm: a})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bitrotKey is that of every drive (drive spec section 6).
const bitrotKey = "4be734fa8e238acd263e83e6bb968552040f935da39f441497e09d1322de36a0"

// inlineFile is the xl.meta of a small object on the one drive of a server: it
// ends with the hash of the object's data, and the data.
type inlineFile struct {
	name string
	all  []byte
	data []byte // the end of all
}

func openInlineFile(t *testing.T, name string) inlineFile {
	t.Helper()
	all, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	begin := bytes.LastIndex(all, []byte(`{"keyid":`)) - 5
	if begin < 32 {
		t.Fatalf("%s does not hold a sealed file", name)
	}
	f := inlineFile{name, all, bytes.Clone(all[begin:])}
	if !bytes.Equal(all[begin-32:begin], bitrotHash(t, f.data)) {
		t.Fatalf("%s does not end with a hash and what it is of", name)
	}
	return f
}

// replace puts other data, of the same size so that nothing else has to change,
// in the place of the old one.
func (f inlineFile) replace(t *testing.T, data func(size int) []byte) {
	t.Helper()
	b := data(len(f.data))
	if len(b) != len(f.data) {
		t.Fatalf("%d bytes for %d", len(b), len(f.data))
	}
	copy(f.all[len(f.all)-len(b):], b)
	copy(f.all[len(f.all)-len(b)-32:], bitrotHash(t, b))
	if err := os.WriteFile(f.name, f.all, 0o600); err != nil {
		t.Fatal(err)
	}
}

func bitrotHash(t *testing.T, b []byte) []byte {
	t.Helper()
	key, err := hex.DecodeString(bitrotKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := highwayhash.Sum(b, key)
	return sum[:]
}

// corsOrigin returns which origin the server allows for a request from one.
func corsOrigin(t *testing.T, s *minioproc.Server, origin string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	_, header := do(t, s, req, http.StatusForbidden)
	return header.Get("Access-Control-Allow-Origin")
}

// admin returns the body of the administrator's request.
func admin(t *testing.T, s *minioproc.Server, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	empty := sha256.Sum256(nil)
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(empty[:]))
	body, _ := do(t, s, signer.SignV4(*req, minioproc.User, minioproc.Password, "", ""), http.StatusOK)
	return body
}

func do(t *testing.T, s *minioproc.Server, req *http.Request, status int) ([]byte, http.Header) {
	t.Helper()
	transport, err := s.Transport()
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s: %s: %s", req.URL.Path, resp.Status, body)
	}
	return body, resp.Header
}
