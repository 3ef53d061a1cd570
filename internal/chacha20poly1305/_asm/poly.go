package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Poly1305 modulo 2^130-5 (RFC 8439 section 2.5) is done in two ways.
//
// Scalar: limbs of 64 bits, h[2] a few bits. As the lowest two bits of r1 are
// zero, 2^128 r1 = 2^130 r1/4 = 5 r1/4, which is s1 = r1 + r1/4.
//
// In lanes: eight blocks at once, in limbs of 44, 44 and 42 bits, for multiply-add
// of 52 bits. A lane has every eighth block; after the last it is multiplied by
// its own power of r, and the lanes are added up. Limbs may be above their
// width by a few bits: below 2^46 they are good for the sum of twelve
// products, of less than 2^56, and 20 times the middle limb is below 2^52.
//
// Messages are loaded with the low and the high halves of 8 blocks apart, which
// has the blocks in the order 0, 4, 1, 5, 2, 6, 3, 7.

// scalarBlock adds a block, whose halves are in m0 and m1, and multiplies. It uses
// AX, CX, DX, R11, R12.
func scalarBlock(m0, m1 Op) {
	r0, r1, s1 := at(scalars), at(scalars+8), at(scalars+16)
	low, carry, t0, t1 := reg.RAX, reg.RCX, reg.R11, reg.R12
	ADDQ(m0, h[0])
	ADCQ(m1, h[1])
	ADCQ(U8(1), h[2])

	MOVQ(h[0], reg.RDX)
	MULXQ(r0, low, carry) // h0 r0
	MULXQ(r1, h[0], t0)   // h0 r1
	MOVQ(h[1], reg.RDX)
	MULXQ(r0, h[1], t1) // h1 r0
	ADDQ(h[1], h[0])
	ADCQ(t1, t0)
	MULXQ(s1, h[1], t1) // h1 s1
	ADDQ(h[1], low)
	ADCQ(t1, carry)
	MOVQ(h[2], h[1])
	IMULQ(s1, h[1]) // h2 s1
	IMULQ(r0, h[2]) // h2 r0
	ADDQ(carry, h[0])
	ADCQ(U8(0), t0)
	ADDQ(h[0], h[1])
	ADCQ(t0, h[2])

	Comment("What is above 130 bits counts five times")
	MOVQ(h[2], reg.RDX)
	MOVQ(h[2], h[0])
	ANDQ(I8(-4), reg.RDX)
	SHRQ(U8(2), h[0])
	ANDL(U8(3), h[2].As32())
	ADDQ(reg.RDX, h[0])
	ADDQ(low, h[0])
	ADCQ(U8(0), h[1])
	ADCQ(U8(0), h[2])
}

// oneTimeKey has r for scalar code in the frame, and h. Block 0 is the one-time
// key of a message (RFC 8439 section 2.6), which its later pieces know.
func oneTimeKey(field func(int) Mem) {
	r0, r1 := reg.RAX, reg.RCX
	MOVQ(field(stateR), r0)
	MOVQ(field(stateR+8), r1)
	CMPB(field(stateStarted), U8(0))
	JNE(LabelRef("started"))
	MOVB(U8(1), field(stateStarted))
	MOVQ(U64(0x0ffffffc0fffffff), r0)
	MOVQ(U64(0x0ffffffc0ffffffc), r1)
	ANDQ(at(stream), r0)
	ANDQ(at(stream+8), r1)
	MOVQ(r0, field(stateR))
	MOVQ(r1, field(stateR+8))
	VMOVDQU(at(stream+16), reg.X0)
	VMOVDQU(reg.X0, field(stateS))
	Label("started")
	MOVQ(r0, at(scalars))
	MOVQ(r1, at(scalars+8))
	MOVQ(r1, h[0])
	SHRQ(U8(2), h[0])
	ADDQ(h[0], r1)
	MOVQ(r1, at(scalars+16))
	for i := range h {
		MOVQ(field(stateH+8*i), h[i])
	}
}

