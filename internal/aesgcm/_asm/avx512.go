package main

import "fmt"

// Registers of the AVX-512 kernel. Two groups of eight take turns: while the
// rounds of AES run on one, the other is finished and hashed.
const (
	groupBlocks = 32
	groupAt     = keyPowers + 16*(powerCount-groupBlocks) // its powers

	rLo, rHi, rMid = 16, 17, 18 // sums of products, not reduced
	rP             = 19         // 19 to 21: a product
	rQ             = 22         // 22 to 24: another one
	rKey           = 25         // the round key at hand
	rText          = 26
	rTemp          = 29
	rReverse       = 27 // shuffle that reverses the bytes of a block
	rBase          = 28 // counter block, four times, with the first round key
	rLastKey       = 30
	rHash          = 31 // GHASH so far, in the lowest lane
)

// powerTable is where the powers of H for the vectors of a group are.
type powerTable struct {
	register string
	offset   int
}

var groupPowers = powerTable{"R8", groupAt}

func z(n int) string { return fmt.Sprintf("Z%d", n) }

// avx512 writes the kernel on 512-bit vectors. A vector is four blocks, a group
// eight vectors.
//
// The message is a row of blocks that begins with block counter 0, so that groups
// begin where the low five bits of the counter are zero and a counter block is
// one XOR with a constant away. Blocks 0 and 1 are no data: the key stream of
// block 1 is what masks the tag, and to the hash they are 0 and the associated
// data. So the first vector, its upper half being data, does all that GCM needs
// beside its data but the length block.
func avx512(p *program) {
	p.constant("reverse", repeat(4, 0x08090a0b0c0d0e0f, 0x0001020304050607)...)
	p.constant("poly", repeat(8, polynomial)...)
	var index []uint64
	for i := range uint64(groupBlocks) {
		index = append(index, 0, i<<56)
	}
	p.constant("index", index...)
	for _, open := range []bool{false, true} {
		name := "sealAVX512"
		if open {
			name = "openAVX512"
		}
		p.kernel(name, wide{open: open}.body())
		p.longKernel(name+"Long", wide{open: open, long: true}.body())
	}
	p.function("authenticateAVX512", "(k *expanded, s *state, src *byte, n int)", 64, 32, wide{open: true, hashOnly: true}.authenticate())
}

// wide generates one direction of the kernel. Registers: DI, SI where in dst and
// src the group in hand begins, DX how many bytes there are from there, R8 key,
// R9 state, R12 the last word of the first round key, R13 the counter of the
// group after next.
type wide struct {
	open     bool
	long     bool // for long messages
	hashOnly bool // leaves out encryption
}

