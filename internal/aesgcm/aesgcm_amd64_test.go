//go:build !purego

package aesgcm

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/objseal/objseal/internal/cpu"
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

// A long kernel has a table of secrets on its stack. Nothing of it stays there: of a
// stack that was full of something else, the kernel leaves zeros, as many as the table
// has.
func TestLongClearsItsStack(t *testing.T) {
	if !cpu.Has(cpu.AVX512) {
		t.Skip("--- not run: this processor has no AVX-512, or OBJSEAL_CPU switches it off")
	}
	k := new(Key)
	k.Init(&[KeySize]byte{1}, 4, longFrom)
	text, below := make([]byte, longFrom+16), make([]byte, stackSeen-1024)
	for name, kernel := range map[string]func(*expanded, *state, *byte, *byte, int, int){
		"seal": sealAVX512Long, "open": openAVX512Long,
	} {
		var s state
		s.begin(&[NonceSize]byte{2}, 4, longFrom)
		fillStack()
		kernel(k.expanded(), &s, &text[0], &text[0], longFrom, first|last)
		stackBelow(below)
		if !bytes.Contains(below, make([]byte, 4096-512)) { // the test's own calls take some
			t.Errorf("%s: no table's worth of zeros on the stack", name)
			continue
		}
		if rest := bytes.Count(below, []byte{0xa5}); rest < len(below)/4 {
			t.Fatalf("%s: %d of %d bytes are as they were filled: the test does not see the kernel's stack", name, rest, len(below))
		}
	}
}

const stackSeen = 12 << 10

//go:noinline
func fillStack() {
	var mem [stackSeen]byte
	for i := range mem {
		mem[i] = 0xa5
	}
	use(&mem)
}

//go:noinline
func use(*[stackSeen]byte) {}

// stackBelow copies to b what is below the stack of its caller, the other way round.
// It must not call anything.
//
//go:noinline
//go:nocheckptr
func stackBelow(b []byte) {
	var here [64]byte
	for i := range b {
		b[i] = *(*byte)(unsafe.Add(unsafe.Pointer(&here), -i))
	}
}
