//go:build unix

package kessuite

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/objseal/objseal/internal/interop/kesproc"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
)

// cause is something that goes wrong, and how to make it.
type cause struct {
	name    string
	differs bool // between generations of servers
	run     func(*bench) row
}

// Entries of the metadata.
const (
	keyID     = "X-Minio-Internal-Server-Side-Encryption-S3-Kms-Key-Id"
	sealedKey = "X-Minio-Internal-Server-Side-Encryption-S3-Kms-Sealed-Key"
)

// causes are in the order of the table.
var causes = []cause{
	{"There is neither a key server nor a key", false, func(b *bench) row {
		b.start(nil)
		c := b.caller()
		c.env = nil
		return b.fails(c, b.encrypt(""))
	}},
	{"No key is named, and there is no default key", false, func(b *bench) row {
		b.start(nil)
		return b.fails(withAPIKey(b.path, b.d, b.d.APIKey, b.s), b.encrypt(""))
	}},
	{"The name is none that a key can have", false, func(b *bench) row {
		b.start(nil)
		return b.fails(b.caller(), b.encrypt("a/b"))
	}},
	{"The metadata names a key that cannot be", false, func(b *bench) row {
		b.start(nil)
		return b.fails(b.caller(), b.open(b.change(keyID, "../app-1")))
	}},
	{"A key of that name exists", false, func(b *bench) row {
		b.start(nil)
		return b.fails(b.caller(), b.create("app-1"))
	}},
	{"The key does not exist", false, func(b *bench) row {
		b.start(nil)
		return b.fails(b.caller(), b.encrypt("app-9"))
	}},
	{"The key was deleted", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		b.withoutKey()
		return b.fails(b.caller(), b.open(dir))
	}},
	{"The key was deleted and made again under its name", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		b.withoutKey()
		call(b.t, b.d, b.s, "create/app-1", nil, http.StatusOK)
		return b.fails(b.caller(), b.open(dir))
	}},
	{"Another server has another key under that name", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		b.start(nil)
		return b.fails(b.caller(), b.open(dir))
	}},
	{"The metadata has another context", false, func(b *bench) row {
		b.start(nil)
		return b.fails(b.caller(), b.open(b.change("X-Minio-Internal-Server-Side-Encryption-Context", base64.StdEncoding.EncodeToString([]byte(`{"tenant":"b"}`)))))
	}},
	{"The object is looked for under another name", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		return b.fails(b.caller(), b.open(withMetadata(b.t, dir, func(meta map[string]any) { meta["object"] = "dir/other" })))
	}},
	{"The data key was sealed without bucket and object in its context", false, func(b *bench) row {
		b.start(nil)
		body, err := json.Marshal(message{Context: []byte(`{"tenant":"a"}`)})
		if err != nil {
			b.t.Fatal(err)
		}
		made := call(b.t, b.d, b.s, "generate/app-1", body, http.StatusOK)
		return b.fails(b.caller(), b.open(b.change(sealedKey, base64.StdEncoding.EncodeToString(made.Ciphertext))))
	}},
	{"The metadata names another key than sealed it, and all keys are at hand (--keystore)", false, func(b *bench) row {
		b.start(nil)
		dir := b.change(keyID, "app-2")
		b.s.Stop(b.t)
		return b.fails(caller{path: b.path, flags: []string{"--keystore", b.d.KeyStore}}, b.open(dir))
	}},
	{"The sealed data key is damaged", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		sealed, err := base64.StdEncoding.DecodeString(readSidecar(b.t, dir).Metadata[sealedKey])
		if err != nil || len(sealed) == 0 {
			b.t.Fatalf("no sealed data key: %v", err)
		}
		sealed[len(sealed)-1] ^= 1
		return b.fails(b.caller(), b.open(withEntry(b, dir, sealedKey, base64.StdEncoding.EncodeToString(sealed))))
	}},
	{"The policy does not allow to generate", false, func(b *bench) row {
		key := kesproc.NewAPIKey()
		b.start(&kesproc.Options{Policies: map[string][]string{key.Identity: {"key/decrypt/*"}}})
		return b.fails(withAPIKey(b.path, b.d, key, b.s), b.encrypt("app-1"))
	}},
	{"The policy does not allow to decrypt", false, func(b *bench) row {
		key := kesproc.NewAPIKey()
		b.start(&kesproc.Options{Policies: map[string][]string{key.Identity: {"key/generate/*"}}})
		return b.fails(withAPIKey(b.path, b.d, key, b.s), b.open(b.seal()))
	}},
	{"No policy names the identity", false, func(b *bench) row {
		b.start(nil)
		return b.fails(withAPIKey(b.path, b.d, b.d.Stranger, b.s), b.open(b.seal()))
	}},
	{"No credential is given", false, func(b *bench) row {
		b.start(nil)
		c := b.caller()
		c.unset("MINIO_KMS_KES_CERT_FILE", "MINIO_KMS_KES_KEY_FILE")
		return b.fails(c, b.open(b.seal()))
	}},
	{"No client certificate reaches the server", true, func(b *bench) row {
		b.start(nil)
		made := call(b.t, b.d, b.s, "generate/app-1", nil, http.StatusOK)
		backend := backend(b.t, b.d, noCertificate{apiKey(b.t, b.d.APIKey)}, nil, b.s)
		_, err := kms.NewClient(backend, nil).Decrypt(b.t.Context(), "app-1", made.Ciphertext, nil)
		return b.library(err, "the command always shows one; a proxy that ends TLS on the way takes it off")
	}},
	{"Certificate and private key do not belong together", false, func(b *bench) row {
		b.start(nil)
		c := b.caller()
		c.set("MINIO_KMS_KES_KEY_FILE", strings.TrimSuffix(b.d.CAFile, ".crt")+".key")
		return b.fails(c, b.open(b.seal()))
	}},
	{"The client certificate is a CA's, which servers ignore", false, func(b *bench) row {
		b.start(nil)
		c := b.with(b.d.Reissue(b.t, "as-ca", false, func(cert *x509.Certificate) { cert.IsCA = true }))
		return b.fails(c, b.open(b.seal()))
	}},
	{"The client certificate is from another CA than the server asks for", false, func(b *bench) row {
		b.start(&kesproc.Options{VerifyClients: true})
		return b.fails(b.with(b.d.Reissue(b.t, "foreign", true, nil)), b.open(b.seal()))
	}},
	{"An API key, and the server asks for a CA's certificate", false, func(b *bench) row {
		b.start(&kesproc.Options{VerifyClients: true})
		return b.fails(withAPIKey(b.path, b.d, b.d.APIKey, b.s), b.open(b.seal()))
	}},
	{"The client certificate has expired, and the server looks", false, func(b *bench) row {
		b.start(&kesproc.Options{VerifyClients: true})
		c := b.with(b.d.Reissue(b.t, "expired", false, func(cert *x509.Certificate) { cert.NotAfter = cert.NotBefore.Add(time.Minute) }))
		return b.fails(c, b.open(b.seal()))
	}},
	{"The server's certificate is from an unknown CA", false, func(b *bench) row {
		b.start(nil)
		c := b.caller()
		c.unset("MINIO_KMS_KES_CAPATH")
		return b.fails(c, b.open(b.seal()))
	}},
	{"The server's certificate is for another name", false, func(b *bench) row {
		b.start(&kesproc.Options{ServerCert: func(cert *x509.Certificate) { cert.DNSNames, cert.IPAddresses = []string{"kes.example.com"}, nil }})
		return b.fails(b.caller(), b.describe("app-1"))
	}},
	{"The server's certificate has expired", false, func(b *bench) row {
		b.start(&kesproc.Options{ServerCert: func(cert *x509.Certificate) {
			cert.NotBefore, cert.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}})
		return b.fails(b.caller(), b.describe("app-1"))
	}},
	{"The address has no https://", false, func(b *bench) row {
		b.start(nil)
		c := b.caller()
		c.set("MINIO_KMS_KES_ENDPOINT", b.s.Address())
		return b.fails(c, b.open(b.seal()))
	}},
	{"What listens there speaks no TLS", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		c := b.caller()
		plain := httptest.NewServer(http.NotFoundHandler())
		b.t.Cleanup(plain.Close)
		c.set("MINIO_KMS_KES_ENDPOINT", strings.Replace(plain.URL, "http://", "https://", 1))
		return b.fails(c, b.open(dir))
	}},
	{"The server is down", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		b.s.Kill()
		return b.fails(b.caller(), b.open(dir))
	}},
	{"The server hangs", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		b.s.Suspend(b.t)
		return b.fails(b.caller(), b.open(dir))
	}},
	{"One server of three is down", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		second, third := b.d.Start(b.t), b.d.Start(b.t)
		b.s.Kill()
		c := withCertificate(b.path, b.d, "app-1", b.s, second, third)
		if err := b.call(b.t.Context(), c, b.open(dir)); err != nil {
			b.t.Error(err)
		}
		c.must(b.t, dir, "decrypt", "-o", "new", "file.sealed")
		for line := range strings.Lines(c.must(b.t, dir, "kms", "status").stdout) {
			if strings.Contains(line, b.s.Address()) {
				return row{message: b.normal(strings.Join(strings.Fields(line), " ")), hint: "none is needed, the next server answers; this is a line of `objseal kms status`"}
			}
		}
		b.t.Error("the status does not name the server that is down")
		return row{}
	}},
	{"The server's key store is gone, and a key is to be made", false, func(b *bench) row {
		b.start(nil)
		if err := os.RemoveAll(b.d.KeyStore); err != nil {
			b.t.Fatal(err)
		}
		return b.fails(b.caller(), b.create("app-3"))
	}},
	{"The server's key store is gone, and a key is to be used", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		b.s.Stop(b.t)
		b.s.Restart(b.t) // else it has the key in memory
		if err := os.RemoveAll(b.d.KeyStore); err != nil {
			b.t.Fatal(err)
		}
		return b.fails(b.caller(), b.open(dir))
	}},
	{"The key's file is damaged in the server's key store", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		b.s.Stop(b.t)
		write(b.t, filepath.Join(b.d.KeyStore, "app-1"), []byte("no key"))
		b.s.Restart(b.t)
		return b.fails(b.caller(), b.open(dir))
	}},
	{"The server is too old for the call", false, func(b *bench) row {
		b.start(nil)
		door := b.s.NewDoor(b.t)
		door.Hide("/v1/key/describe/")
		return b.fails(withCertificate(b.path, b.d, "app-1", door), b.describe("app-1"))
	}},
	{"The caller's deadline passes first", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		b.s.Suspend(b.t)
		ctx, cancel := context.WithTimeout(b.t.Context(), 100*time.Millisecond)
		defer cancel()
		err := b.call(ctx, b.caller(), b.open(dir))
		return b.library(err, "the command has no deadline, this is the library's")
	}},
	{"It is interrupted while it waits", false, func(b *bench) row {
		b.start(nil)
		dir := b.seal()
		door := b.s.NewDoor(b.t)
		b.s.Suspend(b.t)
		c := withCertificate(b.path, b.d, "app-1", door)
		a := b.open(dir)

		ctx, cancel := context.WithCancel(b.t.Context())
		defer cancel()
		go func() {
			door.Arrived()
			cancel()
		}()
		r := b.kind(b.call(ctx, c, a))

		p := c.start(b.t, a.dir, a.args...)
		door.Arrived()
		if err := p.Process.Signal(syscall.SIGINT); err != nil {
			b.t.Fatal(err)
		}
		return b.said(r, p.wait(b.t))
	}},
}

