package stream_test

import (
	"testing"

	"github.com/objseal/objseal/internal/cpu"
	"github.com/objseal/objseal/stream"
)

func TestCipherString(t *testing.T) {
	for c, want := range map[stream.Cipher]string{
		stream.CipherAuto: "auto", stream.AES256GCM: "AES-256-GCM", stream.ChaCha20Poly1305: "ChaCha20-Poly1305", 9: "Cipher(9)",
	} {
		if c.String() != want {
			t.Errorf("%d: %q, want %q", uint8(c), c, want)
		}
	}
}

func TestCipherAuto(t *testing.T) {
	id := func() byte { return seal(t, []byte("x"), nil)[1] }
	want := byte(1)
	if cpu.Has(cpu.AES) {
		want = 0
	}
	if got := id(); got != want {
		t.Errorf("cipher id %d where AES is %v", got, cpu.Has(cpu.AES))
	}
	restore := cpu.Disable(cpu.AES)
	defer restore()
	if got := id(); got != 1 {
		t.Errorf("cipher id %d where there is no AES", got)
	}
}
