package kes_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/kestest"
)

const (
	vectorKey      = "kes:v1:AAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	vectorIdentity = "a050837d85070582ccf7394b0988847cc312cb88259b894899f6f239cf1791a5"
	vectorPublic   = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
)

// TestAPIKeyVector is KES spec section 2.4.
func TestAPIKeyVector(t *testing.T) {
	for _, text := range []string{vectorKey, strings.TrimPrefix(vectorKey, "kes:v1:")} {
		k, err := kes.ParseAPIKey(text)
		if err != nil {
			t.Fatal(err)
		}
		if k.Identity() != vectorIdentity {
			t.Errorf("identity %s", k.Identity())
		}
		if k.Text() != vectorKey {
			t.Error("Text is not what was parsed, with prefix")
		}
		if !k.NotAfter().IsZero() {
			t.Errorf("it expires: %v", k.NotAfter())
		}
	}
}

func TestAPIKeyCertificate(t *testing.T) {
	k, err := kes.ParseAPIKey(vectorKey)
	if err != nil {
		t.Fatal(err)
	}
	serials := make(map[string]bool)
	for range 2 {
		pair, err := k.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		serials[c.SerialNumber.String()] = true
		switch lifetime := c.NotAfter.Sub(c.NotBefore); {
		case hex.EncodeToString(c.PublicKey.(ed25519.PublicKey)) != vectorPublic:
			t.Error("another public key")
		case kes.Identity(c) != vectorIdentity || c.Subject.CommonName != vectorIdentity:
			t.Errorf("identity %s, common name %s", kes.Identity(c), c.Subject.CommonName)
		case !c.BasicConstraintsValid || c.IsCA:
			t.Error("not CA:FALSE")
		case c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth:
			t.Errorf("usage %v %v", c.KeyUsage, c.ExtKeyUsage)
		case lifetime != 90*24*time.Hour:
			t.Errorf("valid for %v", lifetime)
		case len(c.DNSNames)+len(c.IPAddresses) != 0:
			t.Error("it has names")
		}
	}
	if len(serials) != 2 {
		t.Error("two certificates of one serial number")
	}
}

