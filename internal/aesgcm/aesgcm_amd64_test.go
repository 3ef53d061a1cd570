//go:build !purego

package aesgcm

import (
	"testing"
	"unsafe"
)

// The generator in _asm writes these offsets into the assembly.
func TestLayout(t *testing.T) {
	var k expanded
	var s state
	for name, offsets := range map[string][2]uintptr{
		"expanded.powers":    {unsafe.Offsetof(k.powers), 0},
		"expanded.karatsuba": {unsafe.Offsetof(k.karatsuba), 576},
		"expanded.rounds":    {unsafe.Offsetof(k.rounds), 1152},
		"state.counter":      {unsafe.Offsetof(s.counter), 0},
		"state.hash":         {unsafe.Offsetof(s.hash), 16},
		"state.x":            {unsafe.Offsetof(s.x), 32},
		"state.lengths":      {unsafe.Offsetof(s.lengths), 48},
		"state.mask":         {unsafe.Offsetof(s.mask), 64},
		"state.tag":          {unsafe.Offsetof(s.tag), 80},
	} {
		if offsets[0] != offsets[1] {
			t.Errorf("%s is at %d, the assembly expects %d", name, offsets[0], offsets[1])
		}
	}
}
