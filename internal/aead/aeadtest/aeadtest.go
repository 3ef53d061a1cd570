// Package aeadtest is what every kernel of package aead must pass, and whatever
// else claims to be one of its ciphers.
//
// [Kernels] runs a test for each kernel by name and reports those that cannot
// run here. [Run] is the conformance suite, a list of [Checks]: what is sealed
// and opened is compared with another implementation, for sizes, alignments,
// keys and contents of all kinds; buffers lie between canaries, and between
// pages that are not there; and forgeries, of every kind that fits, are refused.
//
// Cases are random; the seed is printed, and the flag -aeadtest.seed repeats it.
package aeadtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/aesgcm"
	"github.com/objseal/objseal/internal/chacha20poly1305"
	"github.com/objseal/objseal/internal/cpu"
	xchacha "golang.org/x/crypto/chacha20poly1305"
)

// A Subject is an expanded key, under test: an [aead.Key] or what acts as one.
type Subject interface {
	cipher.AEAD
	SealPackage(dst, src []byte, nonce *[aead.NonceSize]byte, associated *[4]byte)
	OpenPackage(dst, src []byte, nonce *[aead.NonceSize]byte, associated *[4]byte) bool
	OpenPackagePart(src []byte, nonce *[aead.NonceSize]byte, associated *[4]byte, from, to int) (begin, end int, ok bool)
}

// An Implementation is what the suite tests, and what it compares it with. Both
// functions expand a key, New for texts of longest bytes at most.
type Implementation struct {
	New       func(key *[aead.KeySize]byte, longest int) Subject
	Reference func(key *[aead.KeySize]byte) cipher.AEAD
}

// Kernel returns the implementation of c by k.
func Kernel(c aead.Cipher, k aead.Kernel) Implementation {
	return Implementation{
		New: func(key *[aead.KeySize]byte, longest int) Subject {
			s := new(aead.Key)
			s.InitUpTo(c, k, key, longest)
			return s
		},
		Reference: func(key *[aead.KeySize]byte) cipher.AEAD { return Reference(c, key) },
	}
}

// Reference returns c as the standard library or x/crypto has it.
func Reference(c aead.Cipher, key *[aead.KeySize]byte) cipher.AEAD {
	if c == aead.ChaCha20Poly1305 {
		return must(xchacha.New(key[:]))
	}
	return must(cipher.NewGCM(must(aes.NewCipher(key[:]))))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("aeadtest: internal error: " + err.Error())
	}
	return v
}

// Kernels runs test for every kernel of every cipher, in a subtest of its name.
// test returns how many cases it had. A kernel that is not available is reported
// as not run, and the last line of the log says which ran.
func Kernels(t *testing.T, test func(t *testing.T, c aead.Cipher, k aead.Kernel) (cases int)) {
	t.Helper()
	if fips140.Enforced() {
		t.Skip("--- not run: in FIPS 140-only mode Go seals with no nonce but its own")
	}
	// Read here as well: the test cache does not see what package cpu reads while
	// it is initialised, and would repeat a result with another value.
	off := os.Getenv("OBJSEAL_CPU")
	var ran, not []string
	for _, c := range aead.Ciphers {
		for _, k := range c.Kernels() {
			name := c.String() + "/" + k.String()
			t.Run(name, func(t *testing.T) {
				if !c.Available(k) {
					not = append(not, name)
					t.Skipf("--- not run: %s: %s", name, why(c, off))
				}
				cases := test(t, c, k)
				ran = append(ran, fmt.Sprintf("%s: %d cases", name, cases))
			})
		}
	}
	if len(not) == 0 {
		not = []string{"none"}
	}
	t.Logf("ran %s; not run: %s", strings.Join(ran, ", "), strings.Join(not, ", "))
}

// why tells why a kernel of c is not available, with off as OBJSEAL_CPU.
func why(c aead.Cipher, off string) string {
	switch {
	case fips140.Enabled():
		return "the process is in FIPS 140-3 mode"
	case c == aead.AES256GCM && !aesgcm.Built, c == aead.ChaCha20Poly1305 && !chacha20poly1305.Built:
		return "this build does not have it"
	}
	return fmt.Sprintf("this processor (%s) lacks what it needs, or OBJSEAL_CPU=%q switches it off", cpu.Name(), off)
}

var seed = flag.Uint64("aeadtest.seed", 0, "what the random cases of package aeadtest begin with; 0 is any")

// Seed returns the seed for a test, which logs it.
func Seed(t *testing.T) uint64 {
	n := *seed
	for n == 0 {
		n = rand.Uint64()
	}
	t.Logf("-aeadtest.seed=%d", n)
	return n
}

// Run tests one implementation, each check in a subtest, and returns how many
// cases there were.
func Run(t *testing.T, impl Implementation) (cases int) {
	seed := Seed(t)
	for _, check := range Checks {
		t.Run(check.Name, func(t *testing.T) {
			n, failures := check.Run(impl, seed)
			for _, f := range failures {
				t.Error(f)
			}
			if len(failures) > 0 {
				t.Logf("repeat with -aeadtest.seed=%d", seed)
			}
			t.Logf("%d cases", n)
			cases += n
		})
	}
	if len(guardChecks) == 0 {
		t.Log("--- not run: buffers beside pages that are not there: needs mmap")
	}
	return cases
}

// few tells to have fewer cases: with the race detector, and where the reference
// is not in assembly.
var few = Race || !cpu.Has(cpu.AES)

// A Check is a part of the suite.
type Check struct {
	Name string
	run  func(*checker)
}

// Checks are the whole suite.
var Checks = append([]Check{
	{"every length", everyLength},
	{"short texts", shortTexts},
	{"long", long},
	{"alignment", alignment},
	{"associated data", associatedData},
	{"keys and contents", keysAndContents},
	{"nonces", nonces},
	{"append", appending},
	{"empty", empty},
	{"refused calls", refusedCalls},
	{"forgeries", forgeries},
	{"parts", parts},
	{"goroutines", goroutines},
}, guardChecks...)

// Run returns how many cases the check had and what was wrong. It gives up soon
// after the first failure.
func (c Check) Run(impl Implementation, seed uint64) (cases int, failures []string) {
	r := &checker{impl: impl, rng: rand.New(rand.NewPCG(seed, 0))}
	func() {
		defer func() {
			if v := recover(); v != nil && v != enough {
				r.failures = append(r.failures, fmt.Sprintf("panics: %v\n%s", v, debug.Stack()))
			}
		}()
		c.run(r)
	}()
	return r.cases, r.failures
}
