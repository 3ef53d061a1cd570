package kdf_test

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/kdf"
)

// TestVectors are those of RFC 4231 whose keys are no longer than ours: HMAC
// fills a short key up with zeros, as the array does.
func TestVectors(t *testing.T) {
	for _, test := range []struct{ key, message, want string }{
		{strings.Repeat("\x0b", 20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{strings.Repeat("\xaa", 20), strings.Repeat("\xdd", 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
	} {
		var key, got [kdf.Size]byte
		copy(key[:], test.key)
		kdf.HMAC(&got, &key, test.message)
		if hex.EncodeToString(got[:]) != test.want {
			t.Errorf("message %q: got %x, want %s", test.message, got, test.want)
		}
	}
}

// TestLikeTheStandardLibrary compares with crypto/hmac, for messages of every
// length around blocks and buffers, in pieces too.
func TestLikeTheStandardLibrary(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for n := range 600 {
		var key, got [kdf.Size]byte
		message := make([]byte, n)
		random.Read(key[:])
		random.Read(message)
		h := hmac.New(sha256.New, key[:])
		h.Write(message)
		want := h.Sum(nil)
		kdf.HMAC(&got, &key, string(message[:n/3]), "", string(message[n/3:]))
		if string(got[:]) != string(want) {
			t.Errorf("%d bytes: got %x, want %x", n, got, want)
		}
		if kdf.HMAC(&key, &key, string(message)); string(key[:]) != string(want) {
			t.Errorf("%d bytes: a key derived to its own place is another one", n)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	if fips140.Enabled() {
		return // crypto/hmac takes some
	}
	var derived, key [kdf.Size]byte
	iv := make([]byte, 32)
	if n := testing.AllocsPerRun(100, func() { kdf.HMAC(&derived, &key, string(iv), "SSE-S3", "label", "bucket/object") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHMAC(b *testing.B) {
	var derived, key [kdf.Size]byte
	iv := make([]byte, 32)
	for b.Loop() {
		kdf.HMAC(&derived, &key, string(iv), "SSE-S3", "label", "bucket/object")
	}
}