// associated hashes the associated data.
func associated() {
	p, left := reg.RSI, reg.RDI
	Load(Param("ad"), p)
	Load(Param("adLen"), left)
	JMP(LabelRef("adNext"))
	Label("adBlock")
	scalarBlock(Mem{Base: p}, Mem{Base: p, Disp: 8})
	ADDQ(U8(16), p)
	Label("adNext")
	SUBQ(U8(16), left)
	JAE(LabelRef("adBlock"))
	ADDQ(U8(16), left)
	JZ(LabelRef("adDone"))
	Comment("The last, incomplete block from its end on")
	low, high := reg.RAX, reg.RCX
	XORL(low.As32(), low.As32())
	XORL(high.As32(), high.As32())
	Label("adByte")
	SHLQ(U8(8), low, high)
	SHLQ(U8(8), low)
	MOVBLZX(Mem{Base: p, Index: left, Scale: 1, Disp: -1}, reg.EDX)
	ORQ(reg.RDX, low)
	SUBQ(U8(1), left)
	JNZ(LabelRef("adByte"))
	scalarBlock(low, high)
	Label("adDone")
}

// Registers of Poly1305 in lanes, where ChaCha20 does not need them.
var (
	sums    = [6]reg.VecPhysical{z[12], z[13], z[14], z[15], z[16], z[17]} // low and high halves of products, for each limb
	factor  = [5]reg.VecPhysical{z[18], z[19], z[20], z[21], z[22]}        // limbs, and 20 times the upper two
	maskLow = z[23]
	maskTop = z[24]
	pad     = z[25]
	order   = z[26]
	t       = [5]reg.VecPhysical{z[27], z[28], z[29], z[30], z[31]}
)

func loadMasks() {
	VPBROADCASTQ(polyMask44, maskLow)
	VPBROADCASTQ(polyMask42, maskTop)
	VPBROADCASTQ(polyPad, pad)
}

func clearSums() {
	for _, s := range sums {
		VPXORQ(s, s, s)
	}
}

// multiplyAdd adds the products of x and factor to sums.
func multiplyAdd(x []reg.VecPhysical) {
	for i, by := range limbFactors {
		for j, f := range by {
			VPMADD52LUQ(factor[f], x[i], sums[2*j])
			VPMADD52HUQ(factor[f], x[i], sums[2*j+1])
		}
	}
}

// align brings the high halves, whose weight is 2^52, to the limbs they belong
// to: sums[0], sums[2] and sums[4] are the limbs then.
func align() {
	s := sums
	VPSLLQ(U8(10), s[5], t[0])
	VPSLLQ(U8(12), s[5], t[1])
	VPSLLQ(U8(8), s[1], s[1])
	VPSLLQ(U8(8), s[3], s[3])
	VPADDQ(t[0], s[0], s[0])
	VPADDQ(s[1], s[2], s[2])
	VPADDQ(s[3], s[4], s[4])
	VPADDQ(t[1], s[0], s[0])
}

// carry puts the sums to x, with limbs of 44, 44 and 42 bits and little more: all
// carries are taken at once, not one after the other.
func carry(x []reg.VecPhysical) {
	align()
	s := sums
	VPSRLQ(U8(42), s[4], t[2])
	VPSRLQ(U8(44), s[0], t[0])
	VPSRLQ(U8(44), s[2], t[1])
	VPANDQ(maskTop, s[4], s[4])
	VPANDQ(maskLow, s[0], s[0])
	VPANDQ(maskLow, s[2], s[2])
	VPADDQ(t[1], s[4], x[2])
	VPSLLQ(U8(2), t[2], t[3])
	VPADDQ(t[2], s[0], s[0])
	VPADDQ(t[0], s[2], x[1])
	VPADDQ(t[3], s[0], x[0])
}

// split loads eight blocks and has their limbs in m.
func split(p reg.GPPhysical, offset int, m []reg.VecPhysical) {
	source := Mem{Base: p, Disp: offset}
	VMOVDQU64(source, t[0])
	VPUNPCKLQDQ(source.Offset(64), t[0], m[0])
	VPUNPCKHQDQ(source.Offset(64), t[0], m[2])
	VPSRLQ(U8(44), m[0], t[0])
	VPSLLQ(U8(20), m[2], m[1])
	VPANDQ(maskLow, m[0], m[0])
	VPTERNLOGQ(U8(0xa8), maskLow, t[0], m[1]) // (m1 | t0) & mask
	VPSRLQ(U8(24), m[2], m[2])
	VPORQ(pad, m[2], m[2])
}

// addBlocks adds eight blocks to x.
func addBlocks(p reg.GPPhysical, offset int, x []reg.VecPhysical) {
	split(p, offset, t[1:4])
	for i := range x {
		VPADDQ(t[1+i], x[i], x[i])
	}
}

