package main

import "fmt"

// Registers of the AVX2 kernel: eight vectors of two blocks in 0 to 7, and what
// is left over.
const (
	yLo, yHi, yMid = 8, 9, 10 // sums of products, not reduced
	yText          = 11
	yTemp, yMore   = 12, 13
	yKey           = 14
	yBase          = 15 // counter block, twice, with the first round key
)

// avx2 writes the kernel on 256-bit vectors: that of the AVX-512 one with half the
// vector and half the registers. What is hashed is read from memory, where sealing
// has put it just before.
//
// Here too counters are one XOR away, from a base whose low four bits are zero. Blocks
// 0 and 1 of the message fill a vector of their own, so the data begins with the
// second one: a group has vectors 1 to 7 of a base and vector 0 of the next one.
func avx2(p *program) {
	p.constant("reverse", repeat(2, 0x08090a0b0c0d0e0f, 0x0001020304050607)...)
	p.constant("poly", repeat(4, polynomial)...)
	p.constant("keep", append(repeat(4, 1<<64-1), repeat(4, 0)...)...)
	var index []uint64
	for i := range uint64(16) {
		index = append(index, 0, i<<56)
	}
	p.constant("index", index...)
	for _, open := range []bool{false, true} {
		name, k := "sealAVX2", narrow{}
		if open {
			name, k = "openAVX2", narrow{open: true}
		}
		p.kernel(name, k.body())
	}
}

// narrow generates one direction of the kernel. General registers are those of
// wide. The hash so far is on the stack.
type narrow struct{ open bool }

func (k narrow) body() (c code) {
	c.add(kernelArguments())
	c.add(load128(stateCounter, yBase))
	c.op("VINSERTI128 $1, X%d, Y%d, Y%d", yBase, yBase, yBase)
	c.op("VPXOR %d(R8), Y%d, Y%d", keyRounds, yBase, yBase)
	c.op("MOVL %d(R8), R12", keyRounds+12)
	c.op("MOVL %d(R9), R13", stateCounter+12)
	c.op("BSWAPL R13")
	c.op("VMOVDQU %d(R9), X%d", stateHash, yHi)
	c.op("TESTQ $%d, BX", modeFirst)
	c.op("JZ started")

	// Block 1 masks the tag. The hash begins with the block in front of the data.
	c.op("VPXOR index<>+16(SB), X%d, X0", yBase)
	for r := 1; r < rounds; r++ {
		c.op("VAESENC %d(R8), X0, X0", keyRounds+64*r)
	}
	c.op("VAESENCLAST %d(R8), X0, X0", keyRounds+64*rounds)
	c.op("VMOVDQU X0, %d(R9)", stateMask)
	c.add(load128(stateX, yText))
	c.op("VPSHUFB reverse<>(SB), X%d, X%d", yText, yText)
	c.add(k.block(), k.reduce())
	c.op("started:")
	c.op("VMOVDQU Y%d, hash-64(SP)", yHi)

	c.op("CMPQ DX, $256")
	c.op("JLT tail")
	if k.open {
		c.op("PCALIGN $64")
		c.op("loop:")
		c.add(k.counters(), weave(k.rounds(), k.hashGroup("SI", 0)), k.finish())
		c.op("CMPQ DX, $256")
		c.op("JGE loop")
	} else {
		c.add(k.counters(), k.rounds(), k.finish())
		c.op("CMPQ DX, $256")
		c.op("JLT epilogue")
		c.op("PCALIGN $64")
		c.op("loop:")
		c.add(k.counters(), weave(k.rounds(), k.hashGroup("DI", -256)), k.finish())
		c.op("CMPQ DX, $256")
		c.op("JGE loop")
		c.op("epilogue:")
		c.add(k.hashGroup("DI", -256))
	}
	c.op("tail:")
	c.op("TESTQ $%d, BX", modeLast)
	c.op("JZ save")
	c.add(k.tail())

	c.op("done:")
	c.add(clearRegisters(16))
	c.op("VMOVDQU Y0, slot-32(SP)")
	c.op("VMOVDQU Y0, hash-64(SP)")
	c.op("XORL R12, R12")
	c.op("XORL AX, AX")
	c.op("VZEROUPPER")
	c.op("RET")

	c.op("save:")
	c.op("VMOVDQU hash-64(SP), X0")
	c.op("VMOVDQU X0, %d(R9)", stateHash)
	c.op("JMP done")
	return c
}

// counters sets all vectors to counter blocks behind the first round of AES, and
// moves yBase to the next group.
func (k narrow) counters() (c code) {
	for v := range 7 {
		c.op("VPXOR index<>+%d(SB), Y%d, Y%d", 32*(v+1), yBase, v)
	}
	c.add(k.nextBase())
	c.op("VPXOR index<>(SB), Y%d, Y7", yBase)
	return c
}

