package keyfile_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/keyfile"
	"github.com/objseal/objseal/internal/secret"
)

type vector struct {
	Name, Value, Algorithm string
	Key, HMAC              []byte
	CreatedAt              time.Time `json:"created_at"`
	CreatedBy              string    `json:"created_by"`
}

func vectors(t testing.TB) (list []vector) {
	text, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil || len(list) == 0 {
		t.Fatalf("%d vectors: %v", len(list), err)
	}
	return list
}

func (v vector) check(t *testing.T, k keyfile.Key) {
	t.Helper()
	if !bytes.Equal(k.Secret.Bytes(), v.Key) || !bytes.Equal(k.HMAC.Bytes(), v.HMAC) {
		t.Error("another key")
	}
	if k.Algorithm.String() != v.Algorithm || !k.CreatedAt.Equal(v.CreatedAt) || k.CreatedBy != v.CreatedBy {
		t.Errorf("%s, created at %s by %q", k.Algorithm, k.CreatedAt, k.CreatedBy)
	}
}

func TestParse(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			k, err := keyfile.Parse([]byte(v.Value))
			if err != nil {
				t.Fatal(err)
			}
			v.check(t, k)

			// Written again it is a V4, the same one if it was one.
			if v.HMAC == nil {
				if b, err := k.Append([]byte("x")); err == nil || string(b) != "x" {
					t.Error("a key without an HMAC key was written")
				}
				k.HMAC = secret.Random()
				v.HMAC = k.HMAC.Bytes()
			}
			b, err := k.Append([]byte("before "))
			if err != nil {
				t.Fatal(err)
			}
			text, ok := strings.CutPrefix(string(b), "before ")
			if strings.HasPrefix(v.Name, "V4, since") && text != v.Value || !ok {
				t.Error("not written byte for byte as KES does")
			}
			if k, err = keyfile.Parse([]byte(text)); err != nil {
				t.Fatal(err)
			}
			v.check(t, k)
			k.Wipe()
			if !bytes.Equal(k.Secret.Bytes(), make([]byte, 32)) || !bytes.Equal(k.HMAC.Bytes(), make([]byte, 32)) {
				t.Error("not wiped")
			}
		})
	}
}

// golden is the key stores of real servers.
const golden = "../../testdata/golden/keys"

