package main

import "fmt"

// Registers of the kernels on 256-bit and 128-bit vectors: eight vectors in 0 to 7, and
// what is left over.
const (
	yLo, yHi, yMid = 8, 9, 10 // sums of products, not reduced
	yText          = 11
	yTemp, yMore   = 12, 13
	yKey           = 14
	yBase          = 15 // counter block, in every lane, with the first round key
)

// narrowKernels writes the kernels on 256-bit and on 128-bit vectors: that of the AVX-512
// one with half the registers, and half or a quarter of the vector. What is hashed is
// read from memory, where sealing has put it just before.
//
// Here too counters are one XOR away, from a base whose low bits are zero. Blocks 0 and
// 1 of the message are done beforehand, so the data begins with block 2 of a base: a group
// has the others of a base and the first two of the next one.
func narrowKernels(lanes int) func(p *program) {
	return func(p *program) {
		p.constant("reverse", repeat(2, 0x08090a0b0c0d0e0f, 0x0001020304050607)...)
		p.constant("poly", repeat(4, polynomial)...)
		p.constant("keep", append(repeat(4, 1<<64-1), repeat(4, 0)...)...)
		var index []uint64
		for i := range uint64(8 * lanes) {
			index = append(index, 0, i<<56)
		}
		p.constant("index", index...)
		name := map[int]string{1: "AVX", 2: "AVX2"}[lanes]
		p.kernel("seal"+name, narrow{lanes: lanes}.body())
		p.kernel("open"+name, narrow{lanes: lanes, open: true}.body())
	}
}

// narrow generates one direction of a kernel. General registers are those of
// wide. The hash so far is on the stack.
type narrow struct {
	lanes int // blocks in a vector
	open  bool
}

// v is a vector register.
func (k narrow) v(n int) string { return string(" XY"[k.lanes]) + fmt.Sprint(n) }

// size is how many bytes a vector has, group how many eight of them have.
func (k narrow) size() int  { return 16 * k.lanes }
func (k narrow) group() int { return 8 * k.size() }

func (k narrow) body() (c code) {
	c.add(kernelArguments())
	c.add(load128(stateCounter, yBase))
	if k.lanes == 2 {
		c.op("VINSERTI128 $1, X%d, Y%d, Y%d", yBase, yBase, yBase)
	}
	c.op("VPXOR %d(R8), %s, %s", keyRounds, k.v(yBase), k.v(yBase))
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
	c.op("VMOVDQU %s, hash-64(SP)", k.v(yHi))

	c.op("CMPQ DX, $%d", k.group())
	c.op("JLT tail")
	if k.open {
		c.op("PCALIGN $64")
		c.op("loop:")
		c.add(k.counters(), weave(k.rounds(), k.hashGroup("SI", 0)), k.finish())
		c.op("CMPQ DX, $%d", k.group())
		c.op("JGE loop")
	} else {
		c.add(k.counters(), k.rounds(), k.finish())
		c.op("CMPQ DX, $%d", k.group())
		c.op("JLT epilogue")
		c.op("PCALIGN $64")
		c.op("loop:")
		c.add(k.counters(), weave(k.rounds(), k.hashGroup("DI", -k.group())), k.finish())
		c.op("CMPQ DX, $%d", k.group())
		c.op("JGE loop")
		c.op("epilogue:")
		c.add(k.hashGroup("DI", -k.group()))
	}
	c.op("tail:")
	c.op("TESTQ $%d, BX", modeLast)
	c.op("JZ save")
	c.add(k.tail())

	c.op("done:")
	c.add(clearRegisters(16))
	c.op("VMOVDQU %s, slot-32(SP)", k.v(0))
	c.op("VMOVDQU %s, hash-64(SP)", k.v(0))
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
	front := 2 / k.lanes // vectors
	for v := range 8 {
		if v == 8-front {
			c.add(k.nextBase())
		}
		c.op("VPXOR index<>+%d(SB), %s, %s", k.size()*((v+front)%8), k.v(yBase), k.v(v))
	}
	return c
}

