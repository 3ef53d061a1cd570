// Package vectors tests the kernels of package aead with vectors that others
// publish as Go modules:
//
//   - Wycheproof (github.com/c2sp/wycheproof, Apache-2.0): corner cases and
//     attacks, for both ciphers;
//   - NIST: ACVP-AES-GCM of the demo server of NIST's validation program, with
//     the answers that it accepted (github.com/geomys/acvp-testdata, under the
//     licence of NIST's ACVP-Server). Go's own module is tested with it.
//
// It is a module of its own as the first is larger than all else here.
package vectors_test

import (
	"compress/bzip2"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/aead/aeadtest"
)

// data is binary data in hexadecimal.
type data []byte

func (b *data) UnmarshalText(s []byte) (err error) {
	*b, err = hex.DecodeString(string(s))
	return err
}

func decode(t *testing.T, r io.Reader, v any) {
	t.Helper()
	if err := json.NewDecoder(r).Decode(v); err != nil {
		t.Fatal(err)
	}
}

// test sends vectors through every kernel of their cipher, and wants at least
// that many.
func test(t *testing.T, atLeast int, vectors map[aead.Cipher][]aeadtest.Vector) {
	for c, v := range vectors {
		if len(v) < atLeast {
			t.Errorf("%v: %d vectors, want %d at least", c, len(v), atLeast)
		}
	}
	aeadtest.Kernels(t, func(t *testing.T, c aead.Cipher, k aead.Kernel) int {
		if len(vectors[c]) == 0 {
			t.Skip("these vectors are of another cipher")
		}
		valid := 0
		for _, v := range vectors[c] {
			v.Test(t, aeadtest.Kernel(c, k))
			if v.Valid {
				valid++
			}
		}
		t.Logf("%d vectors, %d of them valid", len(vectors[c]), valid)
		return len(vectors[c])
	})
}

func TestWycheproof(t *testing.T) {
	vectors := map[aead.Cipher][]aeadtest.Vector{}
	for c, name := range map[aead.Cipher]string{
		aead.AES256GCM:        "aes_gcm_test.json",
		aead.ChaCha20Poly1305: "chacha20_poly1305_test.json",
	} {
		file, err := wycheproof.TestVectors.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var content struct {
			TestGroups []struct {
				IVSize, KeySize, TagSize int
				Tests                    []struct {
					TCID                       int `json:"tcId"`
					Comment, Result            string
					Key, IV, AAD, Msg, CT, Tag data
				}
			}
		}
		decode(t, file, &content)
		for _, g := range content.TestGroups {
			if g.KeySize != 8*aead.KeySize || g.IVSize != 8*aead.NonceSize || g.TagSize != 8*aead.TagSize {
				continue
			}
			for _, v := range g.Tests {
				if v.Result != "valid" && v.Result != "invalid" {
					t.Fatalf("%s, %d: result %q", name, v.TCID, v.Result)
				}
				vectors[c] = append(vectors[c], aeadtest.Vector{
					Name: fmt.Sprintf("%s, %d (%s)", name, v.TCID, v.Comment),
					Key:  v.Key, Nonce: v.IV, Plaintext: v.Msg, Associated: v.AAD,
					Ciphertext: v.CT, Tag: v.Tag, Valid: v.Result == "valid",
				})
			}
		}
	}
	test(t, 60, vectors)
}

// TestNIST has the vectors with 256-bit keys, all with 96-bit nonces. Most have
// a truncated tag, which is what ours begins with. Those for opening come
// without the plaintext, which is in the answers, or with an answer that there
// is none.
func TestNIST(t *testing.T) {
	type vector struct {
		TCID                      int `json:"tcId"`
		Key, IV, AAD, PT, CT, Tag data
		TestPassed                *bool
	}
	type set struct {
		TestGroups []struct {
			Direction             string
			KeyLen, IVLen, TagLen int
			Tests                 []vector
		}
	}
	read := func(kind string) (s set) {
		file, err := os.Open(filepath.Join(moduleDir(t, "github.com/geomys/acvp-testdata"), kind, "ACVP-AES-GCM.bz2"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var both []json.RawMessage // the session, then the set
		decode(t, bzip2.NewReader(file), &both)
		if err := json.Unmarshal(both[len(both)-1], &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	answers := map[int]vector{}
	for _, g := range read("expected").TestGroups {
		for _, v := range g.Tests {
			answers[v.TCID] = v
		}
	}
	var vectors []aeadtest.Vector
	for _, g := range read("vectors").TestGroups {
		if g.KeyLen != 8*aead.KeySize || g.IVLen != 8*aead.NonceSize {
			continue
		}
		for _, v := range g.Tests {
			answer, ok := answers[v.TCID]
			if !ok {
				t.Fatalf("no answer for %d", v.TCID)
			}
			valid := answer.TestPassed == nil || *answer.TestPassed
			if g.Direction == "encrypt" {
				v.CT, v.Tag = answer.CT, answer.Tag
			} else {
				v.PT = answer.PT
			}
			if len(v.Tag) != g.TagLen/8 {
				t.Fatalf("%d: tag of %d bytes, want %d", v.TCID, len(v.Tag), g.TagLen/8)
			}
			vectors = append(vectors, aeadtest.Vector{
				Name: fmt.Sprintf("ACVP-AES-GCM, %d (%s, tag of %d bits)", v.TCID, g.Direction, g.TagLen),
				Key:  v.Key, Nonce: v.IV, Plaintext: v.PT, Associated: v.AAD,
				Ciphertext: v.CT, Tag: v.Tag, Valid: valid,
			})
		}
	}
	test(t, 12, map[aead.Cipher][]aeadtest.Vector{aead.AES256GCM: vectors})
}

// moduleDir returns where the files of a module are: this one has no package
// that would embed them.
func moduleDir(t *testing.T, path string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var module struct{ Dir string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil {
		t.Fatalf("go mod download %s: %v\n%s", path, err, stderr.String())
	}
	return module.Dir
}