func (k narrow) nextBase() (c code) {
	c.op("ADDL $16, R13")
	c.op("MOVL R13, AX")
	c.op("BSWAPL AX")
	c.op("XORL R12, AX")
	c.op("VMOVD AX, X%d", yTemp)
	c.op("VPBROADCASTD X%d, Y%d", yTemp, yTemp)
	c.op("VPBLENDD $0x88, Y%d, Y%d, Y%d", yTemp, yBase, yBase)
	return c
}

// rounds does rounds 1 to 13 on all vectors.
func (k narrow) rounds() (c code) {
	for r := 1; r < rounds; r++ {
		c.op("VMOVDQU %d(R8), Y%d", keyRounds+64*r, yKey)
		for v := range 8 {
			c.op("VAESENC Y%d, Y%d, Y%d", yKey, v, v)
		}
	}
	return c
}

// finish does the last round on all vectors and goes on to the next group.
func (k narrow) finish() (c code) {
	c.op("VMOVDQU %d(R8), Y%d", keyRounds+64*rounds, yKey)
	for v := range 8 {
		temp := yTemp + v%2
		c.op("VPXOR %d(SI), Y%d, Y%d", 32*v, yKey, temp)
		c.op("VAESENCLAST Y%d, Y%d, Y%d", temp, v, v)
	}
	for v := range 8 {
		c.op("VMOVDQU Y%d, %d(DI)", v, 32*v)
	}
	c.op("ADDQ $256, SI")
	c.op("ADDQ $256, DI")
	c.op("SUBQ $256, DX")
	return c
}

// product multiplies yText with powers of H at key offset at, by Karatsuba's three
// products, and adds to the sums, or sets them.
func (k narrow) product(at string, set bool) (c code) {
	lo, hi, mid := yTemp, yTemp, yMore
	if set {
		lo, hi, mid = yLo, yHi, yMid
	}
	c.op("VPCLMULQDQ $0x00, %d+%s, Y%d, Y%d", keyPowers, at, yText, lo)
	if !set {
		c.op("VPXOR Y%d, Y%d, Y%d", lo, yLo, yLo)
	}
	c.op("VPCLMULQDQ $0x11, %d+%s, Y%d, Y%d", keyPowers, at, yText, hi)
	if !set {
		c.op("VPXOR Y%d, Y%d, Y%d", hi, yHi, yHi)
	}
	c.op("VPSHUFD $0x4e, Y%d, Y%d", yText, mid)
	c.op("VPXOR Y%d, Y%d, Y%d", yText, mid, mid)
	c.op("VPCLMULQDQ $0x00, %d+%s, Y%d, Y%d", keyKaratsuba, at, mid, mid)
	if !set {
		c.op("VPXOR Y%d, Y%d, Y%d", mid, yMid, yMid)
	}
	return c
}

// block sets the sums to the product of the lower half of yText with H.
func (k narrow) block() (c code) {
	const last = 16 * (powerCount - 1)
	c.op("VMOVDQU %d(R8), X%d", keyPowers+last, yTemp)
	c.op("VPCLMULQDQ $0x00, X%d, X%d, X%d", yTemp, yText, yLo)
	c.op("VPCLMULQDQ $0x11, X%d, X%d, X%d", yTemp, yText, yHi)
	c.op("VPSHUFD $0x4e, X%d, X%d", yText, yMid)
	c.op("VPXOR X%d, X%d, X%d", yText, yMid, yMid)
	c.op("VMOVDQU %d(R8), X%d", keyKaratsuba+last, yTemp)
	c.op("VPCLMULQDQ $0x00, X%d, X%d, X%d", yTemp, yMid, yMid)
	return c
}

// reduce puts to yHi what the sums are modulo the polynomial, and adds up the lanes.
func (k narrow) reduce() (c code) {
	c.op("VPXOR Y%d, Y%d, Y%d", yLo, yMid, yMid)
	c.op("VPXOR Y%d, Y%d, Y%d", yHi, yMid, yMid)
	c.op("VPCLMULQDQ $0x00, poly<>(SB), Y%d, Y%d", yLo, yTemp)
	c.op("VPSHUFD $0x4e, Y%d, Y%d", yLo, yLo)
	c.op("VPXOR Y%d, Y%d, Y%d", yTemp, yMid, yMid)
	c.op("VPXOR Y%d, Y%d, Y%d", yLo, yMid, yMid)
	c.op("VPCLMULQDQ $0x00, poly<>(SB), Y%d, Y%d", yMid, yTemp)
	c.op("VPSHUFD $0x4e, Y%d, Y%d", yMid, yMid)
	c.op("VPXOR Y%d, Y%d, Y%d", yTemp, yHi, yHi)
	c.op("VPXOR Y%d, Y%d, Y%d", yMid, yHi, yHi)
	c.op("VEXTRACTI128 $1, Y%d, X%d", yHi, yTemp)
	c.op("VPXOR X%d, X%d, X%d", yTemp, yHi, yHi)
	return c
}

