package aead_test

import (
	"testing"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/aead/aeadtest"
)

func TestConformance(t *testing.T) {
	aeadtest.Kernels(t, func(t *testing.T, c aead.Cipher, k aead.Kernel) int {
		return aeadtest.Run(t, aeadtest.Kernel(c, k))
	})
}
