package envelope_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/gocloud/internal/envelope"
)

var someAD = kms.AssociatedData{"bucket": "bucket/object"}

func TestBound(t *testing.T) {
	wrapping, key := make([]byte, 32), bytes.Repeat([]byte{1}, 32)
	c, err := envelope.Seal(wrapping, []byte("wrapped"), key, "key", someAD)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, sealed, err := envelope.Parse(c)
	if err != nil || string(wrapped) != "wrapped" {
		t.Fatalf("Parse: %d bytes, %v", len(wrapped), err)
	}
	if got, err := envelope.Open(wrapping, sealed, "key", someAD); err != nil || !bytes.Equal(got.Bytes(), key) {
		t.Errorf("Open: %v", err)
	}
	for what, open := range map[string]func() (kms.DataKey, error){
		"other wrapping key": func() (kms.DataKey, error) { return envelope.Open(key, sealed, "key", someAD) },
		"short wrapping key": func() (kms.DataKey, error) { return envelope.Open(wrapping[:31], sealed, "key", someAD) },
		"other key id":       func() (kms.DataKey, error) { return envelope.Open(wrapping, sealed, "yek", someAD) },
		"no key id":          func() (kms.DataKey, error) { return envelope.Open(wrapping, sealed, "", someAD) },
		"no associated data": func() (kms.DataKey, error) { return envelope.Open(wrapping, sealed, "key", nil) },
		"key id from the data": func() (kms.DataKey, error) {
			return envelope.Open(wrapping, sealed, `key{"bucket":"bucket/object"}`, nil)
		},
	} {
		if key, err := open(); !errors.Is(err, kms.ErrNotAuthentic) || !key.IsZero() {
			t.Errorf("%s: %v", what, err)
		}
	}
	short, err := envelope.Seal(wrapping, []byte("wrapped"), key[:31], "key", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.Open(wrapping, short[3+len("wrapped"):], "key", nil); !errors.Is(err, kms.ErrKeySize) {
		t.Errorf("31 bytes: %v", err)
	}
	for _, n := range []int{0, 1 << 16} {
		if _, err := envelope.Seal(wrapping, make([]byte, n), key, "key", nil); err == nil {
			t.Errorf("a sealed wrapping key of %d bytes: no error", n)
		}
	}
}

// FuzzOpen: nothing panics, and everything but what was sealed here is not
// authentic.
func FuzzOpen(f *testing.F) {
	wrapping := make([]byte, 32)
	key := bytes.Repeat([]byte{1}, 32)
	c, err := envelope.Seal(wrapping, []byte("wrapped"), key, "key", someAD)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c)
	f.Add(binary.LittleEndian.AppendUint16([]byte{1}, 1<<16-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var opened kms.DataKey
		wrapped, sealed, err := envelope.Parse(b)
		if err == nil {
			if again := slices.Concat([]byte{1, byte(len(wrapped)), byte(len(wrapped) >> 8)}, wrapped, sealed); !bytes.Equal(again, b) {
				t.Error("the parts are not the whole")
			}
			opened, err = envelope.Open(wrapping, sealed, "key", someAD)
		}
		switch {
		case err == nil && !bytes.Equal(opened.Bytes(), key): // each process of the fuzzer has sealed it once
			t.Error("a ciphertext of nobody opens")
		case err != nil && !errors.Is(err, kms.ErrNotAuthentic):
			t.Errorf("%v", err)
		}
	})
}
