package kes

import (
	"bytes"
	"encoding/base64"
	"errors"
	"runtime"
	"testing"
)

// TestDecodeMakesNoCopy: an answer with a data key is wiped, and what was made
// of it meanwhile could not be.
func TestDecodeMakesNoCopy(t *testing.T) {
	const size = 8 << 20
	body := []byte(`{"plaintext":"` + base64.StdEncoding.EncodeToString(make([]byte, size)) + "\"}\n")
	var before, after runtime.MemStats
	var m message
	runtime.ReadMemStats(&before)
	err := answer{body: body}.decode(&m)
	runtime.ReadMemStats(&after)
	if err != nil || len(m.Plaintext) != size {
		t.Fatalf("%d bytes: %v", len(m.Plaintext), err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > size+size/2 {
		t.Errorf("%d bytes of memory for %d bytes", n, size)
	}
}

// TestDecodeWhatFollows: it is ignored, as servers do.
func TestDecodeWhatFollows(t *testing.T) {
	for text, want := range map[string]error{
		`{"plaintext":"AAEC"}`: nil, "{\"plaintext\":\"AAEC\"}\n": nil, `{"plaintext":"AAEC"} more`: nil, `{"plaintext":"AAEC"}{}`: nil,
		`{"plaintext":"AAEC"`: errBadAnswer, "": errBadAnswer, "\n": errBadAnswer, `{"plaintext":1}`: errBadAnswer, "no": errBadAnswer,
	} {
		var m message
		err := answer{body: []byte(text)}.decode(&m)
		if !errors.Is(err, want) || err == nil && !bytes.Equal(m.Plaintext, []byte{0, 1, 2}) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}
