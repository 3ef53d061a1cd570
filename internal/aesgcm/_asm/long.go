package main

import (
	"fmt"
	"slices"
)

// Long messages have a loop of their own, which does less for each block.
//
// Two rounds of AES are done for 256 blocks at a time. Counter blocks that differ only
// in the last byte differ after one round in one column, and that difference is the
// same whatever the bytes in front of the last one are, as long as those of the nonce
// are; so it is after the second round, in all columns, since ShiftRows and MixColumns
// are linear. A table of the states of 256 counters behind two rounds therefore gives
// those of any other 256 by one XOR, which a counter needs anyway. (Bernstein, Schwabe:
// New AES Software Speed Records, 2008, keep one round in this way.) What is read from
// the table depends on the counter, which is no secret; the table is one, and cleared.
//
// Two groups are under way, half of the rounds apart: each round waits for the one
// before it, and eight vectors are just enough to hide that where nothing else delays
// any of them. A group is hashed from memory, as its registers have the next one by
// then: when opening before it is overwritten, when sealing one step later.
const (
	tableSize   = 256 * 16
	tableRounds = 2
	split       = 9 // rounds that a group has done when the next one begins
)

// longFrame is the stack of a long kernel: the table behind room to align it, and two
// vectors.
const longFrame = tableSize + 64 + 128

// longKernel is kernel for long messages. As it takes a page of stack, it must be
// able to grow it.
func (p *program) longKernel(name string, body code) {
	p.text("0", name, kernelSignature, longFrame, 48, body)
}

// longMessage is shortMessage for 2 KiB or more. Registers: R14 the table, CX
// where in it the counters are that come next, R13 the number of the first block that
// the table stands for now, rBase what makes it so. R11, when sealing: where vector 0
// of the group to be hashed is.
func (k wide) longMessage() (c code) {
	c.op("LEAQ table-%d(SP), R14", longFrame)
	c.op("ADDQ $63, R14")
	c.op("ANDQ $~63, R14")
	c.op("VMOVDQU64 %s, base-128(SP)", z(rBase))
	store := func(x, g int) (c code) {
		for v := range 8 {
			c.op("VMOVDQU64 %s, %d(R14)", z(x+v), 512*g+64*v)
		}
		return c
	}
	c.add(k.counters(0), k.nextBase(), k.rounds(0, 1, tableRounds), store(0, 0))
	var others code
	for g := 1; g < tableSize/512; g++ {
		others.add(k.counters(8), k.nextBase(), k.roundsBy(rText, 8, 1, tableRounds), store(8, g))
	}
	c.add(weave(k.rounds(0, tableRounds+1, rounds-1), others))
	c.op("SUBL $%d, R13", tableSize/16)
	c.op("VPXORD %s, %s, %s", z(rBase), z(rBase), z(rBase))
	c.add(k.finishFirst())

	// The second group begins beside the end of the first one.
	c.op("MOVL $512, CX")
	c.add(k.tableCounters(8))
	var filler code
	if k.open {
		filler.add(k.finishGroup(0, groupPowers), k.reduce())
	} else {
		c.op("VPSHUFB %s, Z0, Z0", z(rReverse))
		c.op("VMOVDQU64 Z0, slot-64(SP)")
		c.op("LEAQ slot-64(SP), R11")
		for v := 1; v < 8; v++ {
			filler.add(k.lastRound(0, v))
		}
	}
	c.add(weave(k.rounds(8, tableRounds+1, split), filler))
	c.add(k.tableCounters(0))
	c.add(k.forward(512))

	// Who works in place has just put the data there: it is in the cache.
	c.op("CMPQ SI, DI")
	c.op("JEQ near")
	c.add(k.loop("far", true), k.loop("near", false))
	for _, b := range []int{0, 8} {
		c.op("end%d:", b)
		// The counter of the vectors that were begun for nothing is that of the tail.
		c.op("LEAL -512(CX), AX")
		c.op("ANDL $%d, AX", tableSize-1)
		c.op("SHRL $4, AX")
		c.op("ADDL R13, AX")
		c.op("BSWAPL AX")
		c.op("XORL R12, AX")
		c.op("VMOVDQU64 base-128(SP), %s", z(rBase))
		c.op("VPBROADCASTD AX, K1, %s", z(rBase))
		if k.open {
			c.add(k.rounds(b, split+1, rounds-1))
		} else {
			c.add(weave(k.rounds(b, split+1, rounds-1), append(k.hashGroup(), k.reduce()...)))
		}
		c.add(k.finish(b, 0, 0))
		if b == 8 {
			c.op("JMP swap")
		} else {
			c.op("JMP epilogue")
		}
	}
	return c
}

// loop does steps until there is no whole group behind the one in hand. Then it goes to
// end8 or end0, as that is in registers 8 and up, or 0 and up.
func (k wide) loop(label string, fetch bool) (c code) {
	c.op("PCALIGN $64")
	c.op("%s:", label)
	c.add(k.step(0, 8, label, fetch))
	c.op("CMPQ DX, $1024")
	c.op("JLT end0")
	c.add(k.step(8, 0, label, fetch))
	c.op("CMPQ DX, $1024")
	c.op("JGE %s", label)
	c.op("JMP end8")
	return c
}

