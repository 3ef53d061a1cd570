package static_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

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
