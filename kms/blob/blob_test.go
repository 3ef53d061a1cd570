package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/blob"
	"github.com/objseal/objseal/kms/kmstest"
	"github.com/objseal/objseal/kms/static"
)

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// golden is an entry of testdata/golden/index.json.
type golden struct {
	File      string             `json:"file"`
	Path      string             `json:"path"`
	Context   kms.AssociatedData `json:"kms_context"`
	KeyID     string             `json:"kms_key_id"`
	SecretKey string             `json:"kms_secret_key"`
	Algorithm blob.Algorithm     `json:"algorithm"`
	Size      int                `json:"size"`
	SHA256    string             `json:"sha256"`

	blob []byte
}

func goldenBlobs(t testing.TB) []golden {
	var index struct{ Blobs []golden }
	readJSON(t, "testdata/golden/index.json", &index)
	for i := range index.Blobs {
		g := &index.Blobs[i]
		var err error
		if g.blob, err = os.ReadFile(filepath.Join("testdata", "golden", g.File)); err != nil {
			t.Fatal(err)
		}
	}
	if len(index.Blobs) == 0 {
		t.Fatal("no blobs")
	}
	return index.Blobs
}

// client returns a client that has the key of g and one more.
func (g golden) client(t testing.TB) *kms.Client {
	t.Helper()
	key, err := static.ParseKey(g.SecretKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := static.NewKey("other")
	if err != nil {
		t.Fatal(err)
	}
	backend, err := static.New([]static.Key{key, other}, "")
	if err != nil {
		t.Fatal(err)
	}
	return kms.NewClient(backend, nil)
}

func TestGolden(t *testing.T) {
	for _, g := range goldenBlobs(t) {
		t.Run(g.File, func(t *testing.T) {
			client := g.client(t)
			if form := blob.Detect(g.blob); form != blob.Sealed {
				t.Errorf("Detect: %v", form)
			}
			if ad := blob.AssociatedData(g.Path); !maps.Equal(ad, g.Context) {
				t.Errorf("AssociatedData: %v, want %v", ad, g.Context)
			}
			h, err := blob.Parse(g.blob)
			if err != nil || h.KeyID != g.KeyID || h.Algorithm != g.Algorithm {
				t.Errorf("Parse: %q %q, %v", h.KeyID, h.Algorithm, err)
			}
			plain, err := blob.Open(t.Context(), client, g.blob, g.Context)
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(plain); len(plain) != g.Size || hex.EncodeToString(sum[:]) != g.SHA256 {
				t.Errorf("%d bytes, not the right ones", len(plain))
			}
			read, form, err := blob.ReadFile(t.Context(), client, g.Path, "", g.blob)
			if err != nil || form != blob.Sealed || !bytes.Equal(read, plain) {
				t.Errorf("ReadFile: %d bytes, %v, %v", len(read), form, err)
			}

			refused := func(what string, b []byte, ad ...kms.AssociatedData) {
				t.Helper()
				if b, err := blob.Open(t.Context(), client, b, ad...); !errors.Is(err, kms.ErrNotAuthentic) || b != nil {
					t.Errorf("%s: %d bytes, %v, want ErrNotAuthentic", what, len(b), err)
				}
			}
			refused("other path", g.blob, blob.AssociatedData("config/other.json"), blob.OldAssociatedData("config/other.json"))
			refused("older associated data", g.blob, blob.OldAssociatedData(g.Path))
			refused("no associated data", g.blob)
			refused("one byte more", append(slices.Clone(g.blob), 0), g.Context)
			refused("cut by one byte", g.blob[:len(g.blob)-1], g.Context)
		})
	}
}

func backendClient() (*kmstest.Backend, *kms.Client) {
	backend := kmstest.NewBackend("key-1", "key-2")
	return backend, kms.NewClient(backend, nil)
}

func TestRoundTrip(t *testing.T) {
	backend, client := backendClient()
	ad := blob.AssociatedData("config/config.json")
	calls := 0
	for _, a := range []blob.Algorithm{"", blob.AES256GCM, blob.ChaCha20Poly1305} {
		for _, n := range []int{0, 1, 16383, 16384, 16385, 32768, 32769, 100000} {
			plain := bytes.Repeat([]byte{'x'}, n)
			b, err := blob.Seal(t.Context(), client, plain, ad, &blob.Options{Algorithm: a, KeyID: "key-2"})
			if err != nil {
				t.Fatal(err)
			}
			h, err := blob.Parse(b)
			if err != nil || h.KeyID != "key-2" || a != "" && h.Algorithm != a {
				t.Errorf("%s, %d bytes: header of key %q and %q, %v", a, n, h.KeyID, h.Algorithm, err)
			}
			if form := blob.Detect(b); form != blob.Sealed {
				t.Errorf("%s, %d bytes: Detect: %v", a, n, form)
			}
			got, err := blob.Open(t.Context(), client, b, ad)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %d bytes: Open: %d bytes, %v", a, n, len(got), err)
			}
			calls++
		}
	}
	if g, d := backend.Calls(kms.OpGenerateKey), backend.Calls(kms.OpDecrypt); g != calls || d != calls {
		t.Errorf("%d blobs: %d data keys generated, %d decrypted", calls, g, d)
	}
	b, err := blob.Seal(t.Context(), client, []byte("text"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if h, err := blob.Parse(b); err != nil || h.KeyID != "key-1" {
		t.Errorf("default key: %q, %v", h.KeyID, err)
	}
	if got, err := blob.Open(t.Context(), client, b); err != nil || string(got) != "text" {
		t.Errorf("no associated data: %d bytes, %v", len(got), err)
	}
}

// TestTamper changes every bit of a blob and cuts it at every byte.
func TestTamper(t *testing.T) {
	_, client := backendClient()
	ad := blob.AssociatedData("config/iam/format.json")
	b, err := blob.Seal(t.Context(), client, bytes.Repeat([]byte("abc"), 200), ad, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := blob.Open(t.Context(), client, b, ad)
	if err != nil {
		t.Fatal(err)
	}
	cases, header := 0, 5+int(binary.LittleEndian.Uint32(b[1:]))
	for i := range b {
		for bit := range 8 {
			c := slices.Clone(b)
			c[i] ^= 1 << bit
			got, err := blob.Open(t.Context(), client, c, ad)
			cases++
			switch {
			case err == nil && i >= header:
				t.Fatalf("byte %d of %d changed, and it opens", i, len(b))
			case err == nil && !bytes.Equal(got, plain): // a name in the header may be spelled otherwise
				t.Fatalf("byte %d of %d changed the plaintext", i, len(b))
			case err != nil && !slices.ContainsFunc([]error{kms.ErrNotAuthentic, kms.ErrUnsupported, kms.ErrKeyNotFound, kms.ErrInvalidKeyID}, func(k error) bool { return errors.Is(err, k) }):
				t.Fatalf("byte %d of %d changed: %v", i, len(b), err)
			case err != nil && got != nil:
				t.Fatalf("byte %d of %d changed: plaintext beside the error", i, len(b))
			}
		}
	}
	for n := range b {
		if got, err := blob.Open(t.Context(), client, b[:n], ad); !errors.Is(err, kms.ErrNotAuthentic) || got != nil {
			t.Fatalf("cut to %d of %d bytes: %d bytes, %v", n, len(b), len(got), err)
		}
		cases++
	}
	t.Logf("%d cases", cases)
}

// TestChunks moves whole chunks, which all are authentic by themselves.
func TestChunks(t *testing.T) {
	key, nonce := make([]byte, 32), make([]byte, 8)
	const size = 16384 + 16
	for _, a := range []blob.Algorithm{blob.AES256GCM, blob.ChaCha20Poly1305} {
		b, err := blob.SealChunks(a, key, nonce, bytes.Repeat([]byte{1}, 3*16384))
		if err != nil {
			t.Fatal(err)
		}
		chunk := func(i int) []byte { return b[i*size : (i+1)*size] }
		one, err := blob.SealChunks(a, key, nonce, []byte{1})
		if err != nil {
			t.Fatal(err)
		}
		empty, err := blob.SealChunks(a, key, nonce, nil)
		if err != nil {
			t.Fatal(err)
		}
		emptyEnd, err := blob.SealEmptyEnd(a, key, nonce, make([]byte, 16384))
		if err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string][]byte{
			"nothing":             nil,
			"sealed an empty end": emptyEnd,
			"first chunk dropped": b[size:],
			"last chunk dropped":  b[:2*size],
			"only the last chunk": chunk(2),
			"swapped":             slices.Concat(chunk(1), chunk(0), chunk(2)),
			"a chunk twice":       slices.Concat(chunk(0), chunk(0), chunk(1), chunk(2)),
			"end within a tag":    b[:2*size+15],
			"end is a tag":        b[:2*size+16],
			"an empty last chunk": slices.Concat(b, empty),
			"other last chunk":    slices.Concat(b[:2*size], one),
			"bytes after the end": append(slices.Clone(b), 1),
		} {
			if got, err := blob.OpenChunks(a, key, nonce, c); !errors.Is(err, kms.ErrNotAuthentic) || got != nil {
				t.Errorf("%s, %s: %d bytes, %v", a, what, len(got), err)
			}
		}
	}
}

type vectors struct {
	Chunks []struct {
		Algorithm  blob.Algorithm
		Key, Nonce []byte
		Size       int
		SealedSize int `json:"sealed_size"`
		SHA256     string
	}
	Passwords []struct {
		Scheme              int
		Password, Plaintext string
		Blob                []byte
	}
}

func TestVectors(t *testing.T) {
	var all vectors
	readJSON(t, "testdata/vectors.json", &all)
	for _, v := range all.Chunks {
		plain := make([]byte, v.Size)
		shake := sha3.NewSHAKE256()
		shake.Write([]byte("plaintext"))
		shake.Read(plain)
		sealed, err := blob.SealChunks(v.Algorithm, v.Key, v.Nonce, plain)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(sealed); len(sealed) != v.SealedSize || hex.EncodeToString(sum[:]) != v.SHA256 {
			t.Errorf("%s, %d bytes: sealed to %d other bytes", v.Algorithm, v.Size, len(sealed))
		}
		if got, err := blob.OpenChunks(v.Algorithm, v.Key, v.Nonce, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s, %d bytes: opened to %d bytes, %v", v.Algorithm, v.Size, len(got), err)
		}
	}
	for _, v := range all.Passwords {
		t.Run(fmt.Sprintf("password scheme %d", v.Scheme), func(t *testing.T) {
			if form := blob.Detect(v.Blob); form != blob.Password {
				t.Errorf("Detect: %v", form)
			}
			got, form, err := blob.ReadFile(t.Context(), nil, "config/config.json", v.Password, v.Blob)
			if err != nil || form != blob.Password || string(got) != v.Plaintext {
				t.Errorf("ReadFile: %d bytes, %v, %v", len(got), form, err)
			}
			if got, _, err := blob.ReadFile(t.Context(), nil, "config/config.json", "", v.Blob); !errors.Is(err, kms.ErrNotConfigured) || got != nil {
				t.Errorf("without a password: %d bytes, %v", len(got), err)
			}
			refused := func(what, password string, b []byte) {
				t.Helper()
				if got, err := blob.OpenPassword(password, b); !errors.Is(err, kms.ErrNotAuthentic) || got != nil {
					t.Errorf("%s: %d bytes, %v", what, len(got), err)
				}
			}
			refused("other password", v.Password+" ", v.Blob)
			changed := []int{0, 31, 32, 33, 40, 41, len(v.Blob) - 1}
			if v.Scheme != 2 {
				changed = changed[:1] // Argon2 takes its time, and the rest is the same code
			}
			for _, i := range changed {
				c := slices.Clone(v.Blob)
				c[i] ^= 0x80
				refused(fmt.Sprintf("byte %d changed", i), v.Password, c)
			}
			for _, n := range []int{0, 32, 41, 56, 57, len(v.Blob) - 1} {
				refused(fmt.Sprintf("cut to %d bytes", n), v.Password, v.Blob[:n])
			}
		})
	}
}

// TestAdminAnswer opens a body of a real server's admin API.
func TestAdminAnswer(t *testing.T) {
	b, err := os.ReadFile("testdata/admin-answer")
	if err != nil {
		t.Fatal(err)
	}
	if form := blob.Detect(b); form != blob.Password {
		t.Errorf("Detect: %v", form)
	}
	const password = "objseal-test-password"
	got, err := blob.OpenPassword(password, b)
	if err != nil || !bytes.HasPrefix(got, []byte("api requests_max=0 cors_allow_origin=https://chacha.example ")) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := blob.OpenPassword("objseal-test:"+password, b); !errors.Is(err, kms.ErrNotAuthentic) {
		t.Errorf("other password: %v", err)
	}
}

// withHeader returns a blob of that header and n bytes of chunks.
func withHeader(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{1}, uint32(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

// TestHostile shows Open what no writer makes. It must not ask the key server.
func TestHostile(t *testing.T) {
	backend, client := backendClient()
	const good = `{"keyid":"key-1","kmskey":"AAAA","algorithm":"AES-256-GCM","nonce":"AAAAAAAAAAA="}`
	replace := func(from, to string) []byte { return withHeader(strings.Replace(good, from, to, 1), 16) }
	for what, c := range map[string]struct {
		b    []byte
		kind error
		form blob.Form
	}{
		"nothing":                  {nil, kms.ErrNotAuthentic, blob.Plain},
		"text":                     {[]byte(`{"version":1}`), kms.ErrNotAuthentic, blob.Plain},
		"version 0":                {[]byte("\x00\x02\x00\x00\x00{}\xff"), kms.ErrNotAuthentic, blob.Unknown},
		"version 2":                {[]byte("\x02\x02\x00\x00\x00{}\xff"), kms.ErrNotAuthentic, blob.Unknown},
		"prefix cut":               {[]byte{1, 0xff, 0, 0}, kms.ErrNotAuthentic, blob.Unknown},
		"header cut":               {withHeader(good, 0)[:50], kms.ErrNotAuthentic, blob.Plain},
		"header of 4 GiB":          {[]byte("\x01\xff\xff\xff\xff{"), kms.ErrNotAuthentic, blob.Sealed},
		"header of more than MiB":  {withHeader("{"+strings.Repeat(" ", 1<<20)+"}", 16), kms.ErrNotAuthentic, blob.Plain},
		"no header":                {withHeader("", 16), kms.ErrNotAuthentic, blob.Plain},
		"header null":              {withHeader("null", 16), kms.ErrNotAuthentic, blob.Plain},
		"header is an array":       {withHeader("[]", 16), kms.ErrNotAuthentic, blob.Plain},
		"header and more":          {withHeader(good+"{}", 16), kms.ErrNotAuthentic, blob.Plain},
		"key id is a number":       {replace(`"key-1"`, "1"), kms.ErrNotAuthentic, blob.Plain},
		"sealed key is not base64": {replace("AAAA", "AA*A"), kms.ErrNotAuthentic, blob.Plain},
		"nonce of 9 bytes":         {replace("AAAAAAAAAAA=", "AAAAAAAAAAAA"), kms.ErrNotAuthentic, blob.Plain},
		"nonce of 12 bytes":        {replace("AAAAAAAAAAA=", "AAAAAAAAAAAAAAAA"), kms.ErrNotAuthentic, blob.Plain},
		"nonce for XChaCha20":      {replace("AES-256-GCM", "XChaCha20-Poly1305"), kms.ErrNotAuthentic, blob.Plain},
		"no nonce":                 {replace("nonce", "once"), kms.ErrNotAuthentic, blob.Plain},
		"no chunks":                {withHeader(good, 0), kms.ErrNotAuthentic, blob.Plain},
		"half a tag":               {withHeader(good, 15), kms.ErrNotAuthentic, blob.Plain},
		"no sealed key":            {replace("AAAA", ""), kms.ErrNotAuthentic, blob.Sealed},
		"huge sealed key":          {replace("AAAA", strings.Repeat("AAAA", 100<<10/4*3)), kms.ErrNotAuthentic, blob.Sealed},
		"hostile key id":           {replace("key-1", `\u0000../key`), kms.ErrInvalidKeyID, blob.Sealed},
		"AES-128-GCM":              {replace("AES-256-GCM", "AES-128-GCM"), kms.ErrUnsupported, blob.Sealed},
		"no algorithm":             {replace("algorithm", "x"), kms.ErrUnsupported, blob.Sealed},
		"unknown algorithm":        {replace("AES-256-GCM", strings.Repeat("A", 900<<10)), kms.ErrUnsupported, blob.Sealed},
	} {
		got, err := blob.Open(t.Context(), client, c.b, nil)
		if !errors.Is(err, c.kind) || got != nil {
			t.Errorf("%s: %d bytes, %v, want %v", what, len(got), err, c.kind)
		}
		if err != nil && len(err.Error()) > 1024 {
			t.Errorf("%s: the error has %d bytes", what, len(err.Error()))
		}
		if form := blob.Detect(c.b); form != c.form {
			t.Errorf("%s: Detect: %v, want %v", what, form, c.form)
		}
	}
	if n := backend.Calls(kms.OpDecrypt); n != 0 {
		t.Errorf("the key server was asked %d times", n)
	}
}

func TestFormatError(t *testing.T) {
	_, err := blob.Parse([]byte{1})
	var format *blob.FormatError
	if !errors.As(err, &format) || format.Problem == "" || !errors.Is(err, kms.ErrNotAuthentic) {
		t.Errorf("Parse: %v", err)
	}
	if _, form, err := blob.ReadFile(t.Context(), nil, "config/config.json", "password", []byte{0xff}); form != blob.Unknown || !errors.As(err, &format) {
		t.Errorf("ReadFile: %v, %v", form, err)
	}
}

func TestTooLarge(t *testing.T) {
	_, client := backendClient()
	if _, err := blob.Seal(t.Context(), client, make([]byte, blob.MaxSize+1), nil, nil); !errors.Is(err, blob.ErrTooLarge) {
		t.Errorf("Seal: %v", err)
	}
	b, err := blob.Seal(t.Context(), client, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, make([]byte, blob.MaxSize/16384*(16384+16))...)
	if _, err := blob.Open(t.Context(), client, b); !errors.Is(err, blob.ErrTooLarge) {
		t.Errorf("Open: %v", err)
	}
}

// TestReadFile covers the order of the two associated data and plain text.
func TestReadFile(t *testing.T) {
	const name, text = "config/iam/users/a b+é/identity.json", `{"version":1}`
	for what, c := range map[string]struct {
		ad       kms.AssociatedData
		decrypts int
	}{
		"current": {kms.AssociatedData{".minio.sys": ".minio.sys/config/iam/users/a b+é/identity.json"}, 1},
		"older":   {kms.AssociatedData{".minio.sys": "config/iam/users/a b+é/identity.json"}, 2},
	} {
		backend, client := backendClient()
		b, err := blob.Seal(t.Context(), client, []byte(text), c.ad, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{name, "config//iam/./users/a b+é/identity.json"} {
			before := backend.Calls(kms.OpDecrypt)
			got, form, err := blob.ReadFile(t.Context(), client, path, "", b)
			if err != nil || form != blob.Sealed || string(got) != text {
				t.Errorf("%s, %s: %d bytes, %v, %v", what, path, len(got), form, err)
			}
			if n := backend.Calls(kms.OpDecrypt) - before; n != c.decrypts {
				t.Errorf("%s, %s: %d decrypts, want %d", what, path, n, c.decrypts)
			}
		}
		if got, _, err := blob.ReadFile(t.Context(), client, "config/iam/users/b/identity.json", "", b); !errors.Is(err, kms.ErrNotAuthentic) || got != nil {
			t.Errorf("%s, of another user: %d bytes, %v", what, len(got), err)
		}
		if _, _, err := blob.ReadFile(t.Context(), nil, name, "", b); !errors.Is(err, kms.ErrNotConfigured) {
			t.Errorf("%s, no client: %v", what, err)
		}
	}
	if got, form, err := blob.ReadFile(t.Context(), nil, name, "", []byte(text)); err != nil || form != blob.Plain || string(got) != text {
		t.Errorf("plain: %d bytes, %v, %v", len(got), form, err)
	}
}

// TestBackendErrors: what the key server says comes through, and ends the
// trying of associated data.
func TestBackendErrors(t *testing.T) {
	backend, client := backendClient()
	b, err := blob.Seal(t.Context(), client, []byte("text"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []error{kms.ErrUnreachable, kms.ErrNotPermitted, kms.ErrKeyNotFound, context.Canceled} {
		backend.Fail(kind)
		before := backend.Calls(kms.OpDecrypt)
		var asked *kms.Error
		if _, err := blob.Open(t.Context(), client, b, nil, nil); !errors.Is(err, kind) || !errors.As(err, &asked) {
			t.Errorf("Open: %v, want %v", err, kind)
		}
		if n := backend.Calls(kms.OpDecrypt) - before; n != 1 {
			t.Errorf("%v: asked %d times", kind, n)
		}
		if _, err := blob.Seal(t.Context(), client, []byte("text"), nil, nil); !errors.Is(err, kind) {
			t.Errorf("Seal: %v, want %v", err, kind)
		}
	}
	backend.Fail(nil)
	for _, a := range []blob.Algorithm{blob.XChaCha20Poly1305, "AES-128-GCM", "none"} {
		before := backend.Calls(kms.OpGenerateKey)
		if _, err := blob.Seal(t.Context(), client, nil, nil, &blob.Options{Algorithm: a}); !errors.Is(err, kms.ErrUnsupported) || backend.Calls(kms.OpGenerateKey) != before {
			t.Errorf("Seal with %s: %v", a, err)
		}
	}
}

func TestForms(t *testing.T) {
	for form, want := range map[blob.Form]string{blob.Plain: "plain", blob.Sealed: "sealed", blob.Password: "password", blob.Unknown: "unknown", 9: "Form(9)"} {
		if form.String() != want {
			t.Errorf("%d: %s", uint8(form), form)
		}
	}
}

// FuzzReadFile: nothing panics, every failure has a kind, and what parses is
// the header that was written.
func FuzzReadFile(f *testing.F) {
	for _, g := range goldenBlobs(f) {
		if len(g.blob) < 1000 {
			f.Add(g.blob)
		}
	}
	var all vectors
	readJSON(f, "testdata/vectors.json", &all)
	for _, v := range all.Passwords[2:] {
		f.Add(v.Blob)
	}
	client := goldenBlobs(f)[0].client(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if blob.Detect(b) == blob.Password && b[32] != 2 {
			return // Argon2 takes too long here
		}
		got, form, err := blob.ReadFile(t.Context(), client, "config/iam/format.json", "password", b)
		switch {
		case err == nil && form == blob.Plain && !bytes.Equal(got, b):
			t.Error("plain text is not returned as it is")
		case err != nil && got != nil:
			t.Error("plaintext beside an error")
		case err != nil && !slices.ContainsFunc([]error{kms.ErrNotAuthentic, kms.ErrUnsupported, kms.ErrKeyNotFound, kms.ErrInvalidKeyID, blob.ErrTooLarge}, func(k error) bool { return errors.Is(err, k) }):
			t.Errorf("an error without a kind: %v", err)
		}
		h, err := blob.Parse(b)
		if err != nil {
			return
		}
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		again, err := blob.Parse(withHeader(string(text), 16))
		if err != nil || again.KeyID != h.KeyID || again.Algorithm != h.Algorithm || !bytes.Equal(again.SealedKey, h.SealedKey) || !bytes.Equal(again.Nonce, h.Nonce) {
			t.Errorf("the header is another one when written again: %v", err)
		}
	})
}