// times20 completes factor.
func times20() {
	for i := range 2 {
		VPSLLQ(U8(2), factor[1+i], t[i])
		VPSLLQ(U8(4), factor[1+i], factor[3+i])
		VPADDQ(t[i], factor[3+i], factor[3+i])
	}
}

// computePowers has the powers of r, and zeros after them, in the frame.
func computePowers() {
	l0, l1, l2 := reg.RAX, reg.RCX, reg.RDX
	mask := reg.R11
	MOVQ(at(scalars), l0)
	MOVQ(at(scalars+8), l2)
	MOVQ(U64(mask44), mask)
	limbs(l0, l2, nil, l1, mask)
	r, x := z[0:3], z[3:6]
	one := z[6:9]
	for i, l := range []reg.GPPhysical{l0, l1, l2} {
		VPBROADCASTQ(l, r[i])
		VMOVDQA64(r[i], factor[i])
	}
	loadMasks()
	MOVL(U32(1), reg.EAX)
	VPBROADCASTQ(reg.RAX, one[0])
	VPXORQ(one[1], one[1], one[1])
	VPXORQ(one[2], one[2], one[2])

	multiply := func(to, by []reg.VecPhysical) {
		times20()
		clearSums()
		multiplyAdd(by)
		carry(to)
	}
	// choose has by in the lanes of mask, and other in the rest, as factor.
	choose := func(mask uint32, by, other []reg.VecPhysical) {
		MOVL(U32(mask), reg.EAX)
		KMOVW(reg.EAX, reg.K2)
		for i := range by {
			VPBLENDMQ(by[i], other[i], reg.K2, factor[i])
		}
	}
	broadcast := func(from, to []reg.VecPhysical) {
		for i := range from {
			VPBROADCASTQ(from[i].AsX(), to[i])
		}
	}
	// step has r^(8 n), from lane 0 of x, for the groups. Factor may be lost.
	step := func(n int, x []reg.VecPhysical) {
		for i := range x {
			VMOVDQA64(x[i], factor[i])
		}
		times20()
		for i := range factor {
			VMOVQ(factor[i].AsX(), factorAt(n, i))
		}
	}
	store := func(x []reg.VecPhysical, highest int) {
		for i := range x {
			VMOVDQU64(x[i], at(powers+512*i+8*(32-highest)))
		}
	}

	square := z[9:12]
	multiply(square, r) // 2 in all lanes
	choose(0x33, square, one)
	MOVL(U32(0x55), reg.EAX)
	KMOVW(reg.EAX, reg.K2)
	for i := range x {
		VPBLENDMQ(square[i], r[i], reg.K2, x[i]) // 2 1 2 1 2 1 2 1
	}
	multiply(x, x) // 4 3 2 1 4 3 2 1
	broadcast(x, z[9:12])
	choose(0x0f, z[9:12], one)
	multiply(x, x) // 8 .. 1
	store(x, 8)
	step(1, x)
	broadcast(x, factor[:3])
	multiply(z[6:9], x) // 16 .. 9
	store(z[6:9], 16)
	step(2, z[6:9])
	broadcast(z[6:9], factor[:3])
	multiply(z[9:12], x) // 24 .. 17
	store(z[9:12], 24)
	clearSums()
	multiplyAdd(z[6:9]) // 32 .. 25
	carry(x)
	store(x, 32)
	step(3, z[9:12])
	step(4, x)
	VPXORQ(t[0], t[0], t[0])
	for i := range 3 {
		for j := range 4 {
			VMOVDQU64(t[0], at(powers+512*i+256+64*j))
		}
	}
}

// limbs splits a number. Its words are in l0, l2, and top unless that is nil,
// the limbs in l0, l1, l2.
func limbs(l0, l2, top, l1 reg.Register, mask reg.GPPhysical) {
	a, b, c := l0.(reg.GPPhysical), l1.(reg.GPPhysical), l2.(reg.GPPhysical)
	MOVQ(a, b)
	SHRQ(U8(44), c, b) // bits 44 to 107
	ANDQ(mask, a)
	ANDQ(mask, b)
	if top == nil {
		SHRQ(U8(24), c)
		return
	}
	SHRQ(U8(24), top, c)
}

// hInLanes has h in lane 0 of x, and zeros in its other lanes. It uses AX, CX,
// DX, R12.
func hInLanes(x []reg.VecPhysical) {
	MOVQ(h[0], reg.RAX)
	MOVQ(h[1], reg.RDX)
	MOVQ(U64(mask44), reg.R12)
	limbs(reg.RAX, reg.RDX, h[2], reg.RCX, reg.R12)
	for i, l := range []reg.GPPhysical{reg.RAX, reg.RCX, reg.RDX} {
		VMOVQ(l, x[i].AsX())
	}
}

