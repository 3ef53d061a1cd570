package main

import (
	"slices"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const rodata = attr.RODATA | attr.NOPTR

// sigmaWords are the constants of RFC 8439 section 2.3.
var sigmaWords = [4]uint32{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}

var (
	sigma      Mem // sigmaWords
	iota32     Mem // 0, 1, .. 31
	rowNumber  Mem // 0, 1, .. 35 in the first word of 128 bits each
	step32     Mem // 32 in all 16 words
	laneOrder  Mem // see poly.go
	polyMask44 Mem
	polyMask42 Mem
	polyPad    Mem
)

func constants() {
	sigma = data32("sigma", sigmaWords[:]...)
	var n []uint32
	for i := range uint32(32) {
		n = append(n, i)
	}
	iota32 = data32("iota", n...)
	n = nil
	for i := range uint32(36) {
		n = append(n, i, 0, 0, 0)
	}
	rowNumber = data32("rowNumber", n...)
	step32 = data32("step32", 32)
	laneOrder = data64("laneOrder", 0, 4, 1, 5, 2, 6, 3, 7)
	polyMask44 = data64("mask44", mask44)
	polyMask42 = data64("mask42", mask44>>2)
	polyPad = data64("pad", 1<<40)
}

// Rows of the initial state, each in all four quarters of a vector, from
// initialState on: constants, key, key, and counter less one with the nonce.
var row = [4]reg.VecPhysical{z[28], z[29], z[30], z[31]}

// initialState has the initial state in row and in the frame, with the counter
// of the first block of the tail, less one. K1 clears what becomes the counter
// of block 0.
func initialState(counter, t0, t1 reg.GPPhysical) {
	Load(Param("key"), t0)
	Load(Param("nonce"), t1)
	VBROADCASTI32X4(sigma, row[0])
	VBROADCASTI32X4(Mem{Base: t0}, row[1])
	VBROADCASTI32X4(Mem{Base: t0, Disp: 16}, row[2])
	LEAL(Mem{Base: counter, Disp: -1}, t0.As32())
	VMOVD(t0.As32(), reg.X0)
	for i := range 3 {
		VPINSRD(U8(i+1), Mem{Base: t1, Disp: 4 * i}, reg.X0, reg.X0)
	}
	VSHUFI32X4(U8(0), z[0], z[0], row[3])
	for i := range row {
		VMOVDQU32(row[i].AsX(), at(words+16*i))
	}
	MOVL(U32(0xfffe), t0.As32())
	KMOVW(t0.As32(), reg.K1)
}

// quarterSteps are the twelve steps of independent quarter rounds (RFC 8439
// section 2.1), with the instructions of one step for all of them next to each
// other: each takes two cycles, and four can begin in a cycle.
func quarterSteps(q [][4]reg.VecPhysical) (steps [12]code) {
	const a, b, c, d = 0, 1, 2, 3
	i := 0
	for _, op := range []struct {
		x, y, z int
		bits    uint
	}{{a, b, d, 16}, {c, d, b, 12}, {a, b, d, 8}, {c, d, b, 7}} {
		for _, v := range q {
			steps[i].add(func() { VPADDD(v[op.y], v[op.x], v[op.x]) })
			steps[i+1].add(func() { VPXORD(v[op.x], v[op.z], v[op.z]) })
			steps[i+2].add(func() { VPROLD(U8(op.bits), v[op.z], v[op.z]) })
		}
		i += 3
	}
	return steps
}

func quarterRounds(q [][4]reg.VecPhysical) {
	for _, step := range quarterSteps(q) {
		step.emit()
	}
}

// rows writes blocks of the key stream of block 0 and the tail to the frame. A
// vector has the same row of four blocks. This layout has the result in order
// almost at once, but needs shuffles in each round.
func rows(name string, first, blocks int) {
	sets := (blocks + 3) / 4
	var q [][4]reg.VecPhysical
	last := z[23:28] // initial states of the last rows
	for i := range sets {
		v := [4]reg.VecPhysical{z[4*i], z[4*i+1], z[4*i+2], z[4*i+3]}
		VPADDD(rowNumber.Offset(16*(first+4*i)), row[3], last[i])
		if first+i == 0 {
			VMOVDQA32_Z(last[i], reg.K1, last[i])
		}
		for j := range 3 {
			VMOVDQA64(row[j], v[j])
		}
		VMOVDQA64(last[i], v[3])
		q = append(q, v)
	}
	label := name + "Round"
	MOVL(U32(10), reg.ECX)
	Label(label)
	for _, turn := range [][3]int{{0x39, 0x4e, 0x93}, {0x93, 0x4e, 0x39}} {
		quarterRounds(q)
		for i, order := range turn {
			for _, v := range q {
				VPSHUFD(U8(order), v[i+1], v[i+1])
			}
		}
	}
	SUBL(U8(1), reg.ECX)
	JNZ(LabelRef(label))
	for i, v := range q {
		for j := range 3 {
			VPADDD(row[j], v[j], v[j])
		}
		VPADDD(last[i], v[3], v[3])
		transpose, out := transposeQuarters(v, z[20])
		transpose.emit()
		for block, x := range out {
			if 4*i+block < blocks {
				VMOVDQU64(x, at(stream+64*(first+4*i+block)))
			}
		}
	}
}

// transposeQuarters transposes the matrix of 128-bit elements whose rows are
// v. It needs one more register, and may return it.
func transposeQuarters(v [4]reg.VecPhysical, free reg.VecPhysical) (c code, out [4]reg.VecPhysical) {
	shuffle := func(low, high uint8, x, y *reg.VecPhysical) {
		a, b, t := *x, *y, free
		c.add(func() { VSHUFI32X4(U8(low), b, a, t) })
		c.add(func() { VSHUFI32X4(U8(high), b, a, b) })
		*x, free = t, a
	}
	shuffle(0x44, 0xee, &v[0], &v[1]) // a0 a1 b0 b1, a2 a3 b2 b3
	shuffle(0x44, 0xee, &v[2], &v[3])
	shuffle(0x88, 0xdd, &v[0], &v[2]) // a0 b0 c0 d0, a1 b1 c1 d1
	shuffle(0x88, 0xdd, &v[1], &v[3])
	return c, [4]reg.VecPhysical{v[0], v[2], v[1], v[3]}
}

// blockZero writes the first half of block 0, which is the one-time key, to the
// frame. One block is done in half the time of many, as a result in a general
// register takes one cycle, not two. The third row is in memory.
func blockZero() {
	a := [4]reg.GPPhysical{reg.RAX, reg.RCX, reg.RDX, reg.RSI}
	b := [4]reg.GPPhysical{reg.RDI, reg.R8, reg.R9, reg.R10}
	c := func(i int) Mem { return at(stream + 32 + 4*i) }
	d := [4]reg.GPPhysical{reg.R11, reg.R12, reg.R13, reg.R14}
	count, x := at(stream+48), reg.R15
	Load(Param("nonce"), x)
	XORL(d[0].As32(), d[0].As32())
	for i := range 3 {
		MOVL(Mem{Base: x, Disp: 4 * i}, d[1+i].As32())
	}
	Load(Param("key"), x)
	for i := range 4 {
		MOVL(Mem{Base: x, Disp: 16 + 4*i}, a[0].As32())
		MOVL(a[0].As32(), c(i))
	}
	for i := range 4 {
		MOVL(Mem{Base: x, Disp: 4 * i}, b[i].As32())
		MOVL(U32(sigmaWords[i]), a[i].As32())
	}
	MOVL(U32(10), count)
	alignLoop()
	Label("blockZero")
	for diagonal := range 2 {
		for _, bits := range [][2]uint{{16, 12}, {8, 7}} {
			each := func(f func(a, b reg.Register, c Mem, d reg.Register)) {
				for i := range 4 {
					f(a[i].As32(), b[(i+diagonal)%4].As32(), c((i+2*diagonal)%4), d[(i+3*diagonal)%4].As32())
				}
			}
			each(func(a, b reg.Register, _ Mem, _ reg.Register) { ADDL(b, a) })
			each(func(a, _ reg.Register, _ Mem, d reg.Register) { XORL(a, d) })
			each(func(_, _ reg.Register, _ Mem, d reg.Register) { ROLL(U8(bits[0]), d) })
			each(func(_, b reg.Register, c Mem, d reg.Register) {
				MOVL(c, x.As32())
				ADDL(d, x.As32())
				MOVL(x.As32(), c)
				XORL(x.As32(), b)
			})
			each(func(_, b reg.Register, _ Mem, _ reg.Register) { ROLL(U8(bits[1]), b) })
		}
	}
	SUBL(U8(1), count)
	JNZ(LabelRef("blockZero"))
	for i := range 4 {
		ADDL(U32(sigmaWords[i]), a[i].As32())
		MOVL(a[i].As32(), at(stream+4*i))
		ADDL(at(words+16+4*i), b[i].As32())
		MOVL(b[i].As32(), at(stream+16+4*i))
	}
	XORL(reg.R14L, reg.R14L)
	XORL(reg.R15L, reg.R15L)
}

// tailCounters sets the counters of the lanes for block 0 and the tail.
func tailCounters(counter reg.GPPhysical) {
	LEAL(Mem{Base: counter, Disp: -1}, reg.EAX)
	VPBROADCASTD(reg.EAX, z[0])
	VPADDD(iota32.Offset(64), z[0], z[1])
	VPADDD(iota32, z[0], z[0])
	VMOVDQA32_Z(z[0], reg.K1, z[0])
	VMOVDQU64(z[0], at(counters))
	VMOVDQU64(z[1], at(counters+64))
}

// chunkCounters sets the counters of the lanes for the first chunk.
func chunkCounters(state reg.GPPhysical) {
	VPBROADCASTD(Mem{Base: state, Disp: stateCounter}, z[0])
	VPADDD(iota32.Offset(64), z[0], z[1])
	VPADDD(iota32, z[0], z[0])
	VMOVDQU64(z[0], at(counters))
	VMOVDQU64(z[1], at(counters+64))
}

// nextCounters advances the counters of a half by a chunk. The registers of the
// half are free.
func nextCounters(half int) {
	x := z[16*half]
	VPBROADCASTD(step32, x)
	VPADDD(at(counters+64*half), x, x)
	VMOVDQU64(x, at(counters+64*half))
}

// 32 blocks are two halves. A vector has the same word of 16 blocks; word i is in
// registers i and 16+i, and no register is left: the initial state is in memory.
// Sixteen blocks alone would leave half the capacity of the processor idle, as
// each result takes two cycles.

// startHalf loads the initial state.
func startHalf(half int) (c code) {
	for i, x := range z[16*half:][:16] {
		if i == 12 {
			c.add(func() { VMOVDQU64(at(counters+64*half), x) })
		} else {
			c.add(func() { VPBROADCASTD(at(words+4*i), x) })
		}
	}
	return c
}

// quarters are the registers of the quarter rounds of a half, by columns or by
// diagonals.
func quarters(half, diagonal int) (q [][4]reg.VecPhysical) {
	for i := range 4 {
		var v [4]reg.VecPhysical
		for j := range 4 {
			v[j] = z[16*half+4*j+(i+j*diagonal)%4]
		}
		q = append(q, v)
	}
	return q
}

func quarters32(diagonal int) [][4]reg.VecPhysical {
	return append(quarters(0, diagonal), quarters(1, diagonal)...)
}

// doubleRound is that of a half.
func doubleRound(half int) (c code) {
	for diagonal := range 2 {
		for _, step := range quarterSteps(quarters(half, diagonal)) {
			c = append(c, step...)
		}
	}
	return c
}

// doubleRounds does n double rounds of both halves.
func doubleRounds(name string, n int) {
	if n > 1 {
		MOVL(U32(n), reg.ECX)
		alignLoop()
		Label(name)
	}
	for diagonal := range 2 {
		quarterRounds(quarters32(diagonal))
	}
	if n > 1 {
		SUBL(U8(1), reg.ECX)
		JNZ(LabelRef(name))
	}
}

// hashingRounds does eight double rounds of both halves, and hashes the chunk at
// AX. The rounds alone leave a quarter of the capacity idle: eight chains of
// instructions are too few. Two thirds through each round the words of the
// first row have done their part, and wait in memory for the next round; in the
// meantime their eight registers are those of Poly1305, for a quarter of a
// group. R11 is 1 before the first group of a message.
func hashingRounds() {
	firstFactor()
	var free [8]reg.VecPhysical
	for i, v := range quarters32(0) {
		free[i] = v[0]
		VMOVDQU64(v[0], at(spill+64*i))
	}
	MOVL(U32(chunk/group), reg.ECX)
	alignLoop()
	Label("hashingRounds")
	for i := range 4 {
		q := quarters32(i % 2)
		steps := quarterSteps(q)
		for j, v := range q {
			VMOVDQU64(at(spill+64*j), v[0])
		}
		for _, s := range steps[:8] {
			s.emit()
		}
		for j, v := range q {
			VMOVDQU64(v[0], at(spill+64*j))
		}
		weave(slices.Concat(steps[8:]...), quarterGroup(free, reg.RAX, i))
	}
	LEAQ(factorAt(4, 0), reg.RDX)
	ADDQ(U32(group), reg.RAX)
	SUBL(U8(1), reg.ECX)
	JNZ(LabelRef("hashingRounds"))
	for i, x := range free {
		VMOVDQU64(at(spill+64*i), x)
	}
}

// outputHalf ends a half: it adds the initial state, and has f emit code for each
// block, which is then in order in one register. It has only the registers
// of the half, so that one vector waits in memory.
func outputHalf(half int, f func(block int, x reg.VecPhysical)) (c code) {
	v := z[16*half:][:16]
	for i, x := range v {
		if i == 12 {
			c.add(func() { VPADDD(at(counters+64*half), x, x) })
		} else {
			c.add(func() { VPADDD_BCST(at(words+4*i), x, x) })
		}
	}
	last, waiting := at(spill), at(spill+64)
	free := v[15]
	c.add(func() { VMOVDQU64(v[15], last) })
	var m [4][4]reg.VecPhysical // by words, then by blocks
	for i := range m {
		w0, w1, w2, w3 := v[4*i], v[4*i+1], v[4*i+2], v[4*i+3]
		if i == 3 {
			w3 = m[0][3]
			c.add(func() { VMOVDQU64(w3, waiting) })
			c.add(func() { VMOVDQU64(last, w3) })
		}
		t := free
		c.add(func() { VPUNPCKLDQ(w1, w0, t) })  // 0 1 of blocks 0, 1
		c.add(func() { VPUNPCKHDQ(w1, w0, w1) }) // 0 1 of blocks 2, 3
		c.add(func() { VPUNPCKLDQ(w3, w2, w0) })
		c.add(func() { VPUNPCKHDQ(w3, w2, w3) })
		c.add(func() { VPUNPCKLQDQ(w0, t, w2) }) // 0 1 2 3 of block 0
		c.add(func() { VPUNPCKHQDQ(w0, t, w0) })
		c.add(func() { VPUNPCKLQDQ(w3, w1, t) })
		c.add(func() { VPUNPCKHQDQ(w3, w1, w3) })
		m[i] = [4]reg.VecPhysical{w2, w0, t, w3}
		free = w1
	}
	for j := range 4 {
		column := [4]reg.VecPhysical{m[0][j], m[1][j], m[2][j], m[3][j]}
		transpose, out := transposeQuarters(column, free)
		c = append(c, transpose...)
		for i, x := range out {
			c.add(func() { f(16*half+4*i+j, x) })
		}
		free = column[0]
		if j == 2 {
			m[0][3] = column[1]
			c.add(func() { VMOVDQU64(waiting, column[1]) })
		}
	}
	return c
}

// alignLoop has the loop that follows begin where a line of the cache does.
func alignLoop() {
	Instruction(&ir.Instruction{Opcode: "PCALIGN", Operands: []Op{Imm(64)}})
}
