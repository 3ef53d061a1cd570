// Package cpu answers every question about what the processor can do, so that
// feature detection is in one place and a test can switch a feature off by
// name.
//
// Answers are about what Go code of this build can use: with the tag purego
// there is no assembly, and every answer is no.
//
// The environment variable OBJSEAL_CPU switches features off for a whole
// process, to find out whether a fast path is at fault: a list such as
// "noavx512,noavx2". The words are "no" and a [Feature]; noavx512 is noifma too, and
// noavx is all that has to do with vectors. It cannot switch anything on.
package cpu

import (
	"os"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/klauspost/cpuid/v2"
)

// A Feature is something the processor may have.
type Feature string

const (
	// AES is hardware AES and carry-less multiplication: what makes AES-GCM
	// fast and free of secret-dependent table look-ups.
	AES Feature = "aes"

	// AVX is AES and carry-less multiplication on 128-bit vectors (AES-NI, PCLMULQDQ,
	// AVX).
	AVX Feature = "avx"

	// AVX2 is AES and carry-less multiplication on 256-bit vectors (VAES,
	// VPCLMULQDQ, AVX2).
	AVX2 Feature = "avx2"

	// AVX512 is the same on 512-bit vectors (VAES, VPCLMULQDQ,
	// AVX512F, BW, DQ, VL).
	AVX512 Feature = "avx512"

	// IFMA is the 512-bit vectors of AVX512 with 52-bit integer
	// multiply-add, without AES: what ChaCha20-Poly1305 needs.
	IFMA Feature = "ifma"
)

// features holds the answers. They change only in tests.
var features, Unknown = detect(os.Getenv("OBJSEAL_CPU"))

// answers has one for each feature. A struct, because they are asked for each time
// a stream begins.
type answers struct{ aes, avx, avx2, avx512, ifma atomic.Bool }

func (a *answers) of(f Feature) *atomic.Bool {
	switch f {
	case AES:
		return &a.aes
	case AVX:
		return &a.avx
	case AVX2:
		return &a.avx2
	case AVX512:
		return &a.avx512
	case IFMA:
		return &a.ifma
	}
	return nil
}

// detect returns the answers for this processor, less what the list in off
// names, and the words of off that mean nothing.
func detect(off string) (*answers, []string) {
	a := new(answers)
	a.aes.Store(!purego && hasAES())
	a.avx.Store(!purego && vector(cpuid.AESNI, cpuid.CLMUL, cpuid.AVX))
	a.avx2.Store(!purego && vector(cpuid.VAES, cpuid.VPCLMULQDQ, cpuid.AVX2, cpuid.BMI2))
	a.avx512.Store(!purego && wide(cpuid.VAES, cpuid.VPCLMULQDQ))
	a.ifma.Store(!purego && wide(cpuid.AVX512IFMA))
	var unknown []string
	for word := range strings.FieldsFuncSeq(off, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, isOff := strings.CutPrefix(word, "no")
		answer := a.of(Feature(name))
		if !isOff || answer == nil {
			unknown = append(unknown, word)
			continue
		}
		answer.Store(false)
		switch answer {
		case &a.avx512:
			a.ifma.Store(false) // it has the same vectors
		case &a.avx:
			a.avx2.Store(false) // no processor has these without AVX
			a.avx512.Store(false)
			a.ifma.Store(false)
		}
	}
	return a, unknown
}

func hasAES() bool {
	switch runtime.GOARCH {
	case "amd64":
		return cpuid.CPU.Supports(cpuid.AESNI, cpuid.CLMUL, cpuid.SSE4, cpuid.SSSE3)
	case "arm64":
		return cpuid.CPU.Supports(cpuid.AESARM, cpuid.PMULL)
	case "ppc64le", "s390x":
		return true // the oldest that Go runs on, POWER8 and z13, have it
	}
	return false // no AES assembly in Go's library
}

// vector reports whether a 64-bit x86 has all of fs. The cpuid package says
// that a processor has AVX2 or AVX-512 only where the operating system saves
// their registers too (XGETBV); the vector AES and CLMUL bits say nothing of
// that, so they are never asked for alone.
func vector(fs ...cpuid.FeatureID) bool {
	return runtime.GOARCH == "amd64" && cpuid.CPU.Supports(fs...) && cpuid.CPU.Supports(cpuid.OSXSAVE)
}

// wide is vector for 512-bit vectors and fs.
func wide(fs ...cpuid.FeatureID) bool {
	return vector(append(fs, cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.BMI2)...)
}

// Has reports whether the processor has f and this build can use it.
func Has(f Feature) bool { return features.of(f).Load() }

// Disable makes [Has] answer no for f until restore is called. For tests and
// comparisons; it affects the whole process.
func Disable(f Feature) (restore func()) {
	answer := features.of(f)
	old := answer.Swap(false)
	return func() { answer.Store(old) }
}

// SwitchedOff returns the features that Has denies only because OBJSEAL_CPU or
// [Disable] says so.
func SwitchedOff() (off []Feature) {
	here, _ := detect("")
	for _, f := range []Feature{AES, AVX, AVX2, AVX512, IFMA} {
		if here.of(f).Load() && !Has(f) {
			off = append(off, f)
		}
	}
	return off
}

// Name is what the processor calls itself.
func Name() string { return strings.TrimSpace(cpuid.CPU.BrandName) }
