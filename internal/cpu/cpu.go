// Package cpu answers every question about what the processor can do, so that
// feature detection is in one place and a test can switch a feature off by
// name.
//
// Answers are about what Go code of this build can use: with the tag purego
// there is no assembly, and every answer is no.
package cpu

import (
	"runtime"
	"sync/atomic"

	"github.com/klauspost/cpuid/v2"
)

// A Feature is something the processor may have.
type Feature string

// AES is hardware AES and carry-less multiplication: what makes AES-GCM fast
// and free of secret-dependent table look-ups.
const AES Feature = "aes"

// features holds the answers. They change only in tests.
var features = map[Feature]*atomic.Bool{
	AES: detected(hasAES()),
}

func detected(has bool) *atomic.Bool {
	b := new(atomic.Bool)
	b.Store(has && !purego)
	return b
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

// Has reports whether the processor has f and this build can use it.
func Has(f Feature) bool {
	return features[f].Load()
}

// Disable makes [Has] answer no for f until restore is called. For tests; it
// affects the whole process.
func Disable(f Feature) (restore func()) {
	old := features[f].Swap(false)
	return func() { features[f].Store(old) }
}