func (k narrow) nextBase() (c code) {
	c.op("ADDL $%d, R13", 8*k.lanes)
	c.op("MOVL R13, AX")
	c.op("BSWAPL AX")
	c.op("XORL R12, AX")
	if k.lanes == 1 {
		c.op("VPINSRD $3, AX, X%d, X%d", yBase, yBase)
		return c
	}
	c.op("VMOVD AX, X%d", yTemp)
	c.op("VPBROADCASTD X%d, Y%d", yTemp, yTemp)
	c.op("VPBLENDD $0x88, Y%d, Y%d, Y%d", yTemp, yBase, yBase)
	return c
}

// rounds does rounds 1 to 13 on all vectors.
func (k narrow) rounds() (c code) {
	for r := 1; r < rounds; r++ {
		c.op("VMOVDQU %d(R8), %s", keyRounds+64*r, k.v(yKey))
		for v := range 8 {
			c.op("VAESENC %s, %s, %s", k.v(yKey), k.v(v), k.v(v))
		}
	}
	return c
}

// finish does the last round on all vectors and goes on to the next group.
func (k narrow) finish() (c code) {
	c.op("VMOVDQU %d(R8), %s", keyRounds+64*rounds, k.v(yKey))
	for v := range 8 {
		temp := k.v(yTemp + v%2)
		c.op("VPXOR %d(SI), %s, %s", k.size()*v, k.v(yKey), temp)
		c.op("VAESENCLAST %s, %s, %s", temp, k.v(v), k.v(v))
	}
	for v := range 8 {
		c.op("VMOVDQU %s, %d(DI)", k.v(v), k.size()*v)
	}
	c.op("ADDQ $%d, SI", k.group())
	c.op("ADDQ $%d, DI", k.group())
	c.op("SUBQ $%d, DX", k.group())
	return c
}

