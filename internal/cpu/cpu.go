// Package cpu answers every question about what the processor can do, so that
// feature detection is in one place and a test can switch a feature off by
// name.
//
// Answers are about what Go code of this build can use: with the tag purego
// there is no assembly, and every answer is no.
//
// The environment variable OBJSEAL_CPU switches features off for a whole
// process, to find out whether a fast path is at fault: a list such as
// "noavx512,noavx2". It cannot switch anything on.
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

// detect returns the answers for this processor, less what the list in off
// names, and the words of off that mean nothing.
func detect(off string) (map[Feature]*atomic.Bool, []string) {
	answers := map[Feature]*atomic.Bool{}
	for f, has := range map[Feature]bool{
		AES:    hasAES(),
		AVX2:   vector(cpuid.VAES, cpuid.VPCLMULQDQ, cpuid.AVX2, cpuid.BMI2),
		AVX512: vector(cpuid.VAES, cpuid.VPCLMULQDQ, cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.BMI2),
		IFMA:   vector(cpuid.AVX512IFMA, cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.BMI2),
	} {
		answers[f] = new(atomic.Bool)
		answers[f].Store(has && !purego)
	}
	var unknown []string
	for word := range strings.FieldsFuncSeq(off, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, isOff := strings.CutPrefix(word, "no")
		if answer := answers[Feature(name)]; isOff && answer != nil {
			answer.Store(false)
		} else {
			unknown = append(unknown, word)
		}
	}
	return answers, unknown
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

// Has reports whether the processor has f and this build can use it.
func Has(f Feature) bool {
	return features[f].Load()
}

// Disable makes [Has] answer no for f until restore is called. For tests and
// comparisons; it affects the whole process.
func Disable(f Feature) (restore func()) {
	old := features[f].Swap(false)
	return func() { features[f].Store(old) }
}

// Name is what the processor calls itself.
func Name() string { return strings.TrimSpace(cpuid.CPU.BrandName) }