func TestParseAPIKeyErrors(t *testing.T) {
	encode := func(kind byte, n int) string {
		return "kes:v1:" + base64.StdEncoding.EncodeToString(append([]byte{kind}, bytes.Repeat([]byte{0xa5}, n)...))
	}
	var base base64.CorruptInputError
	for what, test := range map[string]struct {
		text string
		is   func(error) bool
	}{
		"empty":         {"", func(err error) bool { return errors.Is(err, kes.ErrAPIKeyLength) }},
		"prefix only":   {"kes:v1:", func(err error) bool { return errors.Is(err, kes.ErrAPIKeyLength) }},
		"31 bytes":      {encode(0, 31), func(err error) bool { return errors.Is(err, kes.ErrAPIKeyLength) }},
		"33 bytes":      {encode(0, 33), func(err error) bool { return errors.Is(err, kes.ErrAPIKeyLength) }},
		"type 1":        {encode(1, 32), func(err error) bool { return errors.Is(err, kes.ErrAPIKeyType) }},
		"bad base64":    {"kes:v1:" + strings.Repeat("!", 44), func(err error) bool { return errors.As(err, &base) }},
		"no padding":    {"kes:v1:" + strings.Repeat("A", 43), func(err error) bool { return errors.As(err, &base) }},
		"other version": {"kes:v2:" + strings.TrimPrefix(vectorKey, "kes:v1:"), func(err error) bool { return errors.As(err, &base) }},
		"huge":          {strings.Repeat("A", 1<<20), func(err error) bool { return errors.Is(err, kes.ErrAPIKeyLength) }},
	} {
		k, err := kes.ParseAPIKey(test.text)
		if err == nil || !test.is(err) || !k.IsZero() {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && len(test.text) > 20 && strings.Contains(err.Error(), test.text[7:20]) {
			t.Errorf("%s: the error quotes the key", what)
		}
	}
	var zero kes.APIKey
	if _, err := zero.Certificate(); err == nil || zero.Identity() != "" {
		t.Error("a zero APIKey has a certificate or an identity")
	}
}

func TestNewAPIKey(t *testing.T) {
	a, b := kes.NewAPIKey(), kes.NewAPIKey()
	parsed, err := kes.ParseAPIKey(a.Text())
	if err != nil || !parsed.Equal(a) || a.Equal(b) || !strings.HasPrefix(a.Text(), "kes:v1:") {
		t.Errorf("%v", err)
	}
}

func cert(name string) string { return filepath.Join("testdata", "certs", name) }

func load(t *testing.T, certName, keyName, password string) *kes.Certificate {
	t.Helper()
	c, err := kes.LoadCertificate(cert(certName), cert(keyName), password)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// opensslIdentities is what OpenSSL and sha256sum say, by name.
func opensslIdentities(t *testing.T) map[string]string {
	text, err := os.ReadFile(cert("identities.txt"))
	if err != nil {
		t.Fatal(err)
	}
	identities := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		name, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		identities[name] = id
	}
	if len(identities) != 3 {
		t.Fatalf("%d identities", len(identities))
	}
	return identities
}

// TestCertificates shows every kind to a server that knows it by the identity
// that OpenSSL computes.
func TestCertificates(t *testing.T) {
	identities := opensslIdentities(t)
	for _, test := range []struct{ cert, key, password, identity string }{
		{"ed25519.crt", "ed25519.key", "", identities["ed25519"]},
		{"ecdsa.crt", "ecdsa.key", "", identities["ecdsa"]},
		{"rsa.crt", "rsa.key", "", identities["rsa"]},
		{"chain.crt", "ed25519.key", "", identities["ed25519"]},
		{"ecdsa.crt", "ecdsa-encrypted.key", "correct-horse", identities["ecdsa"]},
		{"ecdsa.crt", "ecdsa-encrypted-pkcs8.key", "correct-horse", identities["ecdsa"]},
		{"ecdsa.crt", "ecdsa-pkcs8-scrypt.key", "correct-horse", identities["ecdsa"]},
		{"rsa.crt", "rsa-pkcs8-3des.key", "correct-horse", identities["rsa"]},
		{"ed25519.crt", "ed25519-pkcs8-aes128-sha512.key", "correct-horse", identities["ed25519"]},
		{"ecdsa.crt", "ecdsa.key", "a password that is not needed", identities["ecdsa"]},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(test.cert+" "+test.key+" "+tls.VersionName(version), func(t *testing.T) {
				c := load(t, test.cert, test.key, test.password)
				if c.Identity() != test.identity {
					t.Errorf("identity %s, want %s", c.Identity(), test.identity)
				}
				if c.NotAfter().Before(time.Now()) {
					t.Errorf("NotAfter %v", c.NotAfter())
				}
				s := kestest.NewServerWith(kestest.Options{MaxTLS: version})
				defer s.Close()
				s.CreateKey("key-1")
				b := s.BackendOf(c, nil)
				if _, err := b.GenerateKey(t.Context(), "key-1", nil); !errors.Is(err, kms.ErrNotPermitted) {
					t.Fatalf("without a policy: %v", err)
				}
				s.Allow(test.identity, "/v1/key/generate/key-1")
				if _, err := b.GenerateKey(t.Context(), "key-1", nil); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestLoadCertificateErrors(t *testing.T) {
	long := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(long, bytes.Repeat([]byte("\n"), 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		cert, key, password string
		file                string // that the error names
		kind                error  // nil: any
	}{
		"CA:TRUE":              {cert("ca.crt"), cert("ca.key"), "", cert("ca.crt"), kes.ErrCACertificate},
		"two leaves":           {cert("two-leaves.crt"), cert("ed25519.key"), "", cert("two-leaves.crt"), kes.ErrSeveralCertificates},
		"two blocks":           {cert("ecdsa.crt"), cert("two-blocks.key"), "", cert("two-blocks.key"), kes.ErrAdditionalData},
		"PBES1":                {cert("ecdsa.crt"), cert("ecdsa-pkcs8-pbes1.key"), "correct-horse", cert("ecdsa-pkcs8-pbes1.key"), kes.ErrKeyEncryption},
		"Camellia":             {cert("ecdsa.crt"), cert("ecdsa-pkcs8-camellia.key"), "correct-horse", cert("ecdsa-pkcs8-camellia.key"), kes.ErrKeyEncryption},
		"too many iterations":  {cert("ecdsa.crt"), cert("ecdsa-pkcs8-iterations.key"), "correct-horse", cert("ecdsa-pkcs8-iterations.key"), kes.ErrKeyEncryption},
		"PKCS#8, no password":  {cert("ecdsa.crt"), cert("ecdsa-encrypted-pkcs8.key"), "", cert("ecdsa-encrypted-pkcs8.key"), kes.ErrPasswordMissing},
		"PKCS#8, wrong one":    {cert("ecdsa.crt"), cert("ecdsa-encrypted-pkcs8.key"), "battery-staple", cert("ecdsa-encrypted-pkcs8.key"), x509.IncorrectPasswordError},
		"scrypt, wrong one":    {cert("ecdsa.crt"), cert("ecdsa-pkcs8-scrypt.key"), "battery-staple", cert("ecdsa-pkcs8-scrypt.key"), x509.IncorrectPasswordError},
		"no password":          {cert("ecdsa.crt"), cert("ecdsa-encrypted.key"), "", cert("ecdsa-encrypted.key"), kes.ErrPasswordMissing},
		"wrong password":       {cert("ecdsa.crt"), cert("ecdsa-encrypted.key"), "battery-staple", cert("ecdsa-encrypted.key"), x509.IncorrectPasswordError},
		"other key":            {cert("ecdsa.crt"), cert("ed25519.key"), "", cert("ed25519.key"), nil},
		"no certificate file":  {cert("none.crt"), cert("ed25519.key"), "", cert("none.crt"), fs.ErrNotExist},
		"no key file":          {cert("ecdsa.crt"), cert("none.key"), "", cert("none.key"), fs.ErrNotExist},
		"certificate is a key": {cert("ecdsa.key"), cert("ecdsa.key"), "", cert("ecdsa.key"), nil},
		"key is a certificate": {cert("ecdsa.crt"), cert("ecdsa.crt"), "", cert("ecdsa.crt"), nil},
		"empty certificate":    {empty, cert("ecdsa.key"), "", empty, nil},
		"empty key":            {cert("ecdsa.crt"), empty, "", empty, nil},
		"too long":             {long, cert("ecdsa.key"), "", long, nil},
	} {
		c, err := kes.LoadCertificate(test.cert, test.key, test.password)
		var file *kes.FileError
		switch {
		case err == nil || c != nil:
			t.Errorf("%s: loaded", what)
		case !errors.As(err, &file) || file.File != test.file || strings.Count(err.Error(), test.file) != 1:
			t.Errorf("%s: %v does not name %s", what, err, test.file)
		case test.kind != nil && !errors.Is(err, test.kind):
			t.Errorf("%s: %v, want %v", what, err, test.kind)
		case test.password != "" && strings.Contains(err.Error(), test.password):
			t.Errorf("%s: the error holds the password", what)
		}
	}
}

// TestCertificateReload renews a certificate under a running client.
func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key")
	age := 10 * time.Second
	replace := func(path, with string) {
		t.Helper()
		text, err := os.ReadFile(cert(with))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		age -= time.Second // clocks of file systems are coarse
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	identities := opensslIdentities(t)
	replace(certFile, "ecdsa.crt")
	replace(keyFile, "ecdsa.key")
	c, err := kes.LoadCertificate(certFile, keyFile, "")
	if err != nil {
		t.Fatal(err)
	}
	want := func(when, name string) {
		t.Helper()
		pair, err := c.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := c.Certificate(); when == "renewed" && again != pair {
			t.Errorf("%s: files that did not change are read again", when)
		}
		if got := kes.Identity(leaf); got != identities[name] || c.Identity() != got {
			t.Errorf("%s: identity %s, want that of %s", when, got, name)
		}
	}
	want("at first", "ecdsa")
	replace(certFile, "rsa.crt")
	want("half-way", "ecdsa")
	replace(keyFile, "rsa.key")
	want("renewed", "rsa")
	replace(certFile, "ca.crt")
	replace(keyFile, "ca.key")
	want("useless files", "rsa")
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	want("no file", "rsa")
	replace(certFile, "ed25519.crt")
	replace(keyFile, "ed25519.key")
	want("renewed again", "ed25519")
}

// TestCredentialsNeverPrint prints credentials in every way and looks for the
// key and the password.
func TestCredentialsNeverPrint(t *testing.T) {
	k, err := kes.ParseAPIKey("kes:v1:" + base64.StdEncoding.EncodeToString([]byte("\x00SECRET-secret-SECRET-secret-1234")))
	if err != nil {
		t.Fatal(err)
	}
	c := load(t, "ecdsa.crt", "ecdsa-encrypted.key", "correct-horse")
	b, err := kes.New([]string{"https://kes:7373"}, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		creds  kes.Credentials
		hidden *kes.Certificate
		key    kes.APIKey
	}
	for name, v := range map[string]any{"APIKey": k, "*APIKey": &k, "Certificate": c, "holder": holder{k, c, k}, "*holder": &holder{c, c, k}, "Backend": b} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U"} {
			out := fmt.Sprintf(verb, v)
			for _, secret := range []string{
				"SECRET", hex.EncodeToString([]byte("SECRET")), strings.ToUpper(hex.EncodeToString([]byte("SECRET"))), "83 69 67 82", k.Text()[20:30],
				"correct-horse", hex.EncodeToString([]byte("correct")), "99 111 114 114",
			} {
				if strings.Contains(out, secret) {
					t.Errorf("%s of %s shows a secret", verb, name)
				}
			}
		}
	}
	if c.String() != "certificate of identity "+c.Identity() {
		t.Errorf("a Certificate prints as %q", c.String())
	}
}

func TestIdentityIsOfThePublicKey(t *testing.T) {
	c := load(t, "chain.crt", "ed25519.key", "")
	pair, _ := c.Certificate()
	sum := sha256.Sum256(pair.Leaf.RawSubjectPublicKeyInfo)
	if c.Identity() != hex.EncodeToString(sum[:]) || c.Identity() != load(t, "ed25519.crt", "ed25519.key", "").Identity() {
		t.Error("a renewed certificate of the same key has another identity")
	}
}

// FuzzParseAPIKey: no text panics, and what is read is read again from what is
// written.
func FuzzParseAPIKey(f *testing.F) {
	for _, text := range []string{vectorKey, "", "kes:v1:", vectorKey[7:], vectorKey + "\n", vectorKey[:50], "kes:v1:AQ" + vectorKey[9:]} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := kes.ParseAPIKey(text)
		if err != nil {
			if !k.IsZero() {
				t.Error("a key beside an error")
			}
			return
		}
		if again, err := kes.ParseAPIKey(k.Text()); err != nil || !again.Equal(k) || again.Identity() != k.Identity() {
			t.Errorf("Text does not parse to the same key: %v", err)
		}
	})
}