func (k wide) body() (c code) {
	c.add(kernelArguments())
	c.op("VMOVDQU64 reverse<>(SB), %s", z(rReverse))
	c.op("VMOVDQU64 %d(R8), %s", keyRounds+64*rounds, z(rLastKey))
	c.op("VMOVDQU %d(R9), X0", stateHash)
	c.op("VMOVDQA64 Z0, %s", z(rHash))
	c.add(load128(stateCounter, 1))
	c.op("VSHUFI64X2 $0, Z1, Z1, %s", z(rBase))
	c.op("VPXORD %d(R8), %s, %s", keyRounds, z(rBase), z(rBase))
	c.op("MOVL %d(R8), R12", keyRounds+12)
	c.op("MOVL %d(R9), R13", stateCounter+12)
	c.op("BSWAPL R13")
	c.op("MOVL $0x8888, AX") // the last word of each block
	c.op("KMOVW AX, K1")

	// Blocks 0 and 1 stand in front of the data, without a place in memory.
	c.op("TESTQ $%d, BX", modeFirst)
	c.op("JZ started")
	c.op("SUBQ $32, DI")
	c.op("SUBQ $32, SI")
	c.op("ADDQ $32, DX")
	c.op("started:")
	if k.long {
		c.add(k.longMessage())
	} else {
		c.add(k.shortMessage())
	}
	c.op("swap:")
	for v := range 8 {
		c.op("VMOVDQA64 %s, %s", z(8+v), z(v))
	}
	c.op("epilogue:")
	c.op("ANDQ $~%d, BX", modeFirst) // no first vector in the tail
	c.op("LEAQ %d(R8), R10", groupAt)
	c.op("LEAQ -512+15(DX), CX") // bytes of all blocks behind the group …
	c.op("ANDQ $~15, CX")
	c.op("CMPQ CX, $48")
	c.op("JA apart")
	c.op("TESTQ $%d, BX", modeLast)
	c.op("JZ apart")
	c.op("SUBQ CX, R10") // … few enough, with the length block, for the same sums
	c.op("SUBQ $16, R10")
	c.op("apart:")
	c.add(k.finishGroup(0, powerTable{"R10", 0}))
	c.op("ADDQ $512, DI")
	c.op("ADDQ $512, SI")
	c.op("SUBQ $512, DX")
	c.op("LEAQ %d(R8), AX", groupAt)
	c.op("CMPQ R10, AX")
	c.op("JNE together")
	c.add(k.reduce())
	c.op("tail:")
	c.add(k.clearSums())
	c.op("TESTQ $%d, BX", modeLast)
	c.op("JZ save")
	c.op("JMP lengths")
	c.op("together:")
	c.op("VPXORD %s, %s, %s", z(rHash), z(rHash), z(rHash))
	c.op("lengths:")
	c.add(k.tail())

	c.op("done:")
	c.add(k.leave())

	c.op("save:")
	c.op("VMOVDQA64 %s, Z0", z(rHash))
	c.op("VMOVDQU X0, %d(R9)", stateHash)
	c.op("JMP done")
	return c
}

// leave clears what is secret and returns.
func (k wide) leave() (c code) {
	c.add(clearRegisters(16))
	if k.long {
		c.add(k.clearTable())
	}
	for i := 16; i < 32; i++ {
		c.op("VPXORD X%d, X%d, X%d", i, i, i)
	}
	c.op("VMOVDQU64 Z0, slot-64(SP)")
	c.op("XORL R12, R12")
	c.op("XORL AX, AX")
	c.op("VZEROUPPER")
	c.op("RET")
	return c
}

// shortMessage does all groups but the last one, for which it goes to swap or
// epilogue; without any it goes to tail.
func (k wide) shortMessage() (c code) {
	c.op("CMPQ DX, $512")
	c.op("JLT tail")

	// The first group has no other one beside it.
	c.add(k.counters(0), weave(k.rounds(0, 1, rounds-1), k.nextBase()))
	c.add(k.finishFirst())
	c.op("CMPQ DX, $1024")
	c.op("JLT epilogue")
	c.add(k.counters(8))
	c.op("PCALIGN $64")
	c.op("loop:")
	c.add(k.iteration(8, 0))
	c.op("CMPQ DX, $1024")
	c.op("JLT swap")
	c.add(k.iteration(0, 8))
	c.op("CMPQ DX, $1024")
	c.op("JGE loop")
	c.op("JMP epilogue")
	return c
}

// finishFirst is finish for vector 0 of the call's first group, which may begin the
// message.
func (k wide) finishFirst() (c code) {
	c.op("TESTQ $%d, BX", modeFirst)
	c.op("JZ inside")
	c.add(k.firstVector(0, "Group", false))
	c.op("JMP group")
	c.op("inside:")
	c.add(k.finish(0, 0, 0))
	c.op("group:")
	return c
}

// counters sets group x to the counter blocks that rBase stands for, which are also
// behind the first round of AES.
func (k wide) counters(x int) (c code) {
	for v := range 8 {
		c.op("VPXORD index<>+%d(SB), %s, %s", 64*v, z(rBase), z(x+v))
	}
	return c
}

// nextBase moves rBase to the next group.
func (k wide) nextBase() (c code) {
	c.op("ADDL $%d, R13", groupBlocks)
	c.op("MOVL R13, AX")
	c.op("BSWAPL AX")
	c.op("XORL R12, AX")
	c.op("VPBROADCASTD AX, K1, %s", z(rBase))
	return c
}