func TestRead(t *testing.T) {
	for _, dir := range []string{"B", "C", "G", "H"} {
		root, err := os.OpenRoot(filepath.Join(golden, dir))
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		entries, err := fs.ReadDir(root.FS(), ".")
		if err != nil || len(entries) < 2 {
			t.Fatalf("%d files: %v", len(entries), err)
		}
		for _, e := range entries {
			k, err := keyfile.Read(root, e.Name())
			if err != nil {
				t.Errorf("%s/%s: %v", dir, e.Name(), err)
				continue
			}
			value, err := root.ReadFile(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			want := dek.AES256
			if strings.Contains(e.Name(), "chacha") {
				want = dek.ChaCha20
			}
			if k.Algorithm != want || k.CreatedAt.IsZero() || len(k.CreatedBy) != 64 {
				t.Errorf("%s/%s: %s, created at %s by %q", dir, e.Name(), k.Algorithm, k.CreatedAt, k.CreatedBy)
			}
			if value[0] == '{' {
				if !k.HMAC.IsZero() {
					t.Errorf("%s/%s: an HMAC key in JSON", dir, e.Name())
				}
			} else if again, err := k.Append(nil); err != nil || !bytes.Equal(again, value) {
				t.Errorf("%s/%s is not written as the server wrote it: %v", dir, e.Name(), err)
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	value := []byte(vectors(t)[0].Value)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(store, "folder"), 0o700),
		os.WriteFile(filepath.Join(dir, "outside"), value, 0o600),
		os.WriteFile(filepath.Join(store, "key"), value, 0o600),
		os.WriteFile(filepath.Join(store, "empty"), nil, 0o600),
		os.WriteFile(filepath.Join(store, "largest"), append(value, bytes.Repeat([]byte("\n"), keyfile.MaxSize-len(value))...), 0o600),
		os.WriteFile(filepath.Join(store, "large"), append(value, bytes.Repeat([]byte("\n"), keyfile.MaxSize+1-len(value))...), 0o600),
		os.Symlink("key", filepath.Join(store, "inside-link")),
		os.Symlink("loop", filepath.Join(store, "loop")),
		os.Symlink("none", filepath.Join(store, "dangling")),
		os.Symlink("../outside", filepath.Join(store, "outside-link")),
		os.Symlink(filepath.Join(dir, "outside"), filepath.Join(store, "absolute-link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(store)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	errAny := errors.New("any")
	for name, want := range map[string]error{
		"key": nil, "inside-link": nil, "largest": nil,
		"empty": keyfile.ErrFormat, "large": keyfile.ErrFormat, "folder": keyfile.ErrFormat, ".": keyfile.ErrFormat,
		"missing":    fs.ErrNotExist,
		"../outside": errAny, "outside-link": keyfile.ErrFormat, "absolute-link": keyfile.ErrFormat, "loop": keyfile.ErrFormat, "dangling": fs.ErrNotExist,
	} {
		_, err := keyfile.Read(root, name)
		switch {
		case want == nil && err != nil, want != nil && err == nil, want != errAny && !errors.Is(err, want):
			t.Errorf("%s: %v, want %v", name, err, want)
		case err != nil && strings.Contains(err.Error(), dir):
			t.Errorf("%s: the error names the path: %v", name, err)
		}
	}
}

func encode(parts ...string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Join(parts, "")))
}

func TestParseRefuses(t *testing.T) {
	const key = "0123456789ABCDEF0123456789abcdef"
	secretField := "\x0a\x24\x0a\x20" + key + "\x10\x01"
	hmacField := "\x12\x24\x0a\x20" + key + "\x10\x01"
	for name, value := range map[string]string{
		"empty":                   "",
		"a word":                  "key",
		"JSON number":             "1234",
		"JSON null":               "null",
		"JSON array":              "[]",
		"no bytes":                "{}",
		"empty bytes":             `{"bytes":""}`,
		"31 bytes":                `{"bytes":"` + encode(key[1:]) + `"}`,
		"33 bytes":                `{"bytes":"` + encode(key, "x") + `"}`,
		"bytes are no base64":     `{"bytes":"` + key + `!"}`,
		"unknown algorithm":       `{"bytes":"` + encode(key) + `","algorithm":"` + key + `"}`,
		"time is none":            `{"bytes":"` + encode(key) + `","created_at":"` + key + `"}`,
		"year 0":                  `{"bytes":"` + encode(key) + `","created_at":"0000-01-01T00:00:00Z"}`,
		"data after JSON":         `{"bytes":"` + encode(key) + `"}{}`,
		"bare key":                encode(key),
		"protobuf without base64": secretField + hmacField,
		"URL-safe base64":         strings.ReplaceAll(encode(secretField, "\x22\x03???"), "/", "_"),

		"no secret":                encode(hmacField),
		"no type":                  encode("\x0a\x22\x0a\x20", key),
		"type 0":                   encode("\x0a\x24\x0a\x20", key, "\x10\x00"),
		"type 3":                   encode("\x0a\x24\x0a\x20", key, "\x10\x03"),
		"type 257":                 encode("\x0a\x25\x0a\x20", key, "\x10\x81\x02"),
		"16 bytes":                 encode("\x0a\x14\x0a\x10", key[:16], "\x10\x01"),
		"HMAC key of 31 bytes":     encode(secretField, "\x12\x23\x0a\x1f", key[1:], "\x10\x01"),
		"empty HMAC key":           encode(secretField, "\x12\x00"),
		"hash 2":                   encode(secretField, "\x12\x24\x0a\x20", key, "\x10\x02"),
		"creator is not UTF-8":     encode(secretField, "\x22\x01\xff"),
		"nanoseconds of a second":  encode(secretField, "\x1a\x06\x10\x80\x94\xeb\xdc\x03"),
		"negative nanoseconds":     encode(secretField, "\x1a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		"year 10000":               encode(secretField, "\x1a\x07\x08\x80\x83\xd1\xff\xaf\x07"),
		"field 0":                  encode(secretField, "\x00\x00"),
		"a group":                  encode(secretField, "\x2b\x2c"),
		"length runs over the end": encode("\x0a\x25\x0a\x20", key, "\x10\x01"),
		"length of 2^63":           encode("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
		"endless varint":           encode(secretField, "\x28", strings.Repeat("\xff", 20)),
		"tag without a value":      encode(secretField, "\x28"),
		"cut number":               encode(secretField, "\x29\x00\x00\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			k, err := keyfile.Parse([]byte(value))
			if !errors.Is(err, keyfile.ErrFormat) {
				t.Fatalf("%v, want ErrFormat", err)
			}
			if !k.Secret.IsZero() || !k.HMAC.IsZero() {
				t.Error("an error, and a key")
			}
			for _, part := range []string{"CDEF", "cdef", encode(key)[4:12], key[:4]} {
				if strings.Contains(err.Error(), part) {
					t.Fatal("the error shows a part of the key")
				}
			}
		})
	}

	// What a later generation may add is skipped, what is there twice merged.
	k, err := keyfile.Parse([]byte(encode("\x28\x96\x01", secretField, "\x32\x01x", "\x39........", "\x3d....", "\x0a\x02\x10\x02")))
	if err != nil || k.Algorithm != dek.ChaCha20 || string(k.Secret.Bytes()) != key {
		t.Errorf("unknown fields: %v", err)
	}
}

func TestAppendRefuses(t *testing.T) {
	whole := keyfile.Key{Secret: secret.Random(), HMAC: secret.Random(), Algorithm: dek.AES256}
	if b, err := whole.Append(nil); err != nil {
		t.Fatal(err)
	} else if k, err := keyfile.Parse(b); err != nil || !k.CreatedAt.IsZero() || k.CreatedBy != "" {
		t.Errorf("a key of unknown origin: %v", err)
	}
	for name, spoil := range map[string]func(*keyfile.Key){
		"no key":               func(k *keyfile.Key) { k.Secret = secret.Key{} },
		"no HMAC key":          func(k *keyfile.Key) { k.HMAC = secret.Key{} },
		"no algorithm":         func(k *keyfile.Key) { k.Algorithm = 0 },
		"creator is not UTF-8": func(k *keyfile.Key) { k.CreatedBy = "\xff" },
	} {
		k := whole
		spoil(&k)
		if b, err := k.Append(nil); err == nil || b != nil {
			t.Errorf("%s: written", name)
		}
	}
}

// TestParseExport wraps every value as the key stores of KES spec section 6.3
// and their clients do.
func TestParseExport(t *testing.T) {
	quote := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, v := range vectors(t) {
		for name, text := range map[string]string{
			"as it is":          v.Value,
			"quoted":            quote(v.Value),
			"base64":            encode(v.Value),
			"Vault":             `{"my-key":` + quote(v.Value) + `}`,
			"Vault, v1":         `{"request_id":"x","lease_duration":0,"data":{"my-key":` + quote(v.Value) + `},"warnings":null}`,
			"Vault, v2":         `{"request_id":"x","data":{"data":{"my-key":` + quote(v.Value) + `},"metadata":{"version":1}}}`,
			"AWS":               `{"Name":"my-key","VersionId":"x","SecretString":` + quote(v.Value) + `}`,
			"AWS, binary":       `{"Name":"my-key","SecretString":null,"SecretBinary":"` + encode(v.Value) + `"}`,
			"Azure":             `{"id":"https://x/secrets/my-key/1","value":` + quote(v.Value) + `}`,
			"GCP":               `{"name":"projects/x/secrets/my-key/versions/1","payload":{"data":"` + encode(v.Value) + `","dataCrc32c":"1"}}`,
			"KeySecure":         `{"name":"my-key","dataType":"seed","material":` + quote(v.Value) + `}`,
			"Fortanix":          `{"name":"my-key","obj_type":"OPAQUE","value":"` + encode(v.Value) + `"}`,
			"Entrust":           `{"secret_data":"` + encode(v.Value) + `"}` + "\n",
			"white space of it": " \n" + v.Value + "\t\r\n",
		} {
			t.Run(v.Name+", "+name, func(t *testing.T) {
				before := text
				k, err := keyfile.ParseExport([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				v.check(t, k)
				if text != before {
					t.Error("the input was changed")
				}
			})
		}
	}
	bare := vector{Algorithm: "AES256", Key: bytes.Repeat([]byte{7}, 32)}
	for _, text := range []string{encode(string(bare.Key)), encode(string(bare.Key)) + "\n", `{"my-key":"` + encode(string(bare.Key)) + `"}`} {
		k, err := keyfile.ParseExport([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		bare.check(t, k)
	}
}

func TestParseExportRefuses(t *testing.T) {
	v1 := vectors(t)[0].Value
	deep := v1
	for range 6 {
		deep = encode(deep)
	}
	for name, text := range map[string]string{
		"empty":                  "",
		"31 bytes":               encode(strings.Repeat("x", 31)),
		"33 bytes":               encode(strings.Repeat("x", 33)),
		"empty object":           "{}",
		"half an object":         `{"data":`,
		"several members":        `{"a":` + v1 + `,"b":` + v1 + `}`,
		"member is a number":     `{"value":1}`,
		"member is null":         `{"a":null}`,
		"bad string":             `"` + v1,
		"seven layers of base64": encode(deep),
		"many objects":           strings.Repeat(`{"data":`, 9) + v1 + strings.Repeat("}", 9),
		"too large":              strings.Repeat(" ", keyfile.MaxSize) + v1,
	} {
		if k, err := keyfile.ParseExport([]byte(text)); !errors.Is(err, keyfile.ErrFormat) || !k.Secret.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"vault:v1:abcd", `{"data":{"my-key":"vault:v2:abcd"}}`} {
		if _, err := keyfile.ParseExport([]byte(text)); !errors.Is(err, keyfile.ErrTransit) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestKeyNeverPrints(t *testing.T) {
	k, err := keyfile.Parse([]byte(vectors(t)[8].Value))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{k, &k, []keyfile.Key{k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text := strings.ToLower(fmt.Sprintf(verb, v))
			for _, part := range []string{"0a0b0c0d", "10 11 12 13", "0xa, 0xb, 0xc", "cgsmdq"} {
				if strings.Contains(text, part) {
					t.Fatalf("%s shows a part of the key", verb)
				}
			}
		}
	}
}

// FuzzParse: what parses is written so that it parses to the same key.
func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.Value))
		f.Add([]byte(`{"SecretString":` + fmt.Sprintf("%q", v.Value) + `}`))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		before := slices.Clone(value)
		k, err := keyfile.Parse(value)
		if exported, errExport := keyfile.ParseExport(value); err == nil && errExport != nil {
			t.Fatalf("ParseExport: %v", errExport)
		} else if err == nil && !exported.Secret.Equal(k.Secret) {
			t.Fatal("ParseExport gives another key")
		}
		if !bytes.Equal(value, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if !errors.Is(err, keyfile.ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		if k.HMAC.IsZero() {
			k.HMAC = secret.Random()
		}
		b, err := k.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := keyfile.Parse(b)
		if err != nil || !again.Secret.Equal(k.Secret) || !again.HMAC.Equal(k.HMAC) || again.Algorithm != k.Algorithm ||
			!again.CreatedAt.Equal(k.CreatedAt) || again.CreatedBy != k.CreatedBy {
			t.Fatalf("written and read again it is another: %v", err)
		}
	})
}
