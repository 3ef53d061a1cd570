package aead_test

import (
	"bytes"
	"runtime"
	"testing"
	"unsafe"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/aead/aeadtest"
	"github.com/objseal/objseal/internal/cpu"
)

func TestConformance(t *testing.T) {
	aeadtest.Kernels(t, func(t *testing.T, c aead.Cipher, k aead.Kernel) int {
		return aeadtest.Run(t, aeadtest.Kernel(c, k))
	})
}

var (
	testKey   = [aead.KeySize]byte{1, 2, 3, 250, 251, 252}
	testNonce = [aead.NonceSize]byte{4, 5, 6}
	testData  = [4]byte{7, 8, 9, 10}
)

// TestAllocations: packages need no memory, and with a kernel of our own a key
// does not either, not even one that lives on the stack.
func TestAllocations(t *testing.T) {
	if aeadtest.Race {
		t.Skip("with the race detector sync.Pool forgets on purpose")
	}
	aeadtest.Kernels(t, func(t *testing.T, c aead.Cipher, k aead.Kernel) (cases int) {
		if assembly := runtime.GOARCH == "amd64" && cpu.Has(cpu.AES); k == aead.Generic && c == aead.ChaCha20Poly1305 && !assembly {
			t.Skip("x/crypto allocates where it has no assembly")
		}
		for _, size := range []int{0, 1, 100, 1000, 65536} {
			plain, sealed := make([]byte, size), make([]byte, size+aead.TagSize)
			none := func(what string, f func()) {
				cases++
				if n := testing.AllocsPerRun(200, f); n != 0 {
					t.Errorf("%s of %d bytes: %v allocations", what, size, n)
				}
			}
			packages := func(key *aead.Key) {
				nonce, data := testNonce, testData
				key.SealPackage(sealed, plain, &nonce, &data)
				if !key.OpenPackage(plain, sealed, &nonce, &data) {
					t.Error("not opened")
				}
				sealed[0] ^= 1
				if key.OpenPackage(plain, sealed, &nonce, &data) {
					t.Error("opened")
				}
			}
			var key aead.Key
			key.Init(c, k, &testKey)
			none("a package", func() { packages(&key) })
			if k == aead.Generic {
				continue
			}
			none("a key and a package", func() {
				secret := testKey
				var key aead.Key
				key.Init(c, k, &secret)
				packages(&key)
				key.Wipe()
			})
			nonce, data := testNonce, testData // which go to crypto/cipher for Generic, and so to the heap
			none("Seal and Open", func() {
				out := key.Seal(sealed[:0], nonce[:], plain, data[:])
				if _, err := key.Open(plain[:0], nonce[:], out, data[:]); err != nil {
					t.Error(err)
				}
			})
		}
		return cases
	})
}

// TestWipe looks at the memory of a key: after Wipe nothing of it depends on
// what the key was, and hardly a byte is not zero.
func TestWipe(t *testing.T) {
	aeadtest.Kernels(t, func(t *testing.T, c aead.Cipher, k aead.Kernel) int {
		key := new(aead.Key)
		memory := unsafe.Slice((*byte)(unsafe.Pointer(key)), unsafe.Sizeof(*key))
		var expanded, wiped [2][]byte
		for i, b := range []byte{0x5a, 0xa7} { // which differ in every byte
			key.Init(c, k, (*[aead.KeySize]byte)(bytes.Repeat([]byte{b}, aead.KeySize)))
			key.SealPackage(make([]byte, 1000+aead.TagSize), make([]byte, 1000), &testNonce, &testData)
			expanded[i] = bytes.Clone(memory)
			key.Wipe()
			wiped[i] = bytes.Clone(memory)
		}
		if bytes.Equal(expanded[0], expanded[1]) && k != aead.Generic {
			t.Error("two keys expand to the same: the test does not look where the key is")
		}
		if !bytes.Equal(wiped[0], wiped[1]) {
			t.Error("what Wipe leaves depends on the key")
		}
		left := len(wiped[0]) - bytes.Count(wiped[0], []byte{0})
		if left > 4 { // cipher, kernel and the like
			t.Errorf("Wipe leaves %d bytes that are not zero, of %d", left, len(wiped[0]))
		}
		// And the key can be used again, for whichever kernel.
		for _, c := range aead.Ciphers {
			key.Init(c, c.Best(), &testKey)
			sealed := make([]byte, 100+aead.TagSize)
			key.SealPackage(sealed, make([]byte, 100), &testNonce, &testData)
			if !bytes.Equal(sealed, aeadtest.Reference(c, &testKey).Seal(nil, testNonce[:], make([]byte, 100), testData[:])) {
				t.Errorf("%v, after a wiped key: wrong", c)
			}
			key.Wipe()
		}
		return len(wiped)
	})
}