// product multiplies yText with powers of H at key offset at, by Karatsuba's three
// products, and adds to the sums, or sets them.
func (k narrow) product(at string, set bool) (c code) {
	lo, hi, mid := yTemp, yTemp, yMore
	if set {
		lo, hi, mid = yLo, yHi, yMid
	}
	c.op("VPCLMULQDQ $0x00, %d+%s, %s, %s", keyPowers, at, k.v(yText), k.v(lo))
	if !set {
		c.op("VPXOR %s, %s, %s", k.v(lo), k.v(yLo), k.v(yLo))
	}
	c.op("VPCLMULQDQ $0x11, %d+%s, %s, %s", keyPowers, at, k.v(yText), k.v(hi))
	if !set {
		c.op("VPXOR %s, %s, %s", k.v(hi), k.v(yHi), k.v(yHi))
	}
	c.op("VPSHUFD $0x4e, %s, %s", k.v(yText), k.v(mid))
	c.op("VPXOR %s, %s, %s", k.v(yText), k.v(mid), k.v(mid))
	c.op("VPCLMULQDQ $0x00, %d+%s, %s, %s", keyKaratsuba, at, k.v(mid), k.v(mid))
	if !set {
		c.op("VPXOR %s, %s, %s", k.v(mid), k.v(yMid), k.v(yMid))
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
	c.op("VPXOR %s, %s, %s", k.v(yLo), k.v(yMid), k.v(yMid))
	c.op("VPXOR %s, %s, %s", k.v(yHi), k.v(yMid), k.v(yMid))
	c.op("VPCLMULQDQ $0x00, poly<>(SB), %s, %s", k.v(yLo), k.v(yTemp))
	c.op("VPSHUFD $0x4e, %s, %s", k.v(yLo), k.v(yLo))
	c.op("VPXOR %s, %s, %s", k.v(yTemp), k.v(yMid), k.v(yMid))
	c.op("VPXOR %s, %s, %s", k.v(yLo), k.v(yMid), k.v(yMid))
	c.op("VPCLMULQDQ $0x00, poly<>(SB), %s, %s", k.v(yMid), k.v(yTemp))
	c.op("VPSHUFD $0x4e, %s, %s", k.v(yMid), k.v(yMid))
	c.op("VPXOR %s, %s, %s", k.v(yTemp), k.v(yHi), k.v(yHi))
	c.op("VPXOR %s, %s, %s", k.v(yMid), k.v(yHi), k.v(yHi))
	if k.lanes == 2 {
		c.op("VEXTRACTI128 $1, Y%d, X%d", yHi, yTemp)
		c.op("VPXOR X%d, X%d, X%d", yTemp, yHi, yHi)
	}
	return c
}

// hashGroup hashes the group at offset off of a register, the vector that needs the
// hash so far last.
func (k narrow) hashGroup(register string, off int) (c code) {
	for _, v := range []int{1, 2, 3, 4, 5, 6, 7, 0} {
		text := k.v(yText)
		c.op("VMOVDQU %d(%s), %s", off+k.size()*v, register, text)
		c.op("VPSHUFB reverse<>(SB), %s, %s", text, text)
		if v == 0 {
			c.op("VPXOR hash-64(SP), %s, %s", text, text)
		}
		c.add(k.product(fmt.Sprintf("%d(R8)", 16*powerCount-k.group()+k.size()*v), v == 1))
	}
	c.add(k.reduce())
	c.op("VMOVDQU %s, hash-64(SP)", k.v(yHi))
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
	c.op("VPXOR (CX), %s, %s", k.v(yBase), k.v(0))
	for r := 1; r < rounds; r++ {
		c.op("VAESENC %d(R8), %s, %s", keyRounds+64*r, k.v(0), k.v(0))
	}
	c.op("VMOVDQU %d(R8), %s", keyRounds+64*rounds, k.v(yKey))
	c.op("CMPQ DX, $%d", k.size())
	c.op("JLT partial")
	c.op("VMOVDQU (SI), %s", k.v(yText))
	c.op("VPXOR %s, %s, %s", k.v(yText), k.v(yKey), k.v(1))
	c.op("VAESENCLAST %s, %s, %s", k.v(1), k.v(0), k.v(0))
	c.op("VMOVDQU %s, (DI)", k.v(0))
	if !k.open {
		c.op("VMOVDQA %s, %s", k.v(0), k.v(yText))
	}
	c.op("hash:")
	c.op("VPSHUFB reverse<>(SB), %s, %s", k.v(yText), k.v(yText))
	c.op("VPXOR hash-64(SP), %s, %s", k.v(yText), k.v(yText))
	c.op("VPXOR %s, %s, %s", k.v(1), k.v(1), k.v(1))
	c.op("VMOVDQU %s, hash-64(SP)", k.v(1))
	c.add(k.product("0(BX)", false))
	c.op("ADDQ $%d, BX", k.size())
	c.op("ADDQ $%d, SI", k.size())
	c.op("ADDQ $%d, DI", k.size())
	c.op("ADDQ $%d, CX", k.size())
	c.op("LEAQ index<>+%d(SB), AX", k.group())
	c.op("CMPQ CX, AX")
	c.op("JNE same")
	c.add(k.nextBase())
	c.op("LEAQ index<>(SB), CX")
	c.op("same:")
	c.op("SUBQ $%d, DX", k.size())
	c.op("JG vector")
	c.op("JMP tag")

	// The last vector, not whole: through the stack, so that no instruction
	// touches what lies behind the buffers.
	c.op("partial:")
	c.op("VPXOR %s, %s, %s", k.v(1), k.v(1), k.v(1))
	c.op("VMOVDQU %s, slot-32(SP)", k.v(1))
	c.op("MOVQ SI, R10")
	c.op("LEAQ slot-32(SP), R11")
	c.op("MOVQ DX, CX")
	c.add(copyBytes("in", k.size()/2, 1))
	c.op("VMOVDQU slot-32(SP), %s", k.v(yText))
	c.op("VPXOR %s, %s, %s", k.v(yText), k.v(yKey), k.v(1))
	c.op("VAESENCLAST %s, %s, %s", k.v(1), k.v(0), k.v(0))
	c.op("VMOVDQU %s, slot-32(SP)", k.v(0))
	c.op("LEAQ slot-32(SP), R10")
	c.op("MOVQ DI, R11")
	c.add(copyBytes("out", k.size()/2, 1))
	if !k.open {
		c.op("LEAQ keep<>+32(SB), AX")
		c.op("SUBQ DX, AX")
		c.op("VPAND (AX), %s, %s", k.v(0), k.v(yText))
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
