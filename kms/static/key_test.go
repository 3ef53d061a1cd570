package static_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/keyfile"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/static"
)

// rawKey and encodedKey are one key; parts of either are looked for in what
// must not show it.
var (
	rawKey     = []byte("\xfaSECRET-secret-SECRET-secret-12\x9c")
	encodedKey = base64.StdEncoding.EncodeToString(rawKey)
)

func TestParseKey(t *testing.T) {
	for _, tt := range []struct {
		text string
		name string
		err  error
	}{
		{text: "my-key:" + encodedKey, name: "my-key"},
		{text: ":" + encodedKey, name: ""},
		{text: "schlüssel/α b:" + encodedKey, name: "schlüssel/α b"},
		{text: "k:" + encodedKey + "\n", name: "k"},
		{text: "k:" + encodedKey[:10] + "\r\n" + encodedKey[10:] + "\r\n", name: "k"},

		{text: "", err: static.ErrKeyFormat},
		{text: encodedKey, err: static.ErrKeyFormat},
		{text: "k:", err: static.KeyLengthError(0)},
		{text: "k:" + base64.StdEncoding.EncodeToString(rawKey[:31]), err: static.KeyLengthError(31)},
		{text: "k:" + base64.StdEncoding.EncodeToString(append(rawKey[:32:32], 0)), err: static.KeyLengthError(33)},
		{text: "k:" + strings.TrimRight(encodedKey, "="), err: base64.CorruptInputError(40)},
		{text: "k:" + encodedKey + " ", err: base64.CorruptInputError(44)},
		{text: "k:v1:" + encodedKey, err: base64.CorruptInputError(2)},
		{text: "k:" + encodedKey[:4] + "_" + encodedKey[5:], err: base64.CorruptInputError(4)},
		{text: "# a comment\nk:" + encodedKey, err: kms.ErrInvalidKeyID},
		{text: "k\xff:" + encodedKey, err: kms.ErrInvalidKeyID},
		{text: "k\x7f:" + encodedKey, err: kms.ErrInvalidKeyID},
	} {
		t.Run(fmt.Sprintf("%q", strings.ReplaceAll(tt.text, encodedKey, "KEY")), func(t *testing.T) {
			key, err := static.ParseKey(tt.text)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				noKeyIn(t, err.Error())
				if !key.IsZero() || key.Name != "" {
					t.Error("an error, and a key")
				}
				return
			}
			if key.Name != tt.name || !bytes.Equal(key.Bytes(), rawKey) {
				t.Errorf("another key, of name %q", key.Name)
			}
			if want := tt.name + ":" + encodedKey; key.Text() != want {
				t.Error("Text is not what MinIO takes")
			}
		})
	}
}

