package aead_test

import (
	"bytes"
	"crypto/fips140"
	"testing"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/aead/aeadtest"
)

// FuzzAEAD: every kernel that is available here does what the reference does, in
// both directions, and opens nothing else. The text is input, times over; layout
// says where in memory it lies, and edit is what a forger adds to one byte.
func FuzzAEAD(f *testing.F) {
	if fips140.Enforced() {
		f.Skip("in FIPS 140-only mode Go seals with no nonce but its own")
	}
	type kernel struct {
		cipher aead.Cipher
		kernel aead.Kernel
	}
	var kernels []kernel
	for _, c := range aead.Ciphers {
		for _, k := range c.Kernels() {
			if c.Available(k) {
				kernels = append(kernels, kernel{c, k})
			}
		}
	}
	f.Logf("%d kernels", len(kernels))
	f.Fuzz(func(t *testing.T, which byte, secret, iv, input, associated []byte, times uint16, layout, edit uint32) {
		k := kernels[int(which)%len(kernels)]
		var secretKey [aead.KeySize]byte
		var nonce [aead.NonceSize]byte
		copy(secretKey[:], secret)
		copy(nonce[:], iv)
		plain := bytes.Repeat(input, min(int(times), 1<<20/max(len(input), 1)))
		n := len(plain)

		var key aead.Key
		key.Init(k.cipher, k.kernel, &secretKey)
		want := aeadtest.Reference(k.cipher, &secretKey).Seal(nil, nonce[:], plain, associated)

		// Input and output lie in one buffer: apart, or in the same place.
		in, out := int(layout%64), int(layout/64%64)
		buf := make([]byte, 2*(n+aead.TagSize+64))
		if layout/4096%2 == 0 {
			in += n + aead.TagSize + 64
		} else {
			in = out
		}
		equal := func(what string, got, want []byte) {
			if !bytes.Equal(got, want) {
				t.Fatalf("%v/%v: %s: wrong, %d bytes", k.cipher, k.kernel, what, len(got))
			}
		}
		copy(buf[in:], plain)
		equal("Seal", key.Seal(buf[out:out], nonce[:], buf[in:in+n], associated), want)
		copy(buf[in:], want)
		got, err := key.Open(buf[out:out], nonce[:], buf[in:in+n+aead.TagSize], associated)
		if err != nil {
			t.Fatalf("%v/%v: Open: %v", k.cipher, k.kernel, err)
		}
		equal("Open", got, plain)

		forged := bytes.Clone(want)
		forged[int(edit/255)%len(forged)] ^= byte(1 + edit%255)
		copy(buf[in:], forged)
		if _, err := key.Open(buf[out:out], nonce[:], buf[in:in+n+aead.TagSize], associated); err == nil {
			t.Fatalf("%v/%v: Open accepts a forgery", k.cipher, k.kernel)
		}
		equal("Open of a forgery", buf[out:out+n], make([]byte, n))

		if n > 1<<16 {
			return
		}
		var data [4]byte
		copy(data[:], associated)
		want = aeadtest.Reference(k.cipher, &secretKey).Seal(nil, nonce[:], plain, data[:])
		copy(buf[in:], plain)
		key.SealPackage(buf[out:][:n+aead.TagSize], buf[in:][:n], &nonce, &data)
		equal("SealPackage", buf[out:][:n+aead.TagSize], want)
		copy(buf[in:], want)
		if !key.OpenPackage(buf[out:][:n], buf[in:][:n+aead.TagSize], &nonce, &data) {
			t.Fatalf("%v/%v: OpenPackage refuses", k.cipher, k.kernel)
		}
		equal("OpenPackage", buf[out:][:n], plain)
		want[int(edit/255)%len(want)] ^= byte(1 + edit%255)
		copy(buf[in:], want)
		if key.OpenPackage(buf[out:][:n], buf[in:][:n+aead.TagSize], &nonce, &data) {
			t.Fatalf("%v/%v: OpenPackage accepts a forgery", k.cipher, k.kernel)
		}
		equal("OpenPackage of a forgery", buf[out:][:n], make([]byte, n))
	})
}
