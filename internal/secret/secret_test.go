package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/secret"
)

type role struct{ secret.Key }

type holder struct {
	Name   string
	Public role
	hidden role
	inner  *role
}

// TestKeyNeverPrints prints a key through everything that prints, alone and
// inside structs, and looks for its bytes in every usual spelling.
func TestKeyNeverPrints(t *testing.T) {
	raw := []byte("\xfaSECRET-secret-SECRET-secret-12\x9c")
	k, err := secret.New(raw)
	if err != nil {
		t.Fatal(err)
	}
	h := holder{"n", role{k}, role{k}, &role{k}}
	values := map[string]any{
		"Key": k, "*Key": &k, "role": role{k}, "*role": &role{k}, "holder": h, "*holder": &h,
		"slice": []role{{k}}, "map": map[string]role{"k": {k}}, "any": []any{k, role{k}, h},
	}
	var spellings []string
	for _, part := range [][]byte{raw, raw[4:12]} {
		spellings = append(spellings, string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)),
			base64.StdEncoding.EncodeToString(part), base64.URLEncoding.EncodeToString(part),
			strings.Trim(fmt.Sprint([]byte(part)), "[]"), strings.Trim(fmt.Sprintf("%#v", part), "[]byte{}"), fmt.Sprintf("% x", part), strings.Trim(fmt.Sprintf("%q", part), `"`))
	}
	look := func(t *testing.T, how, out string) {
		for _, s := range spellings {
			if strings.Contains(out, s) {
				t.Errorf("%s shows key bytes", how)
			}
		}
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%T", "%t", "%e", "%p"} {
			look(t, name+" "+verb, fmt.Sprintf(verb, v))
		}
		look(t, name+" error", fmt.Errorf("failed: %v", v).Error())
		for _, h := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(h(&b)).Info("m", "k", v)
			look(t, name+" slog", b.String())
		}
		j, _ := json.Marshal(v)
		look(t, name+" json", string(j))
		x, _ := xml.Marshal(v)
		look(t, name+" xml", string(x))
		var g bytes.Buffer
		gob.NewEncoder(&g).Encode(v)
		look(t, name+" gob", g.String())
	}
}

func TestKeyEqual(t *testing.T) {
	a, b := secret.Random(), secret.Random()
	switch {
	case !a.Equal(a), !a.Equal(a.Clone()):
		t.Error("a key does not equal itself")
	case a.Equal(b), a.Equal(secret.Key{}), (secret.Key{}).Equal(secret.Key{}):
		t.Error("different keys, or no keys, are equal")
	}
}

func TestKeyWipe(t *testing.T) {
	k := secret.Random()
	copied, cloned := k, k.Clone()
	k.Wipe()
	if !bytes.Equal(copied.Bytes(), make([]byte, secret.Size)) {
		t.Error("a copy survived Wipe")
	}
	if bytes.Equal(cloned.Bytes(), make([]byte, secret.Size)) {
		t.Error("a clone did not survive Wipe")
	}
}

func TestNewCopies(t *testing.T) {
	b := make([]byte, secret.Size)
	k, _ := secret.New(b)
	b[0] = 1
	if k.Bytes()[0] != 0 {
		t.Error("New keeps the caller's memory")
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := secret.New(make([]byte, n)); err != secret.ErrSize {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
