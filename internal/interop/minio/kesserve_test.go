//go:build unix

package minio_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/interop/minio/s3client"
	"github.com/objseal/objseal/internal/interop/minioproc"
	"github.com/objseal/objseal/internal/interop/process"
	"github.com/objseal/objseal/internal/keyfile"
	"github.com/objseal/objseal/internal/selfsigned"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
)

// keyServer is an objseal kes serve.
type keyServer struct {
	dir, address string
	run          func()
	process      *process.Process
}

func (s *keyServer) path(name string) string { return filepath.Join(s.dir, name) }

// startKeyServer starts one on a new directory, which prepare may fill.
func startKeyServer(t *testing.T, objseal string, prepare func(dir string)) *keyServer {
	t.Helper()
	s := &keyServer{dir: filepath.Join(t.TempDir(), "kes")}
	if prepare != nil {
		prepare(s.dir)
	}
	var err error
	if s.address, err = process.FreeAddress(); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "kes.log")
	s.run = func() {
		t.Helper()
		os.Remove(s.path("endpoint")) // left by one that was killed
		if s.process, err = process.Start(process.Command{Path: objseal, Args: []string{"kes", "serve", "--dir", s.dir, "--address", s.address}, Log: log}); err != nil {
			t.Fatal(err)
		}
		if err := s.process.Wait(func() error { _, err := os.Stat(s.path("endpoint")); return err }); err != nil {
			t.Fatalf("failed to start the key server: %v\n%s", err, s.process.Log())
		}
	}
	t.Cleanup(func() {
		if s.process == nil {
			return
		}
		s.process.Kill()
		if t.Failed() {
			t.Logf("log of the key server:\n%s", s.process.Log())
		}
	})
	s.run()
	return s
}

// client returns a client of the key server's first client's key.
func (s *keyServer) client(t *testing.T) *kms.Client {
	t.Helper()
	key, err := kes.ParseAPIKey(s.apiKey(t))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, s.path("server.crt")))
	backend, err := kes.New([]string{"https://" + s.address}, key, &kes.Options{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backend.Close() })
	return kms.NewClient(backend, nil)
}

