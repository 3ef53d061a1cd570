//go:build unix

package kes_test

import (
	"testing"

	"github.com/objseal/objseal/internal/interop/kessuite"
)

// KES v0.23.0 writes MessagePack ciphertexts and JSON keys, and reads neither
// form of its successor: of deployment H only what was sealed before the upgrade.
func TestKES(t *testing.T) {
	kessuite.Run(t, kessuite.Generation{
		Golden:     []string{"*-C-*", "*-H-*before*"},
		GoldenDir:  "../../../testdata/golden",
		ErrorTable: "../../../docs/errors.md",
		Older:      true,
	})
}