// startLanes has h in the first lane of the accumulators in the frame.
func startLanes() {
	hInLanes(z[0:3])
	for i := range 3 {
		VMOVDQU64(z[i], at(lanes+64*i))
	}
}

// A group has four times eight blocks, which are m0 .. m3: the accumulators x
// become
//
//	x r^32 + m0 r^24 + m1 r^16 + m2 r^8 + m3
//
// with one carry for four products. Before the first group x is what was
// hashed before, in lane 0, and belongs to m0: it is multiplied by r^24. DX
// points to the factor of x.

// factorAt is where limb i of r^(8 n) is; 3 and 4 are 20 times the upper two.
func factorAt(n, i int) Mem { return at(steps + 40*(n-1) + 8*i) }

// firstFactor sets DX for the next group. R11 is 1 before the first of a
// message. It uses CX.
func firstFactor() {
	LEAQ(factorAt(4, 0), reg.RDX)
	LEAQ(factorAt(3, 0), reg.RCX)
	TESTL(reg.R11L, reg.R11L)
	CMOVQNE(reg.RCX, reg.RDX)
	XORL(reg.R11L, reg.R11L)
}

// limbFactors says which limb of a factor makes which limb of a product with
// limb i. That of weight 2^132 counts 4*5 times.
var limbFactors = [3][3]int{{0, 1, 2}, {4, 0, 1}, {3, 4, 0}}

// multiplyAddLimb adds the product of limb i, which is x, and a factor in memory.
func multiplyAddLimb(i int, x reg.VecPhysical, by Mem, sum [6]reg.VecPhysical) (c code) {
	for j, f := range limbFactors[i] {
		c.add(func() { VPMADD52LUQ_BCST(by.Offset(8*f), x, sum[2*j]) })
		c.add(func() { VPMADD52HUQ_BCST(by.Offset(8*f), x, sum[2*j+1]) })
	}
	return c
}

// groups hashes the SI groups at AX. R11 is 1 before the first of a message.
func groups() {
	p, count := reg.RAX, reg.RSI
	x := z[0:3]
	for i := range x {
		VMOVDQU64(at(lanes+64*i), x[i])
	}
	loadMasks()
	firstFactor()
	alignLoop()
	Label("group")
	clearSums()
	for i := range 3 {
		m := z[3+3*i:][:3]
		split(p, 128*i, m)
		for j := range m {
			multiplyAddLimb(j, m[j], factorAt(3-i, 0), sums).emit()
		}
	}
	for j := range x {
		multiplyAddLimb(j, x[j], Mem{Base: reg.RDX}, sums).emit()
	}
	carry(x)
	addBlocks(p, 384, x)
	LEAQ(factorAt(4, 0), reg.RDX)
	ADDQ(U32(group), p)
	SUBL(U8(1), count.As32())
	JNZ(LabelRef("group"))
	for i := range x {
		VMOVDQU64(x[i], at(lanes+64*i))
	}
}

