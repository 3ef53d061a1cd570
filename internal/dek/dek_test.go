package dek_test

import (
	"bytes"
	"crypto/fips140"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/cpu"
	"github.com/objseal/objseal/internal/dek"
)

type vector struct {
	Name, Source               string
	Key, Plaintext, Ciphertext []byte
	Algorithm, Context         string
}

func (v vector) algorithm(t testing.TB) dek.Algorithm {
	alg, ok := dek.ParseAlgorithm(v.Algorithm)
	if !ok {
		t.Fatalf("%s: unknown algorithm %q", v.Name, v.Algorithm)
	}
	return alg
}

func vectors(t testing.TB) (list []vector) {
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &list); err != nil || len(list) == 0 {
		t.Fatalf("%d vectors: %v", len(list), err)
	}
	return list
}

func TestOpenVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			alg := v.algorithm(t)
			dst := []byte("before")
			got, err := dek.Open(dst, v.Key, alg, v.Ciphertext, []byte(v.Context))
			if err != nil || !bytes.Equal(got, append(dst, v.Plaintext...)) {
				t.Fatalf("Open: %d bytes, %v", len(got), err)
			}
			refused := func(what string, key, ciphertext []byte, ad string) {
				t.Helper()
				got, err := dek.Open(dst, key, alg, ciphertext, []byte(ad))
				if !errors.Is(err, dek.ErrNotAuthentic) || !bytes.Equal(got, dst) {
					t.Errorf("%s: %d bytes, %v, want ErrNotAuthentic", what, len(got), err)
				}
			}
			refused("other associated data", v.Key, v.Ciphertext, v.Context+" ")
			refused("other key", bytes.Repeat([]byte{7}, dek.KeySize), v.Ciphertext, v.Context)
			for n := range v.Ciphertext {
				refused(fmt.Sprintf("cut to %d bytes", n), v.Key, v.Ciphertext[:n], v.Context)
			}
		})
	}
}

// TestOpenChangedByte changes every byte of the sealed parts. What is not
// sealed (key id, spelling of the JSON) may change, the plaintext never.
func TestOpenChangedByte(t *testing.T) {
	for _, v := range vectors(t) {
		alg := v.algorithm(t)
		sealed := 76
		switch v.Ciphertext[0] {
		case '{':
			sealed = 0 // text: see FuzzOpen for the property
		case 0x95:
			sealed = 16 + 12 + 48 // all at the end, with 4 bytes of lengths between
		}
		for i := range v.Ciphertext {
			c := slices.Clone(v.Ciphertext)
			c[i] ^= 1
			got, err := dek.Open(nil, v.Key, alg, c, []byte(v.Context))
			if err == nil && i >= len(c)-sealed {
				t.Errorf("%s: byte %d changed, and it opens", v.Name, i)
			}
			if err == nil && !bytes.Equal(got, v.Plaintext) {
				t.Errorf("%s: byte %d changed the plaintext", v.Name, i)
			}
		}
	}
}

func TestSeal(t *testing.T) {
	key := bytes.Repeat([]byte{1}, dek.KeySize)
	ad := []byte("{}")
	for _, alg := range []dek.Algorithm{dek.AES256, dek.ChaCha20} {
		for _, n := range []int{0, 1, 16, 31, 32, 33, 65536} {
			t.Run(fmt.Sprintf("%v/len=%d", alg, n), func(t *testing.T) {
				plaintext := bytes.Repeat([]byte{2}, n)
				dst := []byte("before")
				sealed := dek.Seal(dst, key, alg, plaintext, ad)
				if !bytes.HasPrefix(sealed, dst) || len(sealed) != len(dst)+n+dek.Overhead {
					t.Fatalf("%d bytes", len(sealed))
				}
				got, err := dek.Open(nil, key, alg, sealed[len(dst):], ad)
				if err != nil || !bytes.Equal(got, plaintext) {
					t.Fatalf("Open: %d bytes, %v", len(got), err)
				}
				if bytes.Equal(dek.Seal(dst, key, alg, plaintext, ad), sealed) {
					t.Error("sealed twice to the same bytes")
				}
			})
		}
	}
}

