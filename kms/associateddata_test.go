package kms_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/objseal/objseal/kms"
)

// TestCanonicalEscapes is the table of KES spec section 3.1, every character
// it speaks of, as name and as value.
func TestCanonicalEscapes(t *testing.T) {
	escapes := map[string]string{
		`"`: `\"`, `\`: `\\`, "\n": `\n`, "\r": `\r`, "\t": `\t`,
		"<": `\u003c`, ">": `\u003e`, "&": `\u0026`,
		"\u2028": `\u2028`, "\u2029": `\u2029`,
		// Invalid UTF-8: one escape a byte.
		"\xff": `\ufffd`, "\xc3": `\ufffd`, "\xc3(": `\ufffd(`, "\xed\xa0\x80": `\ufffd\ufffd\ufffd`, "\xf4\x90\x80\x80": `\ufffd\ufffd\ufffd\ufffd`, "\xc0\x80": `\ufffd\ufffd`,
		"\ufffd": "\ufffd", // a real one is as it is
		"\u2027": "\u2027", "\u202a": "\u202a", "é": "é", "\U0001f511": "\U0001f511", "\U0010ffff": "\U0010ffff", "\u0080": "\u0080",
	}
	for c := range rune(0x80) {
		s := string(c)
		switch {
		case escapes[s] != "":
		case c < 0x20: // 0x08 and 0x0c as well
			escapes[s] = fmt.Sprintf(`\u%04x`, c)
		default: // 0x7f, / and ' as well
			escapes[s] = s
		}
	}
	for raw, escaped := range escapes {
		for ad, want := range map[string]string{
			string(kms.AssociatedData{raw: "v"}.Canonical()):                   `{"` + escaped + `":"v"}`,
			string(kms.AssociatedData{"k": raw}.Canonical()):                   `{"k":"` + escaped + `"}`,
			string(kms.AssociatedData{"k": "a" + raw + "b" + raw}.Canonical()): `{"k":"a` + escaped + `b` + escaped + `"}`,
		} {
			if ad != want {
				t.Errorf("%q: %s, want %s", raw, ad, want)
			}
		}
	}
}

func TestCanonicalOrder(t *testing.T) {
	for want, ad := range map[string]kms.AssociatedData{
		`{}`:                         nil,
		`{"":""}`:                    {"": ""},
		`{"bucket":"bucket/object"}`: {"bucket": "bucket/object"},
		// By the bytes of the names as they are, not as they are written.
		`{"Z":"1","a\"b\\":"2","bkt":"3","z":"4","é":"5"}`: {"é": "5", "z": "4", "bkt": "3", `a"b\`: "2", "Z": "1"},
		`{"\u003c":"1","=":"2"}`:                           {"=": "2", "<": "1"},
		`{"\n":"1"," ":"2","!":"3"}`:                       {"!": "3", " ": "2", "\n": "1"},
		`{"a":"1","a\u0001":"2","aa":"3"}`:                 {"aa": "3", "a\x01": "2", "a": "1"},
		`{"bkt":"bkt/dir/o\u003c\u0026\u003eé.txt"}`:       {"bkt": "bkt/dir/o<&>é.txt"},
	} {
		if got := string(ad.Canonical()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := string(kms.AssociatedData{}.Canonical()); got != "{}" {
		t.Errorf("empty: %s", got)
	}
}

func TestParseAssociatedData(t *testing.T) {
	for text, want := range map[string]kms.AssociatedData{
		`{}`: {}, ` { } `: {}, `null`: {},
		`{"a":"b"}`:                      {"a": "b"},
		"{\n\"b\" : \"2\", \"a\":\"1\"}": {"a": "1", "b": "2"},
		`{"a":null}`:                     {"a": ""},
		`{"a":"1","a":"2"}`:              {"a": "2"},
		`{"\u0061":"\u003c\/\b"}`:        {"a": "</\b"},
		`{"A":"1","a":"2"}`:              {"A": "1", "a": "2"},
	} {
		got, err := kms.ParseAssociatedData([]byte(text))
		if err != nil || got == nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", " ", "{", `{"a"}`, `{"a":}`, `{"a":1}`, `{"a":true}`, `{"a":{}}`, `{"a":["b"]}`, `[]`, `"a"`, `1`, `{"a":"b"} trailing`, `{"a":"b",}`, `{'a':'b'}`, "{\"a\":\"\n\"}", `{"secret-name":{"secret-value":1}}`,
	} {
		got, err := kms.ParseAssociatedData([]byte(text))
		if err == nil || got != nil {
			t.Errorf("%s: %v", text, got)
		} else if strings.Contains(err.Error(), "secret") || len(err.Error()) > 200 {
			t.Errorf("%s: the error quotes it: %v", text, err)
		}
	}
}

// FuzzParseAssociatedData: what parses has one canonical form, which every
// JSON parser reads as the same pairs.
func FuzzParseAssociatedData(f *testing.F) {
	for _, text := range []string{`{}`, `null`, `{"a":"b","c":null}`, `{"a":"\b\f\u2028\ud800"}`, "{\"\xff\":\"\xff\"}", `{"<&>":"\\\"/"}`, `[`, `{"a":1}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ad, err := kms.ParseAssociatedData(text)
		if err != nil {
			if ad != nil {
				t.Error("pairs beside an error")
			}
			return
		}
		canonical := ad.Canonical()
		if !utf8.Valid(canonical) {
			t.Errorf("not UTF-8: %q", canonical)
		}
		var pairs map[string]string
		if err := json.Unmarshal(canonical, &pairs); err != nil || !maps.Equal(pairs, ad) {
			t.Errorf("%s reads as %v, want %v: %v", canonical, pairs, ad, err)
		}
		again, err := kms.ParseAssociatedData(canonical)
		if err != nil || string(again.Canonical()) != string(canonical) {
			t.Errorf("%s became %s, %v", canonical, again.Canonical(), err)
		}
	})
}