// step does the second half of the rounds of group b, and what is to be done with it
// then, and the first half of those of group a. It may fetch data ahead.
func (k wide) step(a, b int, label string, fetch bool) (c code) {
	c.op("TESTL CX, CX")
	c.op("JNZ %s%d", label, b)
	c.add(k.turnTable())
	c.op("%s%d:", label, b)
	var main, end code
	for r := range split - tableRounds {
		first, second := tableRounds+1+r, split+1+r
		if second < rounds {
			main.add(k.rounds(b, second, second), k.rounds(a, first, first))
		} else {
			end.add(k.rounds(a, first, first))
		}
	}
	var finish code
	for i := range 8 {
		v := (i + 1) % 8 // in the order in which they are hashed
		finish.add(k.lastRound(b, v))
		finish.op("VPXORD %d(R14)(CX*1), %s, %s", 64*v, z(rBase), z(b+v))
	}
	main.add(weave(end, finish))
	other := append(k.hashGroup(), k.reduce()...)
	if fetch {
		c.op("LEAQ -512(DX), AX")
		c.op("MOVL $%d, R10", prefetchAhead)
		c.op("CMPQ AX, R10")
		c.op("CMOVQGT R10, AX")
		other = weave(other, fetchGroup("AX"))
	}
	c.add(weave(main, other))
	if k.open {
		k.checkOrder(c)
	} else {
		c.op("MOVQ DI, R11")
	}
	c.op("ADDL $512, CX")
	c.op("ANDL $%d, CX", tableSize-1)
	c.add(k.forward(512))
	return c
}

// checkOrder makes sure that ciphertext is loaded before plaintext may take its place.
func (k wide) checkOrder(c code) {
	for v := range 8 {
		load := slices.Index(c, fmt.Sprintf("VMOVDQU64 %d(SI), %s", 64*v, z(rText)))
		store := slices.Index(c, fmt.Sprintf("VMOVDQU64 %s, %d(DI)", z(rTemp), 64*v))
		if load < 0 || store < load {
			panic(fmt.Sprintf("vector %d: loaded at %d, overwritten at %d", v, load, store))
		}
	}
}

// turnTable makes rBase what the states of the next 256 counters differ in from those
// in the table.
func (k wide) turnTable() (c code) {
	c.op("ADDL $%d, R13", tableSize/16)
	c.op("MOVL R13, AX")
	c.op("BSWAPL AX")
	c.op("XORL R12, AX")
	c.op("VMOVDQU64 base-128(SP), %s", z(rTemp))
	c.op("VPBROADCASTD AX, K1, %s", z(rTemp))
	for r := 1; r <= tableRounds; r++ {
		c.op("VAESENC %d(R8), %s, %s", keyRounds+64*r, z(rTemp), z(rTemp))
	}
	c.op("VBROADCASTI32X4 (R14), %s", z(rBase))
	c.op("VPXORD %s, %s, %s", z(rTemp), z(rBase), z(rBase))
	return c
}

// tableCounters sets group x to the next states of the table.
func (k wide) tableCounters(x int) (c code) {
	for v := range 8 {
		c.op("VPXORD %d(R14)(CX*1), %s, %s", 64*v, z(rBase), z(x+v))
	}
	c.op("ADDL $512, CX")
	return c
}

// lastRound is finish without anything to hash.
func (k wide) lastRound(x, v int) (c code) {
	c.op("VPXORD %d(SI), %s, %s", 64*v, z(rLastKey), z(rTemp))
	c.op("VAESENCLAST %s, %s, %s", z(rTemp), z(x+v), z(rTemp))
	c.op("VMOVDQU64 %s, %d(DI)", z(rTemp), 64*v)
	return c
}

// hashGroup hashes ciphertext from memory: when opening the group in hand, when
// sealing the one before it.
func (k wide) hashGroup() (c code) {
	for i := range 8 {
		v := (i + 1) % 8
		switch {
		case k.open:
			c.op("VMOVDQU64 %d(SI), %s", 64*v, z(rText))
		case v == 0:
			c.op("VMOVDQU64 (R11), %s", z(rText))
		default:
			c.op("VMOVDQU64 %d(DI), %s", 64*v-512, z(rText))
		}
		c.op("VPSHUFB %s, %s, %s", z(rReverse), z(rText), z(rText))
		c.add(k.hashVector(rText, v, groupPowers))
	}
	return c
}

// forward moves n bytes on.
func (k wide) forward(n int) (c code) {
	c.op("ADDQ $%d, DI", n)
	c.op("ADDQ $%d, SI", n)
	c.op("SUBQ $%d, DX", n)
	return c
}

// clearTable clears what a long kernel has left on the stack.
func (k wide) clearTable() (c code) {
	for at := 0; at < tableSize; at += 64 {
		c.op("VMOVDQU64 Z0, %d(R14)", at)
	}
	c.op("VMOVDQU64 Z0, base-128(SP)")
	return c
}