// noCertificate is a credential that shows none.
type noCertificate struct{ kes.Credentials }

func (noCertificate) Certificate() (*tls.Certificate, error) { return &tls.Certificate{}, nil }

// withoutKey takes app-1 away; the server would otherwise have it in memory.
func (b *bench) withoutKey() {
	b.t.Helper()
	b.s.Stop(b.t)
	if err := os.Remove(filepath.Join(b.d.KeyStore, "app-1")); err != nil {
		b.t.Fatal(err)
	}
	b.s.Restart(b.t)
}

// with returns the usual caller, who shows this certificate.
func (b *bench) with(cert kesproc.Certificate) caller {
	c := b.caller()
	c.set("MINIO_KMS_KES_CERT_FILE", cert.CertFile)
	c.set("MINIO_KMS_KES_KEY_FILE", cert.KeyFile)
	return c
}

// change returns a directory with a sealed file, of whose metadata one entry
// has another value.
func (b *bench) change(entry, value string) string {
	b.t.Helper()
	return withEntry(b, b.seal(), entry, value)
}

func withEntry(b *bench, dir, entry, value string) string {
	b.t.Helper()
	return withMetadata(b.t, dir, func(meta map[string]any) {
		values := meta["metadata"].(map[string]any)
		if values[entry] == nil {
			b.t.Fatalf("the metadata has no %s: %v", entry, values)
		}
		values[entry] = value
	})
}

// unset and set change the environment of the command; c.env is shared by
// nobody.
func (c *caller) unset(names ...string) {
	for _, name := range names {
		c.env = slices.DeleteFunc(c.env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	}
}

func (c *caller) set(name, value string) {
	c.unset(name)
	c.env = append(c.env, name+"="+value)
}