// quarterGroup is quarter i of a group at p, with few registers: the rest is in
// memory.
func quarterGroup(free [8]reg.VecPhysical, p reg.GPPhysical, i int) (c code) {
	sum := [6]reg.VecPhysical(free[:6])
	x, t := free[6], free[7]
	op := c.add
	low, high := Mem{Base: p, Disp: 128 * i}, Mem{Base: p, Disp: 128*i + 64}

	if i == 0 {
		for _, s := range sum {
			op(func() { VPXORQ(s, s, s) })
		}
		for l := range 3 {
			op(func() { VMOVDQU64(at(lanes+64*l), x) })
			c = append(c, multiplyAddLimb(l, x, Mem{Base: reg.RDX}, sum)...)
		}
	} else {
		for j, s := range sum {
			op(func() { VMOVDQU64(at(parts+64*j), s) })
		}
	}
	if i < 3 {
		by := factorAt(3-i, 0)
		op(func() { VMOVDQU64(low, t) })
		op(func() { VPUNPCKLQDQ(high, t, x) })
		op(func() { VPANDQ_BCST(polyMask44, x, t) })
		c = append(c, multiplyAddLimb(0, t, by, sum)...)
		op(func() { VPSRLQ(U8(44), x, t) })
		op(func() { VMOVDQU64(low, x) })
		op(func() { VPUNPCKHQDQ(high, x, x) })
		op(func() { VPSLLQ(U8(20), x, x) })
		op(func() { VPTERNLOGQ_BCST(U8(0xa8), polyMask44, x, t) }) // (t | x) & mask
		c = append(c, multiplyAddLimb(1, t, by, sum)...)
		op(func() { VMOVDQU64(low, x) })
		op(func() { VPUNPCKHQDQ(high, x, x) })
		op(func() { VPSRLQ(U8(24), x, x) })
		op(func() { VPORQ_BCST(polyPad, x, x) })
		c = append(c, multiplyAddLimb(2, x, by, sum)...)
		for j, s := range sum {
			op(func() { VMOVDQU64(s, at(parts+64*j)) })
		}
		return c
	}

	l0, h0, l1, h1, l2, h2 := sum[0], sum[1], sum[2], sum[3], sum[4], sum[5]
	op(func() { VPSLLQ(U8(10), h2, t) })
	op(func() { VPSLLQ(U8(12), h2, x) })
	op(func() { VPSLLQ(U8(8), h0, h0) })
	op(func() { VPSLLQ(U8(8), h1, h1) })
	op(func() { VPADDQ(t, l0, l0) })
	op(func() { VPADDQ(h0, l1, l1) })
	op(func() { VPADDQ(h1, l2, l2) })
	op(func() { VPADDQ(x, l0, l0) })

	op(func() { VPSRLQ(U8(42), l2, h2) })
	op(func() { VPSRLQ(U8(44), l1, h1) })
	op(func() { VPSRLQ(U8(44), l0, h0) })
	op(func() { VPANDQ_BCST(polyMask42, l2, l2) })
	op(func() { VPANDQ_BCST(polyMask44, l0, l0) })
	op(func() { VPANDQ_BCST(polyMask44, l1, l1) })
	op(func() { VPSLLQ(U8(2), h2, x) })
	op(func() { VPADDQ(h1, l2, l2) })
	op(func() { VPADDQ(h0, l1, l1) })
	op(func() { VPADDQ(h2, l0, l0) })
	op(func() { VPADDQ(x, l0, l0) })

	op(func() { VMOVDQU64(low, t) })
	op(func() { VPUNPCKLQDQ(high, t, h0) })
	op(func() { VPUNPCKHQDQ(high, t, h1) })
	op(func() { VPSRLQ(U8(44), h0, t) })
	op(func() { VPSLLQ(U8(20), h1, h2) })
	op(func() { VPANDQ_BCST(polyMask44, h0, h0) })
	op(func() { VPSRLQ(U8(24), h1, h1) })
	op(func() { VPTERNLOGQ_BCST(U8(0xa8), polyMask44, t, h2) })
	op(func() { VPORQ_BCST(polyPad, h1, h1) })
	op(func() { VPADDQ(h0, l0, l0) })
	op(func() { VPADDQ(h2, l1, l1) })
	op(func() { VPADDQ(h1, l2, l2) })
	for j, l := range []reg.VecPhysical{l0, l1, l2} {
		op(func() { VMOVDQU64(l, at(lanes+64*j)) })
	}
	return c
}

// loadPowers has factor from a place in the table of powers.
func loadPowers(m Mem) {
	for i := range 3 {
		VPERMQ(m.Offset(512*i), order, factor[i])
	}
	times20()
}