// TestOpenRawLikeStructured opens raw ciphertexts that happen to begin like
// the other forms (KES spec section 5.4).
func TestOpenRawLikeStructured(t *testing.T) {
	key := bytes.Repeat([]byte{1}, dek.KeySize)
	for _, alg := range []dek.Algorithm{dek.AES256, dek.ChaCha20} {
		for _, first := range []byte{0x95, '{'} {
			t.Run(fmt.Sprintf("%v/first=%#x", alg, first), func(t *testing.T) {
				for {
					c := dek.Seal(nil, key, alg, key, nil)
					if c[0] != first {
						continue
					}
					if got, err := dek.Open(nil, key, alg, c, nil); err != nil || !bytes.Equal(got, key) {
						t.Errorf("Open: %d bytes, %v", len(got), err)
					}
					return
				}
			})
		}
	}
}

// TestOpenMalformed shows Open what is nearly a MessagePack ciphertext: it must
// not open, neither as that nor as raw.
func TestOpenMalformed(t *testing.T) {
	var good vector
	for _, v := range vectors(t) {
		if v.Name == "MessagePack AES256" {
			good = v
		}
	}
	// 0x95, 0xa6 "AES256", 0xd9 32 id, 0xc4 16 iv, 0xc4 12 nonce, 0xc4 48 C
	const name, id, iv, nonce, c = 1, 8, 42, 60, 74
	change := func(at int, b ...byte) []byte {
		return slices.Concat(good.Ciphertext[:at], b, good.Ciphertext[at+len(b):])
	}
	for what, ciphertext := range map[string][]byte{
		"four items":                   change(0, 0x94),
		"six items":                    change(0, 0x96),
		"trailing byte":                append(slices.Clone(good.Ciphertext), 0),
		"algorithm unknown":            change(name+1, 'X'),
		"algorithm as binary":          slices.Concat(good.Ciphertext[:name], []byte{0xc4, 6}, good.Ciphertext[name+1:]),
		"id as integer":                slices.Concat(good.Ciphertext[:id], []byte{1}, good.Ciphertext[iv:]),
		"iv of 15 bytes":               slices.Concat(change(iv+1, 15)[:iv+17], good.Ciphertext[nonce:]),
		"nonce of 13 bytes":            slices.Concat(change(nonce+1, 13)[:c], []byte{0}, good.Ciphertext[c:]),
		"length beyond the end":        change(c+1, 49),
		"32-bit length beyond the end": slices.Concat(good.Ciphertext[:c], []byte{0xc6, 0xff, 0xff, 0xff, 0xff}, good.Ciphertext[c+2:]),
		"tag cut off":                  slices.Concat(change(c+1, 15)[:c+2+15]),
		"iv as string":                 slices.Concat(good.Ciphertext[:iv], []byte{0xb0}, good.Ciphertext[iv+2:]),
	} {
		if _, err := dek.Open(nil, good.Key, dek.AES256, ciphertext, []byte(good.Context)); !errors.Is(err, dek.ErrNotAuthentic) {
			t.Errorf("%s: %v, want ErrNotAuthentic", what, err)
		}
	}
	// The longer spellings of the same lengths are the same ciphertext.
	for what, ciphertext := range map[string][]byte{
		"str8":  slices.Concat(good.Ciphertext[:name], []byte{0xd9, 6}, good.Ciphertext[name+1:]),
		"str16": slices.Concat(good.Ciphertext[:name], []byte{0xda, 0, 6}, good.Ciphertext[name+1:]),
		"str32": slices.Concat(good.Ciphertext[:name], []byte{0xdb, 0, 0, 0, 6}, good.Ciphertext[name+1:]),
		"bin16": slices.Concat(good.Ciphertext[:c], []byte{0xc5, 0, 48}, good.Ciphertext[c+2:]),
		"bin32": slices.Concat(good.Ciphertext[:c], []byte{0xc6, 0, 0, 0, 48}, good.Ciphertext[c+2:]),
	} {
		if got, err := dek.Open(nil, good.Key, dek.AES256, ciphertext, []byte(good.Context)); err != nil || !bytes.Equal(got, good.Plaintext) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestOpenKeySize(t *testing.T) {
	v := vectors(t)[0]
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := dek.Open(nil, make([]byte, n), dek.AES256, v.Ciphertext, nil); err == nil || errors.Is(err, dek.ErrNotAuthentic) {
			t.Errorf("key of %d bytes: %v", n, err)
		}
	}
}

func TestDefault(t *testing.T) {
	if cpu.Has(cpu.AES) && dek.Default() != dek.AES256 {
		t.Error("the processor has AES, and it is not the default")
	}
	defer cpu.Disable(cpu.AES)()
	want := dek.ChaCha20
	if fips140.Enabled() {
		want = dek.AES256
	}
	if got := dek.Default(); got != want {
		t.Errorf("without AES the default is %v, want %v", got, want)
	}
}

func TestAlgorithmNames(t *testing.T) {
	for name, want := range map[string]dek.Algorithm{
		"AES256": dek.AES256, "AES256-GCM_SHA256": dek.AES256,
		"ChaCha20": dek.ChaCha20, "XCHACHA20-POLY1305": dek.ChaCha20,
		"": 0, "aes256": 0, "AES-256-GCM": 0, "unknown": 0,
	} {
		if got, ok := dek.ParseAlgorithm(name); got != want || ok != (want != 0) {
			t.Errorf("%q: %v, %v", name, got, ok)
		}
	}
	for alg, want := range map[dek.Algorithm]string{dek.AES256: "AES256", dek.ChaCha20: "ChaCha20", 0: "unknown"} {
		if alg.String() != want {
			t.Errorf("%d: %v, want %s", alg, alg, want)
		}
	}
}

// TestNamedKeyID: an id is told where a ciphertext has one, and for the vectors
// that is the key's, but for two that have another on purpose.
func TestNamedKeyID(t *testing.T) {
	named := 0
	for _, v := range vectors(t) {
		id, ok := dek.NamedKeyID(v.Ciphertext)
		want := strings.Contains(v.Name, "MessagePack") || strings.HasPrefix(v.Name, "JSON") && v.Name != "JSON without id" && v.Name != "JSON AES-256-GCM, old sub-key"
		if ok != want && !strings.HasPrefix(v.Name, "MinIO") {
			t.Errorf("%s: an id is named: %v", v.Name, ok)
		}
		if ok && (id == dek.KeyID(v.Key)) == strings.Contains(v.Name, "wrong key id") {
			t.Errorf("%s: id %s, the key's is %s", v.Name, id, dek.KeyID(v.Key))
		}
		if ok {
			named++
		}
		for n := range v.Ciphertext {
			if _, ok := dek.NamedKeyID(v.Ciphertext[:n]); ok {
				t.Errorf("%s: an id in the first %d bytes", v.Name, n)
			}
		}
	}
	if named < 8 {
		t.Errorf("only %d vectors name an id", named)
	}
	const form = `{"aead":"AES-256-GCM-HMAC-SHA-256","id":%q,"iv":"QEFCQ0RFRkdISUpLTE1OTw==","nonce":"YGFiY2RlZmdoaWpr","bytes":"AAAAAAAAAAAAAAAAAAAAAA=="}`
	for id, want := range map[string]bool{"": false, "x": false, strings.Repeat("0", 30): false, strings.Repeat("0", 34): false, strings.Repeat("g", 32): false, strings.Repeat("0", 32): true} {
		if _, ok := dek.NamedKeyID(fmt.Appendf(nil, form, id)); ok != want {
			t.Errorf("id %q: %v", id, ok)
		}
	}
	if got, want := dek.KeyID([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f")), "630dcd2966c4336691125448bbb25b4f"; got != want {
		t.Errorf("KeyID is %s, want %s (KES spec section 5.6)", got, want)
	}
}

// FuzzOpen: nobody without the key makes a ciphertext that opens to anything
// but what was sealed, in whatever form.
func FuzzOpen(f *testing.F) {
	all := vectors(f)
	for _, v := range all {
		f.Add(v.Ciphertext, v.Context)
	}
	f.Fuzz(func(t *testing.T, ciphertext []byte, context string) {
		for _, v := range all {
			before := slices.Clone(ciphertext)
			dek.NamedKeyID(ciphertext)
			got, err := dek.Open(nil, v.Key, v.algorithm(t), ciphertext, []byte(context))
			if !bytes.Equal(ciphertext, before) {
				t.Fatal("Open changed the ciphertext")
			}
			if err == nil && !slices.ContainsFunc(all, func(v vector) bool { return bytes.Equal(got, v.Plaintext) && context == v.Context }) {
				t.Errorf("opened something never sealed: %s", base64.StdEncoding.EncodeToString(ciphertext))
			}
			if err != nil && !errors.Is(err, dek.ErrNotAuthentic) {
				t.Error(err)
			}
		}
	})
}
