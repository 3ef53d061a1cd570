package kes_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
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

// TestCostlyScrypt: parameters that ask for gigabytes are refused before any is
// taken, whichever of them it is.
func TestCostlyScrypt(t *testing.T) {
	const lane = 256 << 20 / 128
	for name, p := range map[string]struct{ N, R, P int }{
		"many rounds":   {lane, 8, 1},
		"large blocks":  {2, lane, 1},
		"many lanes":    {2, 8, 17},
		"wide lanes":    {2, lane / 2, 16},
		"a wide lane":   {2, 1 << 30, 1},
		"all of it":     {1 << 30, 1 << 30, 1 << 30},
		"just too much": {2, lane / 8, 9},
	} {
		if _, err := kes.DecryptPKCS8(scryptKey(t, p.N, p.R, p.P), []byte("password")); !errors.Is(err, kes.ErrKeyEncryption) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// scryptKey returns what an encrypted PKCS#8 key looks like, without a key.
func scryptKey(t *testing.T, n, r, p int) []byte {
	encode := func(v any) asn1.RawValue {
		der, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: der}
	}
	cbc := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, Parameters: encode(make([]byte, 16))}
	kdf := pkix.AlgorithmIdentifier{
		Algorithm: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11},
		Parameters: encode(struct {
			Salt    []byte
			N, R, P int
		}{make([]byte, 8), n, r, p}),
	}
	pbes2 := pkix.AlgorithmIdentifier{
		Algorithm:  asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13},
		Parameters: encode(struct{ KDF, Cipher pkix.AlgorithmIdentifier }{kdf, cbc}),
	}
	return encode(struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}{pbes2, make([]byte, 64)}).FullBytes
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