func (s *keyServer) apiKey(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(string(read(t, s.path("api-key"))))
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// object is one that a test stores and reads again and again.
type object struct {
	name string
	size int
	sse  encrypt.ServerSide
	key  string // that a reader is told; empty for SSE-S3
	pair map[string]string
	data []byte
}

// TestKESServe: a MinIO server runs against objseal kes serve as against a KES
// server, whether it has an API key or a certificate. It makes its default key
// there; objects are readable after orderly ends and crashes of both; and the
// key store alone, without any server, opens their data keys.
func TestKESServe(t *testing.T) {
	server := minioproc.Build(t, ".")
	objseal := process.Build(t, "../../..", "./cmd/objseal")
	t.Run("API key", func(t *testing.T) {
		keys := startKeyServer(t, objseal, nil)
		testKESServe(t, server, keys, "MINIO_KMS_KES_API_KEY="+keys.apiKey(t))
	})
	t.Run("mTLS", func(t *testing.T) {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key")
		cert, key, err := selfsigned.New([]string{"minio"}, 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		if os.WriteFile(certFile, cert, 0o600) != nil || os.WriteFile(keyFile, key, 0o600) != nil {
			t.Fatal("failed to write the client's certificate")
		}
		keys := startKeyServer(t, objseal, func(dir string) {
			first := kes.NewAPIKey()
			policy := fmt.Sprintf(`{"policy": {"all": {"allow": ["/v1/key/*", "/v1/status"], "deny": ["/v1/key/delete/*"], "identities": [%q, %q]}}}`, first.Identity(), kes.Identity(pair.Leaf))
			if os.MkdirAll(dir, 0o700) != nil || os.WriteFile(filepath.Join(dir, "policy.json"), []byte(policy), 0o600) != nil ||
				os.WriteFile(filepath.Join(dir, "api-key"), []byte(first.Text()), 0o600) != nil {
				t.Fatal("failed to write the policy")
			}
		})
		testKESServe(t, server, keys, "MINIO_KMS_KES_CERT_FILE="+certFile, "MINIO_KMS_KES_KEY_FILE="+keyFile)
	})
}

func testKESServe(t *testing.T, binary string, keys *keyServer, credentials ...string) {
	if err := keys.client(t).CreateKey(t.Context(), "other-key"); err != nil {
		t.Fatal(err)
	}
	server := minioproc.Start(t, binary, &minioproc.Options{Env: append([]string{
		"MINIO_KMS_KES_ENDPOINT=https://" + keys.address,
		"MINIO_KMS_KES_KEY_NAME=default-key",
		"MINIO_KMS_KES_CAPATH=" + keys.path("server.crt"),
	}, credentials...)})
	if _, err := os.Stat(keys.path("keys/default-key")); err != nil {
		t.Errorf("MinIO has not made its default key: %v", err)
	}
	client := s3client.New(t, server)
	s3client.MakeBucket(t, client, "bucket")

	var objects []*object
	for _, size := range []int{0, 1, 1000, 65536, 65537, 3 << 20} {
		pair := map[string]string{"tenant": "a\"<&>é", "size": fmt.Sprint(size)}
		objects = append(objects,
			&object{name: fmt.Sprintf("s3/%d", size), size: size, sse: encrypt.NewSSE()},
			&object{name: fmt.Sprintf("kms/%d", size), size: size, sse: managed(t, "", nil), key: "default-key"},
			&object{name: fmt.Sprintf("kms-context/%d", size), size: size, sse: managed(t, "other-key", pair), key: "other-key", pair: pair})
	}
	for _, o := range objects {
		o.data = make([]byte, o.size)
		rand.Read(o.data)
		s3client.Put(t, client, "bucket", o.name, o.data, o.sse)
	}
	objects = append(objects, putParts(t, client, "parts", managed(t, "other-key", map[string]string{"a": "b"}), map[string]string{"a": "b"}))
	if _, err := client.Client.PutObject(t.Context(), "bucket", "no-key", bytes.NewReader(nil), 0, minio.PutObjectOptions{ServerSideEncryption: managed(t, "no-such-key", nil)}); minio.ToErrorResponse(err).Code != "kms:KeyNotFound" {
		t.Errorf("a key that does not exist: %v", err)
	}
	checkObjects(t, client, objects)

	for name, restart := range map[string]func(){
		"both stopped": func() { server.Stop(t); keys.process.Stop(); keys.run(); server.Restart(t) },
		"both killed":  func() { keys.process.Kill(); server.Kill(); keys.run(); server.Restart(t) },
		"keys alone":   func() { keys.process.Stop(); keys.run() },
	} {
		t.Run(name, func(t *testing.T) {
			restart()
			checkObjects(t, client, objects)
			s3client.Put(t, client, "bucket", "after", []byte("after"), encrypt.NewSSE())
		})
	}

	server.Stop(t)
	keys.process.Stop()
	if code := keys.process.ExitCode(); code != 0 {
		t.Errorf("the key server ended with code %d", code)
	}
	openOffline(t, filepath.Join(server.Drives[0], "bucket"), keys.path("keys"), objects)
}

func managed(t *testing.T, key string, context map[string]string) encrypt.ServerSide {
	t.Helper()
	var pairs any
	if context != nil {
		pairs = context
	}
	sse, err := encrypt.NewSSEKMS(key, pairs)
	if err != nil {
		t.Fatal(err)
	}
	return sse
}

// putParts stores an object of two parts.
func putParts(t *testing.T, c *minio.Core, name string, sse encrypt.ServerSide, pair map[string]string) *object {
	t.Helper()
	o := &object{name: name, size: 5<<20 + 1000, key: "other-key", pair: pair}
	o.data = make([]byte, o.size)
	rand.Read(o.data)
	id, err := c.NewMultipartUpload(t.Context(), "bucket", name, minio.PutObjectOptions{ServerSideEncryption: sse})
	if err != nil {
		t.Fatal(err)
	}
	var parts []minio.CompletePart
	for i, part := range [][]byte{o.data[:5<<20], o.data[5<<20:]} {
		p, err := c.PutObjectPart(t.Context(), "bucket", name, id, i+1, bytes.NewReader(part), int64(len(part)), minio.PutObjectPartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, minio.CompletePart{PartNumber: p.PartNumber, ETag: p.ETag})
	}
	if _, err := c.CompleteMultipartUpload(t.Context(), "bucket", name, id, parts, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	return o
}

// checkObjects reads every object, whole and in part.
func checkObjects(t *testing.T, c *minio.Core, objects []*object) {
	t.Helper()
	for _, o := range objects {
		got, info := s3client.Get(t, c, "bucket", o.name, nil)
		if !bytes.Equal(got, o.data) || info.Size != int64(o.size) {
			t.Errorf("%s: %d other bytes", o.name, len(got))
		}
		scheme, key := info.Metadata.Get("X-Amz-Server-Side-Encryption"), strings.TrimPrefix(info.Metadata.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"), "arn:aws:kms:")
		if want := map[bool]string{true: "AES256", false: "aws:kms"}[o.key == ""]; scheme != want || key != o.key {
			t.Errorf("%s: %s under key %q", o.name, scheme, key)
		}
		if o.size < 2 {
			continue
		}
		from, to := o.size/3, o.size-1
		options := minio.GetObjectOptions{}
		if err := options.SetRange(int64(from), int64(to)); err != nil {
			t.Fatal(err)
		}
		body, _, _, err := c.GetObject(t.Context(), "bucket", o.name, options)
		if err != nil {
			t.Errorf("%s, a range: %v", o.name, err)
			continue
		}
		part, err := io.ReadAll(body)
		body.Close()
		if err != nil || !bytes.Equal(part, o.data[from:]) {
			t.Errorf("%s, a range: %d other bytes, %v", o.name, len(part), err)
		}
	}
}

// openOffline opens the data key of every object from its metadata on the drive
// and the key file, as one does whose servers are gone.
func openOffline(t *testing.T, bucket, keyStore string, objects []*object) {
	t.Helper()
	root, err := os.OpenRoot(keyStore)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, o := range objects {
		meta := read(t, filepath.Join(bucket, o.name, "xl.meta"))
		name := entry(t, meta, "X-Minio-Internal-Server-Side-Encryption-S3-Kms-Key-Id")
		sealed, err := base64.StdEncoding.DecodeString(entry(t, meta, "X-Minio-Internal-Server-Side-Encryption-S3-Kms-Sealed-Key"))
		if err != nil {
			t.Fatal(err)
		}
		key, err := keyfile.Read(root, name)
		if err != nil {
			t.Errorf("%s: key %q: %v", o.name, name, err)
			continue
		}
		context := kms.AssociatedData{"bucket": "bucket/" + o.name}
		for k, v := range o.pair {
			context[k] = v
		}
		opened, err := dek.Open(nil, key.Secret.Bytes(), key.Algorithm, sealed, context.Canonical())
		if err != nil || len(opened) != kms.DataKeySize {
			t.Errorf("%s: %d bytes, %v", o.name, len(opened), err)
		}
	}
}

// entry returns the value of an entry of xl.meta, where it stands in MessagePack:
// the name, c4, one byte of length, the value.
func entry(t *testing.T, meta []byte, name string) string {
	t.Helper()
	_, after, ok := bytes.Cut(meta, append([]byte(name), 0xc4))
	if !ok || len(after) == 0 || len(after) <= int(after[0]) {
		t.Fatalf("no entry %s", name)
	}
	return string(after[1 : 1+after[0]])
}
