package recovery

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/objseal/objseal/sse"
)

func keyText(n byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, 32))
}

// TestMostExactLineWins: keys are numbered, 0 is none.
func TestMostExactLineWins(t *testing.T) {
	lines := ""
	for i, where := range []string{
		`"prefix":""`,
		`"prefix":"logs/"`,
		`"prefix":"logs/2020"`,
		`"object":"logs/2020"`,
		`"object":"logs/2020","version_id":"v1"`,
		`"prefix":"logs/2020","version_id":"v2"`,
		`"prefix":"","version_id":"v3"`,
		`"object":"x","version_id":"null"`,
	} {
		lines += fmt.Sprintf("{\"bucket\":\"b\",%s,\"key\":%q}\n\n", where, keyText(byte(i+1)))
	}
	keys, err := ReadCustomerKeys(iotest.OneByteReader(strings.NewReader(lines)))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		bucket, object, version string
		want                    byte
	}{
		{"b", "other", "null", 1},
		{"b", "other", "v3", 7},
		{"b", "logs", "v3", 7},
		{"b", "logs/2019", "v1", 2},
		{"b", "logs/2020", "null", 4},
		{"b", "logs/2020", "v1", 5},
		{"b", "logs/2020", "v2", 4}, // an exact name goes before a prefix
		{"b", "logs/2020-01", "v1", 3},
		{"b", "logs/2020-01", "v2", 6},
		{"b", "x", "null", 8},
		{"b", "x", "v1", 1},
		{"c", "logs/2020", "v1", 0},
	} {
		got, ok := keys.Find(test.bucket, test.object, test.version)
		want, err := sse.NewCustomerKey(bytes.Repeat([]byte{test.want}, 32))
		if err != nil {
			t.Fatal(err)
		}
		if ok != (test.want != 0) || ok && !got.Equal(want) {
			t.Errorf("%+v: another key, or none: %v", test, ok)
		}
	}
	if _, ok := (*CustomerKeys)(nil).Find("b", "o", "v"); ok {
		t.Error("no keys have a key")
	}
}

func TestBadCustomerKeys(t *testing.T) {
	good := fmt.Sprintf(`{"bucket":"b","object":"o","key":%q}`, keyText(1))
	for name, line := range map[string]string{
		"no JSON":       "not json",
		"two on a line": good + good,
		"array":         "[]",
		"unknown field": fmt.Sprintf(`{"bucket":"b","object":"o","versionid":"v","key":%q}`, keyText(1)),
		"no bucket":     fmt.Sprintf(`{"object":"o","key":%q}`, keyText(1)),
		"no name":       fmt.Sprintf(`{"bucket":"b","key":%q}`, keyText(1)),
		"two names":     fmt.Sprintf(`{"bucket":"b","object":"o","prefix":"o","key":%q}`, keyText(1)),
		"empty name":    fmt.Sprintf(`{"bucket":"b","object":"","key":%q}`, keyText(1)),
		"no key":        `{"bucket":"b","object":"o"}`,
		"short key":     `{"bucket":"b","object":"o","key":"AAAA"}`,
		"no base64":     `{"bucket":"b","object":"o","key":"secret-secret"}`,
		"another key":   fmt.Sprintf(`{"bucket":"b","object":"o","key":%q}`, keyText(2)),
		"number":        `{"bucket":1,"object":"o","key":"AAAA"}`,
		"endless line":  strings.Repeat("x", maxKeyLine+1),
		"deeply nested": strings.Repeat("[", 20000),
	} {
		_, err := ReadCustomerKeys(strings.NewReader(good + "\n" + line + "\n"))
		var e *CustomerKeyError
		if !errors.As(err, &e) || e.Line != 2 || !errors.Is(err, sse.ErrInvalidRequest) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("broken")
	if _, err := ReadCustomerKeys(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a broken file: %v", err)
	}
}

func FuzzCustomerKeys(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(`{"bucket":"b","prefix":"o","version_id":"v","key":%q}`, keyText(1))), "b", "o", "v")
	f.Add([]byte("{}\n\n"), "b", "o", "v")
	f.Add([]byte(`{"bucket":"b","object":null,"prefix":"","key":"="}`), "", "", "")
	f.Fuzz(func(t *testing.T, text []byte, bucket, object, version string) {
		keys, err := ReadCustomerKeys(bytes.NewReader(text))
		if err != nil {
			if !errors.Is(err, sse.ErrInvalidRequest) {
				t.Errorf("%v", err)
			}
			return
		}
		if key, ok := keys.Find(bucket, object, version); ok && len(key.Bytes()) != 32 {
			t.Error("a key of another length")
		}
		keys.Wipe()
	})
}