// rounds does some rounds on group x. Reading a round key once is cheaper than
// giving it to each instruction as an operand in memory.
func (k wide) rounds(x, from, to int) (c code) { return k.roundsBy(rKey, x, from, to) }

// roundsBy is rounds with a register for the round keys.
func (k wide) roundsBy(key, x, from, to int) (c code) {
	for r := from; r <= to; r++ {
		c.op("VMOVDQU64 %d(R8), %s", keyRounds+64*r, z(key))
		for v := range 8 {
			c.op("VAESENC %s, %s, %s", z(key), z(x+v), z(x+v))
		}
	}
	return c
}

// finish does the last round on vector v of group x, whose data is at offset off of
// SI and DI, and leaves in its place what is to be hashed.
func (k wide) finish(x, v, off int) (c code) {
	off += 64 * v
	if k.open {
		c.op("VMOVDQU64 %d(SI), %s", off, z(rText))
		c.op("VPXORD %s, %s, %s", z(rText), z(rLastKey), z(rTemp))
		c.op("VAESENCLAST %s, %s, %s", z(rTemp), z(x+v), z(rTemp))
		c.op("VMOVDQU64 %s, %d(DI)", z(rTemp), off)
		c.op("VPSHUFB %s, %s, %s", z(rReverse), z(rText), z(x+v))
		return c
	}
	c.op("VPXORD %d(SI), %s, %s", off, z(rLastKey), z(rTemp))
	c.op("VAESENCLAST %s, %s, %s", z(rTemp), z(x+v), z(x+v))
	c.op("VMOVDQU64 %s, %d(DI)", z(x+v), off)
	c.op("VPSHUFB %s, %s, %s", z(rReverse), z(x+v), z(x+v))
	return c
}

// product multiplies x with powers of H at key offset at, to registers lo, hi and
// mid: Karatsuba's three products instead of four.
func (k wide) product(x int, at string, lo, hi, mid int) (c code) {
	c.op("VPCLMULQDQ $0x00, %s, %s, %s", at, z(x), z(lo))
	c.op("VPSHUFD $0x4e, %s, %s", z(x), z(mid))
	c.op("VPCLMULQDQ $0x11, %s, %s, %s", at, z(x), z(hi))
	c.op("VPXORD %s, %s, %s", z(x), z(mid), z(mid))
	c.op("VPCLMULQDQ $0x00, %d+%s, %s, %s", keyKaratsuba-keyPowers, at, z(mid), z(mid))
	return c
}

// hashVector hashes register x, which is vector v of a group, with powers at a
// register. The vector that needs the hash so far comes last: then that has had the
// most time to be ready.
func (k wide) hashVector(x, v int, p powerTable) (c code) {
	at := fmt.Sprintf("%d(%s)", p.offset+64*v, p.register)
	const sum, both = "VPTERNLOGD $0x96, %s, %s, %s", "VPXORD %s, %s, %s"
	switch v {
	case 1:
		return k.product(x, at, rLo, rHi, rMid)
	case 0:
		c.op(both, z(rHash), z(x), z(x))
		c.add(k.product(x, at, rP, rP+1, rP+2))
		c.op(both, z(rP), z(rLo), z(rLo))
		c.op(both, z(rP+1), z(rHi), z(rHi))
		c.op(both, z(rP+2), z(rMid), z(rMid))
		return c
	case 2, 4, 6:
		return k.product(x, at, rP, rP+1, rP+2)
	}
	c.add(k.product(x, at, rQ, rQ+1, rQ+2))
	c.op(sum, z(rP), z(rQ), z(rLo))
	c.op(sum, z(rP+1), z(rQ+1), z(rHi))
	c.op(sum, z(rP+2), z(rQ+2), z(rMid))
	return c
}