// hashGroup hashes the group at offset off of a register, the vector that needs the
// hash so far last.
func (k narrow) hashGroup(register string, off int) (c code) {
	for _, v := range []int{1, 2, 3, 4, 5, 6, 7, 0} {
		c.op("VMOVDQU %d(%s), Y%d", off+32*v, register, yText)
		c.op("VPSHUFB reverse<>(SB), Y%d, Y%d", yText, yText)
		if v == 0 {
			c.op("VPXOR hash-64(SP), Y%d, Y%d", yText, yText)
		}
		c.add(k.product(fmt.Sprintf("%d(R8)", 16*(powerCount-16)+32*v), v == 1))
	}
	c.add(k.reduce())
	c.op("VMOVDQU Y%d, hash-64(SP)", yHi)
	return c
}

// tail does what is less than a group, vector by vector, and the tag.
func (k narrow) tail() (c code) {
	// The length block begins the sums: it waits for nothing. BX is at the
	// powers for the vector in hand, CX at the constants for its counters.
	c.add(load128(stateLengths, yText))
	c.op("VPSHUFB reverse<>(SB), X%d, X%d", yText, yText)
	c.op("LEAQ 15(DX), CX")
	c.op("ANDQ $~15, CX") // bytes of all blocks
	c.op("JNZ blocks")
	c.op("VPXOR hash-64(SP), X%d, X%d", yText, yText) // the only block there is
	c.op("blocks:")
	c.add(k.block())
	c.op("TESTQ DX, DX")
	c.op("JZ tag")
	c.op("LEAQ %d(R8), BX", keyPowers+16*(powerCount-1))
	c.op("SUBQ CX, BX")
	c.op("LEAQ index<>+32(SB), CX")

	c.op("vector:")
	c.op("VPXOR (CX), Y%d, Y0", yBase)
	for r := 1; r < rounds; r++ {
		c.op("VAESENC %d(R8), Y0, Y0", keyRounds+64*r)
	}
	c.op("VMOVDQU %d(R8), Y%d", keyRounds+64*rounds, yKey)
	c.op("CMPQ DX, $32")
	c.op("JLT partial")
	c.op("VMOVDQU (SI), Y%d", yText)
	c.op("VPXOR Y%d, Y%d, Y1", yText, yKey)
	c.op("VAESENCLAST Y1, Y0, Y0")
	c.op("VMOVDQU Y0, (DI)")
	if !k.open {
		c.op("VMOVDQA Y0, Y%d", yText)
	}
	c.op("hash:")
	c.op("VPSHUFB reverse<>(SB), Y%d, Y%d", yText, yText)
	c.op("VPXOR hash-64(SP), Y%d, Y%d", yText, yText)
	c.op("VPXOR Y1, Y1, Y1")
	c.op("VMOVDQU Y1, hash-64(SP)")
	c.add(k.product("0(BX)", false))
	c.op("ADDQ $32, BX")
	c.op("ADDQ $32, SI")
	c.op("ADDQ $32, DI")
	c.op("ADDQ $32, CX")
	c.op("LEAQ index<>+256(SB), AX")
	c.op("CMPQ CX, AX")
	c.op("JNE same")
	c.add(k.nextBase())
	c.op("LEAQ index<>(SB), CX")
	c.op("same:")
	c.op("SUBQ $32, DX")
	c.op("JG vector")
	c.op("JMP tag")

	// The last vector, not whole: through the stack, so that no instruction
	// touches what lies behind the buffers.
	c.op("partial:")
	c.op("VPXOR Y1, Y1, Y1")
	c.op("VMOVDQU Y1, slot-32(SP)")
	c.op("MOVQ SI, R10")
	c.op("LEAQ slot-32(SP), R11")
	c.op("MOVQ DX, CX")
	c.add(copyBytes("in", 16, 1))
	c.op("VMOVDQU slot-32(SP), Y%d", yText)
	c.op("VPXOR Y%d, Y%d, Y1", yText, yKey)
	c.op("VAESENCLAST Y1, Y0, Y0")
	c.op("VMOVDQU Y0, slot-32(SP)")
	c.op("LEAQ slot-32(SP), R10")
	c.op("MOVQ DI, R11")
	c.add(copyBytes("out", 16, 1))
	if !k.open {
		c.op("LEAQ keep<>+32(SB), AX")
		c.op("SUBQ DX, AX")
		c.op("VPAND (AX), Y0, Y%d", yText)
	}
	c.op("JMP hash")

	c.op("tag:")
	c.add(k.reduce())
	c.op("VPSHUFB reverse<>(SB), X%d, X0", yHi)
	c.op("VPXOR %d(R9), X0, X0", stateMask)
	c.op("VMOVDQU X0, %d(R9)", stateTag)
	c.op("VPXOR X0, X0, X0")
	c.op("VMOVDQU X0, %d(R9)", stateMask)
	return c
}