// hashTail hashes the tail, whose ciphertext is in the frame, and leaves all that
// was hashed in h.
func hashTail() {
	n, p, left := reg.R13, reg.RAX, reg.RSI
	Load(Param("n"), n)
	LEAQ(at(stream+64), p)
	CMPQ(n, U32(group))
	JB(LabelRef("remainder"))
	MOVQ(n, left)
	SHRQ(U8(9), left)
	ANDL(U8(chunk/group-1), left.As32())
	JZ(LabelRef("tailGroupsDone"))
	MOVL(U32(2), reg.R12L)
	JMP(LabelRef("hash"))
	Label("tailGroupsDone")
	fold()

	Label("remainder")
	Comment("Less than a group is left")
	MOVQ(n, left)
	MOVQ(n, reg.RDI)
	ANDL(U32(group-1), left.As32())
	ANDL(U32((chunk-1)&^(group-1)), reg.EDI)
	LEAQ(Mem{Base: base, Index: reg.RDI, Scale: 1, Disp: stream + 64}, p)
	ADDL(U8(15), left.As32())
	SHRL(U8(4), left.As32())
	JZ(LabelRef("hashed"))
	CMPQ(n, U32(vectorFrom))
	JB(LabelRef("scalar"))
	CMPL(left.As32(), U8(scalarUpTo))
	JA(LabelRef("lanes"))
	Label("scalar")
	MOVQ(p, reg.RDI)
	Label("scalarBlock")
	scalarBlock(Mem{Base: reg.RDI}, Mem{Base: reg.RDI, Disp: 8})
	ADDQ(U8(16), reg.RDI)
	SUBL(U8(1), left.As32())
	JNZ(LabelRef("scalarBlock"))
	JMP(LabelRef("hashed"))

	Label("lanes")
	MOVQ(p, reg.RDI)
	Comment("SI blocks at DI, each times its power of r: the last one r, and zero after it")
	hInLanes(z[0:3])
	loadMasks()
	VMOVDQU64(laneOrder, order)
	clearSums()
	power := reg.RCX
	MOVL(U32(32), power.As32())
	SUBL(left.As32(), power.As32())
	LEAQ(Mem{Base: base, Index: power, Scale: 8, Disp: powers}, power)
	Label("lane")
	loadPowers(Mem{Base: power})
	addBlocks(reg.RDI, 0, z[0:3])
	multiplyAdd(z[0:3])
	for i := range 3 {
		VPXORQ(z[i], z[i], z[i])
	}
	ADDQ(U8(64), power)
	ADDQ(U8(127), reg.RDI)
	ADDQ(U8(1), reg.RDI)
	SUBL(U8(8), left.As32())
	JA(LabelRef("lane"))
	sumLanes()
	Label("hashed")
}

// scalarUpTo blocks of the remainder are faster in scalar code.
const scalarUpTo = 4

// fold multiplies each lane of the accumulators in the frame by its power, and
// has the sum in h.
func fold() {
	loadMasks()
	VMOVDQU64(laneOrder, order)
	clearSums()
	x := z[0:3]
	loadPowers(at(powers + 8*24))
	for i := range x {
		VMOVDQU64(at(lanes+64*i), x[i])
	}
	multiplyAdd(x)
	sumLanes()
}

// sumLanes has the sum of all lanes of sums in h. It uses AX, CX, DX, R11, R12.
func sumLanes() {
	align()
	var x [3]reg.VecPhysical
	for i := range x {
		x[i] = sums[2*i]
		VEXTRACTI64X4(U8(1), x[i], t[i].AsY())
	}
	for i := range x {
		VPADDQ(t[i].AsY(), x[i].AsY(), x[i].AsY())
	}
	for i := range x {
		VEXTRACTI64X2(U8(1), x[i].AsY(), t[i].AsX())
	}
	for i := range x {
		VPADDQ(t[i].AsX(), x[i].AsX(), x[i].AsX())
	}
	for i := range x {
		VPSHUFD(U8(0x4e), x[i].AsX(), t[i].AsX())
	}
	l := [3]reg.GPPhysical{reg.RAX, reg.RCX, reg.RDX}
	for i := range x {
		VPADDQ(t[i].AsX(), x[i].AsX(), x[i].AsX())
		VMOVQ(x[i].AsX(), l[i])
	}
	Comment("Carry, and limbs of 64 bits")
	mask, over := reg.R11, reg.R12
	MOVQ(U64(mask44), mask)
	MOVQ(l[0], over)
	SHRQ(U8(44), over)
	ANDQ(mask, l[0])
	ADDQ(over, l[1])
	MOVQ(l[1], over)
	SHRQ(U8(44), over)
	ANDQ(mask, l[1])
	ADDQ(over, l[2])
	MOVQ(l[2], over)
	SHRQ(U8(42), over)
	SHRQ(U8(2), mask)
	ANDQ(mask, l[2])
	LEAQ(Mem{Base: over, Index: over, Scale: 4}, over)
	ADDQ(over, l[0])

	MOVQ(l[1], h[0])
	SHLQ(U8(44), h[0])
	SHRQ(U8(20), l[1])
	MOVQ(l[2], h[1])
	SHLQ(U8(24), h[1])
	ORQ(l[1], h[1])
	MOVQ(l[2], h[2])
	SHRQ(U8(40), h[2])
	ADDQ(l[0], h[0])
	ADCQ(U8(0), h[1])
	ADCQ(U8(0), h[2])
}