// reduce puts to rHash what the sums are modulo the polynomial, and adds up the
// lanes.
func (k wide) reduce() (c code) {
	const sum = "VPTERNLOGD $0x96, %s, %s, %s"
	c.op(sum, z(rLo), z(rHi), z(rMid))
	c.op("VPCLMULQDQ $0x00, poly<>(SB), %s, %s", z(rLo), z(rP))
	c.op("VPSHUFD $0x4e, %s, %s", z(rLo), z(rLo))
	c.op(sum, z(rP), z(rLo), z(rMid))
	c.op("VPCLMULQDQ $0x00, poly<>(SB), %s, %s", z(rMid), z(rP))
	c.op("VPSHUFD $0x4e, %s, %s", z(rMid), z(rMid))
	c.op(sum, z(rP), z(rMid), z(rHi))
	c.op("VEXTRACTI64X4 $1, %s, Y%d", z(rHi), rP)
	c.op("VPXORD Y%d, Y%d, Y%d", rP, rHi, rP)
	c.op("VEXTRACTI32X4 $1, Y%d, X%d", rP, rMid)
	c.op("VPXORD X%d, X%d, X%d", rP, rMid, rHash)
	return c
}

// finishGroup finishes and hashes group x, whose vector 0 is finished already.
func (k wide) finishGroup(x int, p powerTable) (c code) {
	c.add(k.finish(x, 1, 0), k.finish(x, 2, 0))
	for v := 1; v < 8; v++ {
		c.add(k.hashVector(x+v, v, p))
		if v+2 < 8 {
			c.add(k.finish(x, v+2, 0))
		}
	}
	c.add(k.hashVector(x, 0, p))
	return c
}

// iteration runs the rounds of group x while the group in hand, which is in y, is
// finished and hashed and y gets new counters. Then x is the one in hand.
func (k wide) iteration(x, y int) (c code) {
	filler := k.nextBase()
	// Data 4 KiB ahead, or as far as there is any: a prefetch of a page that is
	// not present takes a hundred times as long as the others.
	filler.op("LEAQ -512(DX), CX")
	filler.op("MOVL $%d, AX", prefetchAhead)
	filler.op("CMPQ CX, AX")
	filler.op("CMOVQGT AX, CX")
	rest := k.finishGroup(y, groupPowers)
	rest.add(k.reduce())
	filler.add(weave(rest, fetchGroup("CX")), k.counters(y))
	c.add(weave(k.rounds(x, 1, rounds-1), filler))
	c.add(k.finish(x, 0, 512))
	c.op("ADDQ $512, DI")
	c.op("ADDQ $512, SI")
	c.op("SUBQ $512, DX")
	return c
}

// fetchGroup brings to the cache what is so far behind the group in hand.
func fetchGroup(distance string) (c code) {
	for v := range 8 {
		c.op("PREFETCHT0 %d(SI)(%s*1)", 64*v, distance)
		c.op("PREFETCHT0 %d(DI)(%s*1)", 64*v, distance)
	}
	return c
}

// firstVector does the last round on the vector x that begins the message and
// leaves in its place what is to be hashed. partial allows it to have less than 32
// bytes of data.
func (k wide) firstVector(x int, label string, partial bool) (c code) {
	c.op("VAESENCLAST %s, %s, %s", z(rLastKey), z(x), z(x))
	c.op("VEXTRACTI32X4 $1, %s, X%d", z(x), rTemp)
	c.op("VMOVDQU64 X%d, %d(R9)", rTemp, stateMask)
	c.op("VEXTRACTI64X4 $1, %s, Y%d", z(x), rTemp)
	if partial {
		c.op("LEAQ -32(DX), CX") // bytes of data
		c.op("CMPQ CX, $32")
		c.op("JGE whole%s", label)
		c.op("VPXOR X1, X1, X1")
		c.op("VMOVDQU64 Z1, slot-64(SP)")
		c.op("LEAQ 32(SI), R10")
		c.op("LEAQ slot-64(SP), R11")
		c.add(copyBytes("firstIn", 16, 1))
		c.op("VMOVDQU64 slot-64(SP), Y%d", rText)
		c.op("VPXORD Y%d, Y%d, Y%d", rTemp, rText, rTemp)
		c.op("VMOVDQU64 Y%d, slot-64(SP)", rTemp)
		c.op("LEAQ -32(DX), CX")
		c.op("LEAQ slot-64(SP), R10")
		c.op("LEAQ 32(DI), R11")
		c.op("MOVQ $-1, AX")
		c.op("BZHIQ CX, AX, AX")
		c.op("KMOVD AX, K2")
		c.add(copyBytes("firstOut", 16, 1))
		if !k.open {
			c.op("VMOVDQU8.Z Y%d, K2, Y%d", rTemp, rText)
		}
		c.op("JMP hash%s", label)
		c.op("whole%s:", label)
	}
	c.op("VMOVDQU64 32(SI), Y%d", rText)
	c.op("VPXORD Y%d, Y%d, Y%d", rTemp, rText, rTemp)
	c.op("VMOVDQU64 Y%d, 32(DI)", rTemp)
	if !k.open {
		c.op("VMOVDQA64 Y%d, Y%d", rTemp, rText)
	}
	if partial {
		c.op("hash%s:", label)
	}
	c.add(load128(stateX, rTemp))
	c.op("VPXORD X%d, X%d, X%d", rP, rP, rP)
	c.op("VINSERTI32X4 $1, X%d, Y%d, Y%d", rTemp, rP, rP)
	c.op("VINSERTI64X4 $1, Y%d, %s, %s", rText, z(rP), z(rP))
	c.op("VPSHUFB %s, %s, %s", z(rReverse), z(rP), z(x))
	return c
}

