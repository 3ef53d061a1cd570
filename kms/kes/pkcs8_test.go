package kes_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/objseal/objseal/kms/kes"
)

// sealedKeys are the encrypted PKCS#8 keys of testdata/certs, by file.
func sealedKeys(t testing.TB) map[string][]byte {
	files, err := filepath.Glob(cert("*.key"))
	if err != nil {
		t.Fatal(err)
	}
	keys := make(map[string][]byte)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if block, _ := pem.Decode(text); block != nil && block.Type == "ENCRYPTED PRIVATE KEY" {
			keys[filepath.Base(file)] = block.Bytes
		}
	}
	if len(keys) != 7 {
		t.Fatalf("%d encrypted keys", len(keys))
	}
	return keys
}

// TestDamagedPKCS8: every byte of the head changed, every length. Nothing panics, and no
// key comes out that is another.
func TestDamagedPKCS8(t *testing.T) {
	for name, der := range sealedKeys(t) {
		whole, err := kes.DecryptPKCS8(der, []byte("correct-horse"))
		if err != nil && !errors.Is(err, kes.ErrKeyEncryption) {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range der {
			if _, err := kes.DecryptPKCS8(der[:i], []byte("correct-horse")); err == nil {
				t.Errorf("%s cut to %d bytes opens", name, i)
			}
			if i > 130 || name == "rsa-pkcs8-3des.key" {
				continue // what is sealed looks all the same, and takes long
			}
			damaged := bytes.Clone(der)
			damaged[i] ^= 1
			got, err := kes.DecryptPKCS8(damaged, []byte("correct-horse"))
			if err == nil && whole == nil {
				t.Errorf("%s: with byte %d changed it opens", name, i)
			}
			if err == nil && len(got) != len(whole) {
				t.Errorf("%s: with byte %d changed it has another length", name, i)
			}
		}
	}
}

// FuzzDecryptPKCS8: no panic, and what opens is a key.
func FuzzDecryptPKCS8(f *testing.F) {
	for _, der := range sealedKeys(f) {
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := kes.DecryptPKCS8(der, []byte("correct-horse"))
		if err != nil {
			return
		}
		if _, err := x509.ParsePKCS8PrivateKey(key); err != nil {
			t.Error("what opened is no key")
		}
	})
}
