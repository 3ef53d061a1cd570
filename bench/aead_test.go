package bench_test

import (
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/objseal/objseal/bench/peers"
	"github.com/objseal/objseal/internal/aead"
)

func BenchmarkAEADSeal(b *testing.B) { runAEAD(b, false) }
func BenchmarkAEADOpen(b *testing.B) { runAEAD(b, true) }

// An aeadCase is one measurement of a single message, under a key that is
// set up already.
type aeadCase struct {
	cipher aead.Cipher
	size   size
	impl   peers.AEAD
}

func (c aeadCase) String() string {
	return fmt.Sprintf("cipher=%v/size=%v/workers=1/impl=%s", c.cipher, c.size, c.impl.Name)
}

// aeadCases are all measurements, missing kernels included.
func aeadCases() iter.Seq[aeadCase] {
	return func(yield func(aeadCase) bool) {
		for _, cipher := range aead.Ciphers {
			for _, n := range packageSizes {
				for _, impl := range peers.AEADs {
					if slices.Contains(impl.Ciphers, cipher) && !yield(aeadCase{cipher, n, impl}) {
						return
					}
				}
			}
		}
	}
}

// prepare returns one run that seals, or opens.
func (c aeadCase) prepare(opens bool) (once func() bool) {
	s := c.impl.New(c.cipher, &benchKey)
	plain := plaintext(c.size)
	sealed := make([]byte, len(plain)+s.Tag)
	s.Seal(sealed, plain)
	if !opens {
		return func() bool { s.Seal(sealed, plain); return true }
	}
	return func() bool { return s.Open(plain, sealed) }
}

func runAEAD(b *testing.B, opens bool) {
	for c := range aeadCases() {
		b.Run(c.String(), func(b *testing.B) {
			skipMissing(b, c.impl.Missing, c.cipher)
			once := c.prepare(opens)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				if !once() {
					b.Fatal("not authentic")
				}
			}
		})
	}
}

// skipMissing skips what this machine cannot run, and says why.
func skipMissing(t testing.TB, missing func(aead.Cipher) string, c aead.Cipher) {
	if missing == nil {
		return
	}
	if why := missing(c); why != "" {
		t.Skip(why)
	}
}