func (k wide) clearSums() (c code) {
	for _, sum := range []int{rLo, rHi, rMid} {
		c.op("VPXORD %s, %s, %s", z(sum), z(sum), z(sum))
	}
	return c
}

// tail does what is less than a group, vector by vector, and the tag.
func (k wide) tail() (c code) {
	// The length block comes first: it waits for nothing. R13 is at the powers for
	// the vector in hand, R12 at the constants for its counters.
	c.add(load128(stateLengths, 3))
	c.op("VPSHUFB X%d, X3, X3", rReverse)
	c.op("LEAQ 15(DX), CX")
	c.op("ANDQ $~15, CX") // bytes of all blocks
	c.op("JNZ blocks")
	c.op("VPXORD X%d, X3, X3", rHash) // the length block is the only one left
	c.op("blocks:")
	last := keyPowers + 16*(powerCount-1)
	c.op("VMOVDQU %d(R8), X4", last)
	c.op("VPCLMULQDQ $0x00, X4, X3, X5")
	c.op("VPXORD Z5, %s, %s", z(rLo), z(rLo))
	c.op("VPCLMULQDQ $0x11, X4, X3, X5")
	c.op("VPXORD Z5, %s, %s", z(rHi), z(rHi))
	c.op("VPSHUFD $0x4e, X3, X5")
	c.op("VPXOR X3, X5, X5")
	c.op("VMOVDQU %d(R8), X4", last+keyKaratsuba-keyPowers)
	c.op("VPCLMULQDQ $0x00, X4, X5, X5")
	c.op("VPXORD Z5, %s, %s", z(rMid), z(rMid))
	c.op("TESTQ DX, DX")
	c.op("JZ tag")
	c.op("LEAQ %d(R8), R13", last)
	c.op("SUBQ CX, R13")
	if !k.hashOnly {
		c.op("LEAQ index<>(SB), R12")

		// A message that begins here.
		c.op("TESTQ $%d, BX", modeFirst)
		c.op("JZ vector")
		c.add(k.tailRounds())
		c.add(k.firstVector(0, "Tail", true))
		c.op("JMP hash")
	}

	c.op("PCALIGN $32")
	c.op("vector:")
	if !k.hashOnly {
		c.add(k.tailRounds())
	}
	c.op("CMPQ DX, $64")
	c.op("JLT partial")
	if k.hashOnly {
		c.op("VMOVDQU64 (SI), Z1")
		c.op("VPSHUFB %s, Z1, Z0", z(rReverse))
	} else if k.open {
		c.op("VMOVDQU64 (SI), Z1")
		c.op("VPXORD %s, Z1, Z2", z(rLastKey))
		c.op("VAESENCLAST Z2, Z0, Z2")
		c.op("VMOVDQU64 Z2, (DI)")
		c.op("VPSHUFB %s, Z1, Z0", z(rReverse))
	} else {
		c.op("VPXORD (SI), %s, Z2", z(rLastKey))
		c.op("VAESENCLAST Z2, Z0, Z0")
		c.op("VMOVDQU64 Z0, (DI)")
		c.op("VPSHUFB %s, Z0, Z0", z(rReverse))
	}
	c.op("hash:")
	c.op("VPXORD %s, Z0, Z0", z(rHash))
	c.op("VPXORD %s, %s, %s", z(rHash), z(rHash), z(rHash))
	c.add(k.product(0, "0(R13)", rP, rP+1, rP+2))
	c.op("VPXORD %s, %s, %s", z(rP), z(rLo), z(rLo))
	c.op("VPXORD %s, %s, %s", z(rP+1), z(rHi), z(rHi))
	c.op("VPXORD %s, %s, %s", z(rP+2), z(rMid), z(rMid))
	c.op("ADDQ $64, R12")
	c.op("ADDQ $64, R13")
	c.op("ADDQ $64, SI")
	c.op("ADDQ $64, DI")
	c.op("SUBQ $64, DX")
	c.op("JG vector")
	c.op("JMP tag")

	// The last vector, not whole. Where the pages of both buffers hold a whole one,
	// a mask keeps off what is not ours; a mask on a page that is not present would
	// be correct and slow.
	c.op("partial:")
	c.op("MOVQ $-1, AX")
	c.op("BZHIQ DX, AX, AX")
	c.op("KMOVQ AX, K2")
	c.op("LEAQ 63(SI), AX")
	c.op("XORQ SI, AX")
	if !k.hashOnly {
		c.op("LEAQ 63(DI), CX")
		c.op("XORQ DI, CX")
		c.op("ORQ CX, AX")
	}
	c.op("CMPQ AX, $4096")
	c.op("JAE stack")
	c.op("VMOVDQU8.Z (SI), K2, Z1")
	if !k.hashOnly {
		c.op("VPXORD %s, Z1, Z2", z(rLastKey))
		c.op("VAESENCLAST Z2, Z0, Z2")
		c.op("VMOVDQU8 Z2, K2, (DI)")
	}
	c.op("partialHash:")
	if k.open {
		c.op("VPSHUFB %s, Z1, Z0", z(rReverse))
	} else {
		c.op("VMOVDQU8.Z Z2, K2, Z0")
		c.op("VPSHUFB %s, Z0, Z0", z(rReverse))
	}
	c.op("JMP hash")

	// Elsewhere it goes through the stack.
	c.op("stack:")
	c.op("VPXOR X1, X1, X1")
	c.op("VMOVDQU64 Z1, slot-64(SP)")
	c.op("MOVQ SI, R10")
	c.op("LEAQ slot-64(SP), R11")
	c.op("MOVQ DX, CX")
	c.add(copyBytes("in", 32, 1))
	c.op("VMOVDQU64 slot-64(SP), Z1")
	if !k.hashOnly {
		c.op("VPXORD %s, Z1, Z2", z(rLastKey))
		c.op("VAESENCLAST Z2, Z0, Z2")
		c.op("VMOVDQU64 Z2, slot-64(SP)")
		c.op("LEAQ slot-64(SP), R10")
		c.op("MOVQ DI, R11")
		c.add(copyBytes("out", 32, 3))
	}
	c.op("JMP partialHash")

	c.op("tag:")
	c.add(k.reduce())
	c.op("VPSHUFB X%d, X%d, X%d", rReverse, rHash, rTemp)
	c.op("VPXORD %d(R9), X%d, X%d", stateMask, rTemp, rTemp)
	c.op("VMOVDQU64 X%d, %d(R9)", rTemp, stateTag)
	c.op("VPXOR X0, X0, X0")
	c.op("VMOVDQU X0, %d(R9)", stateMask)
	return c
}

// tailRounds does rounds 1 to 13 on the next vector, Z0. These loops are short
// enough to overlap by themselves.
func (k wide) tailRounds() (c code) {
	c.op("VPXORD (R12), %s, Z0", z(rBase))
	for r := 1; r < rounds; r++ {
		c.op("VAESENC %d(R8), Z0, Z0", keyRounds+64*r)
	}
	return c
}