// TestParseKeyTexts: MinIO's own words, for those who search for them.
func TestParseKeyTexts(t *testing.T) {
	for text, want := range map[string]string{
		"k":      "kms: invalid secret key format",
		"k:AAAA": "kms: invalid key length 3",
		"k:AAA!": "illegal base64 data at input byte 3",
	} {
		if _, err := static.ParseKey(text); fmt.Sprint(err) != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if !errors.Is(static.KeyLengthError(3), kms.ErrKeySize) {
		t.Error("KeyLengthError is not a kms.ErrKeySize")
	}
}

// exportedKey is the value of a ChaCha20 key in the form of 2023.
const exportedKey = `{"version":"v1","bytes":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","algorithm":"ChaCha20","created_at":"2023-11-14T22:13:20Z","created_by":"admin"}`

// TestParseExportedKey: the values themselves are tested in internal/keyfile.
func TestParseExportedKey(t *testing.T) {
	sealed, err := base64.StdEncoding.DecodeString("cr3KPJWrbOTMDy3LwIc46k/szH+nHovyGvHFowUu+6tdxYKmMBTgZQpgLWSu4GntQEFCQ0RFRkdISUpLTE1OT2BhYmNkZWZnaGlqaw==")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ value, algorithm, createdBy string }{
		"bare":                {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "AES256", ""},
		"from Vault or AWS":   {exportedKey, "ChaCha20", "admin"},
		"the client's output": {`{"data":{"data":{"my-key":` + fmt.Sprintf("%q", exportedKey) + `}}}`, "ChaCha20", "admin"},
		"from Fortanix":       {base64.StdEncoding.EncodeToString([]byte(exportedKey)), "ChaCha20", "admin"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := static.ParseExportedKey("my-key:" + tt.value)
			if err != nil {
				t.Fatal(err)
			}
			b, err := static.New([]static.Key{key}, "")
			if err != nil {
				t.Fatal(err)
			}
			info, err := b.DescribeKey(t.Context(), "")
			if err != nil || info.Name != "my-key" || info.Algorithm != tt.algorithm || info.CreatedBy != tt.createdBy || info.CreatedAt.IsZero() != (tt.createdBy == "") {
				t.Errorf("%+v, %v", info, err)
			}
			// A vector of the KES spec, section 5.6, under that key.
			if _, err := b.Decrypt(t.Context(), "my-key", sealed, kms.AssociatedData{"bucket": "bucket/object"}); err != nil {
				t.Error(err)
			}
			made, err := b.GenerateKey(t.Context(), "my-key", nil)
			if err != nil {
				t.Fatal(err)
			}
			if sealedAsAES(t, made, key) != (tt.algorithm == "AES256") {
				t.Errorf("it does not seal as %s", tt.algorithm)
			}
		})
	}
	for text, want := range map[string]error{
		"no colon":               static.ErrKeyFormat,
		"k:" + encodedKey[:40]:   static.KeyLengthError(30),
		"k:vault:v1:abcd":        keyfile.ErrTransit,
		`k:{"bytes":"AAAA"}`:     keyfile.ErrFormat,
		"k\x00:" + exportedKey:   kms.ErrInvalidKeyID,
		"k:" + encodedKey + "AA": base64.CorruptInputError(44),
	} {
		if _, err := static.ParseExportedKey(text); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		} else {
			noKeyIn(t, err.Error())
		}
	}
	if _, err := static.ParseKey("k:" + exportedKey); err == nil {
		t.Error("ParseKey reads what MinIO does not")
	}
}

// sealedAsAES reports whether what was made is of AES256 (KES spec section 5):
// a server takes the key's algorithm for it and tries no other.
func sealedAsAES(t *testing.T, made kms.GeneratedKey, key static.Key) bool {
	c := made.Ciphertext
	n := len(c) - 16 - 12
	mac := hmac.New(sha256.New, key.Bytes())
	mac.Write(c[n : n+16])
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	_, err = gcm.Open(nil, c[n+16:], c[:n], []byte("{}"))
	return err == nil
}

func TestNewKey(t *testing.T) {
	a, err := static.NewKey("k")
	if err != nil {
		t.Fatal(err)
	}
	b, err := static.NewKey("k")
	if err != nil {
		t.Fatal(err)
	}
	if a.Equal(b.Key) || len(a.Bytes()) != kms.DataKeySize {
		t.Error("not a random key")
	}
	if again, err := static.ParseKey(a.Text()); err != nil || again.Name != "k" || !again.Equal(a.Key) {
		t.Errorf("Text does not parse to the same key: %v", err)
	}
	for _, name := range []string{"", "-k", "a b", "a:b", "../k", "#k", strings.Repeat("k", 81)} {
		if _, err := static.NewKey(name); !errors.Is(err, kms.ErrInvalidKeyID) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestKeyNeverPrints(t *testing.T) {
	key, err := static.ParseKey("k:" + encodedKey)
	if err != nil {
		t.Fatal(err)
	}
	b, err := static.New([]static.Key{key}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{key, &key, []static.Key{key}, b, *b} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			noKeyIn(t, fmt.Sprintf(verb, v))
		}
	}
}

func noKeyIn(t *testing.T, text string) {
	t.Helper()
	for _, part := range []string{string(rawKey[1:8]), encodedKey[4:12], fmt.Sprintf("%x", rawKey[1:8]), strings.Trim(fmt.Sprint(rawKey[1:8]), "[]")} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(part)) {
			t.Fatal("the text shows a part of the key")
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		key, err := static.ParseKey(text)
		if err != nil {
			return
		}
		again, err := static.ParseKey(key.Text())
		if err != nil || again.Name != key.Name || !again.Equal(key.Key) {
			t.Errorf("Text does not parse to the same key: %v", err)
		}
		b, err := static.New([]static.Key{key}, "")
		if err != nil {
			t.Fatal(err)
		}
		made, err := b.GenerateKey(t.Context(), key.Name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := b.Decrypt(t.Context(), made.KeyID, made.Ciphertext, nil); err != nil || !opened.Equal(made.Key) {
			t.Errorf("the key does not open what it sealed: %v", err)
		}
	})
}
