//go:build unix

package kes_test

import (
	"testing"

	"github.com/objseal/objseal/internal/interop/kessuite"
)

// KES v0.24.0 writes raw ciphertexts and protobuf keys, and reads what every
// older generation wrote.
func TestKES(t *testing.T) {
	kessuite.Run(t, kessuite.Generation{
		Golden:         []string{"*-B-*", "*-C-*", "*-G-*", "*-H-*"},
		GoldenDir:      "../../../testdata/golden",
		ErrorTable:     "../../../docs/errors.md",
		CountsRequests: true,
		ReadsNewest:    true,
	})
}
