package main

import "fmt"

// keySchedule writes the expansion of a key: the round keys of AES-256 (FIPS 197,
// section 5.2), H = E(0), and the first powers of H: 36 of them, 9 for the kernel on 128-bit
// vectors, 8 for short messages.
//
// GHASH takes the bits of a block in the other order than a register does. So
// blocks are reversed byte by byte; the product of two blocks whose bits are all
// reversed then lacks one factor x, which H brings along from the beginning:
// what is called H here is H·x. Products are reduced from below, as in
// Montgomery's multiplication (Gueron, Kounavis: Intel Carry-Less Multiplication
// Instruction and its Usage for Computing the GCM Mode, 2014).
func keySchedule(p *program) {
	p.constant("rotateLast", 0x0c0f0e0d0c0f0e0d, 0x0c0f0e0d0c0f0e0d)
	p.constant("reverse", repeat(2, 0x08090a0b0c0d0e0f, 0x0001020304050607)...)
	p.constant("poly", repeat(2, polynomial, polynomial)...)
	p.constant("carry", 1, polynomial)
	var rcon []uint64
	for i := range 7 {
		w := uint64(1) << i
		rcon = append(rcon, w<<32|w, w<<32|w)
	}
	p.constant("rcon", rcon...)

	p.function("expandAVX512", "(k *expanded, key *[KeySize]byte)", 0, 16, expand(4, false))
	p.function("expandAVX512Short", "(k *expanded, key *[KeySize]byte)", 0, 16, expand(4, true))
	p.function("expandAVX2", "(k *expanded, key *[KeySize]byte)", 0, 16, expand(2, false))
	p.function("expandAVX", "(k *expanded, key *[KeySize]byte)", 0, 16, expand(1, false))

	// Wiping is a part of sealing a small object: a store after the other is faster
	// than a call of the runtime's, which is made for any size.
	var c code
	c.op("MOVQ k+0(FP), R8")
	c.op("VPXOR X0, X0, X0")
	for at := 0; at < keyEnd; at += 32 {
		c.op("VMOVDQU Y0, %d(R8)", at)
	}
	c.op("VZEROUPPER")
	c.op("RET")
	p.function("wipe", "(k *expanded)", 0, 8, c)

	// GHASH of whole blocks, one after the other: for associated data longer than
	// a block, which no package has.
	c = nil
	c.op("MOVQ k+0(FP), R8")
	c.op("MOVQ hash+8(FP), DI")
	c.op("MOVQ data+16(FP), SI")
	c.op("MOVQ blocks+24(FP), CX")
	c.op("VMOVDQU reverse<>(SB), X13")
	c.op("VMOVDQU poly<>(SB), X14")
	c.op("VMOVDQU %d(R8), X8", keyPowers+16*(powerCount-1))
	c.op("VMOVDQU (DI), X0")
	c.op("VPSHUFB X13, X0, X0")
	c.op("TESTQ CX, CX")
	c.op("JZ done")
	c.op("block:")
	c.op("VMOVDQU (SI), X1")
	c.op("VPSHUFB X13, X1, X1")
	c.op("VPXOR X1, X0, X0")
	c.add(product('X', 0, 8, 0))
	c.op("ADDQ $16, SI")
	c.op("DECQ CX")
	c.op("JNZ block")
	c.op("done:")
	c.op("VPSHUFB X13, X0, X0")
	c.op("VMOVDQU X0, (DI)")
	c.add(clearRegisters(16))
	c.op("VZEROUPPER")
	c.op("RET")
	p.function("hashBlocks", "(k *expanded, hash *[2]uint64, data *byte, blocks int)", 0, 32, c)
}

// expand expands a key for a kernel with so many blocks to a vector. The kernel on
// 512-bit vectors begins with what has just been stored, and a load that spans two stores
// has to wait for both: so it gets all that it loads at once stored at once. For short
// messages there are 8 powers: these have that many blocks at most, and the others take as
// long as all the rest.
func expand(lanes int, short bool) (c code) {
	c.op("MOVQ k+0(FP), R8")
	c.op("MOVQ key+8(FP), SI")

	// Round keys. Key i is made of key i-2, whose words are summed up from the
	// left, and of the last word of key i-1 behind the S-box: AESENCLAST of four
	// equal columns is the S-box, and adds the sums. So what has to wait for key i-1
	// is a shuffle and a round. H is encrypted on the way.
	const h, t, rotate = "X2", "X3", "X7"
	c.op("VMOVDQU rotateLast<>(SB), %s", rotate)
	for i := range rounds + 1 {
		k, last := fmt.Sprintf("X%d", i%2), fmt.Sprintf("X%d", (i+1)%2)
		if i < 2 {
			c.op("VMOVDQU %d(SI), %s", 16*i, k)
		} else {
			rcon := ""
			if i%2 == 0 {
				rcon = fmt.Sprintf("rcon<>+%d(SB)", 16*(i/2-1))
			}
			c.add(sumWords(lanes, k, rcon))
			if i%2 == 0 {
				c.op("VPSHUFB %s, %s, %s", rotate, last, t)
			} else {
				c.op("VPSHUFD $0xff, %s, %s", last, t)
			}
			c.op("VAESENCLAST %s, %s, %s", k, t, k)
		}
		switch lanes {
		case 1:
			c.op("VMOVDQU %s, %d(R8)", k, keyRounds+64*i)
		case 2:
			c.op("VINSERTI128 $1, %s, Y%d, Y6", k, i%2)
			c.op("VMOVDQU Y6, %d(R8)", keyRounds+64*i)
		case 4:
			c.op("VSHUFI64X2 $0, Z%d, Z%d, Z6", i%2, i%2)
			c.op("VMOVDQU64 Z6, %d(R8)", keyRounds+64*i)
		}
		switch i {
		case 0:
			c.op("VMOVDQA %s, %s", k, h)
		case rounds:
			c.op("VAESENCLAST %s, %s, %s", k, h, h)
		default:
			c.op("VAESENC %s, %s, %s", k, h, h)
		}
	}

	// H·x: one bit to the left, and what falls out comes back as the polynomial.
	c.op("VPSHUFB reverse<>(SB), X2, X2")
	c.op("VPSRAD $31, X2, X3")
	c.op("VPSHUFD $0xff, X3, X3")
	c.op("VPAND carry<>(SB), X3, X3")
	c.op("VPSRLQ $63, X2, X4")
	c.op("VPSLLDQ $8, X4, X4")
	c.op("VPADDQ X2, X2, X2")
	c.op("VPXOR X4, X2, X2")
	c.op("VPXOR X3, X2, X8")

	// Powers, as many to a register as it has lanes, the highest one in the lowest:
	// all of them times the highest one doubles their number.
	c.op("VMOVDQU poly<>(SB), Y14")
	c.add(product('X', 8, 8, 0)) // H^2
	if lanes == 1 {
		c.add(product('X', 8, 0, 1), product('X', 0, 0, 2)) // H^3, H^4
		c.add(storePowers('X', 1, 8), storePowers('X', 2, 0), storePowers('X', 3, 1), storePowers('X', 4, 2))
		for i, power := range []int{8, 0, 1, 2, 3} { // a tail has 8 blocks and that of the lengths
			c.add(product('X', power, 2, 3+i))
			c.add(storePowers('X', 5+i, 3+i))
		}
		return append(c, append(clearRegisters(16), "VZEROUPPER", "RET")...)
	}
	c.op("VINSERTI128 $1, X0, Y0, Y13")
	c.op("VINSERTI128 $1, X8, Y0, Y0")
	if lanes == 2 {
		c.add(storePowers('Y', 2, 0))
		c.add(powers('Y', 2, 2))
		return append(c, append(clearRegisters(16), "VZEROUPPER", "RET")...)
	}
	c.op("VSHUFI64X2 $0, Z14, Z14, Z14")
	c.add(product('Y', 0, 13, 1))
	c.op("VSHUFI64X2 $0, Z1, Z1, Z13")
	c.op("VINSERTI64X4 $1, Y0, Z1, Z0")
	c.add(storePowers('Z', 4, 0))
	if short {
		c.add(product('Z', 0, 13, 1))
		c.add(storePowers('Z', 8, 1))
	} else {
		c.add(powers('Z', 4, 4))
	}
	return append(c, append(clearRegisters(16), "VZEROUPPER", "RET")...)
}

// sumWords adds to each word of k those on its left, and rcon if there is one.
func sumWords(lanes int, k, rcon string) (c code) {
	c.op("VPSLLDQ $4, %s, X8", k)
	c.op("VPSLLDQ $8, %s, X9", k)
	c.op("VPSLLDQ $12, %s, X10", k)
	if rcon != "" {
		c.op("VPXOR %s, X10, X10", rcon)
	}
	if lanes == 4 {
		c.op("VPTERNLOGD $0x96, X8, X9, %s", k)
	} else {
		c.op("VPXOR X8, X9, X9")
		c.op("VPXOR X9, %s, %s", k, k)
	}
	c.op("VPXOR X10, %s, %s", k, k)
	return c
}

// powers goes on from H^have … H^1, which are in registers 0 and up, lanes to each;
// the highest one is in all lanes of register 13.
func powers(kind rune, lanes, have int) (c code) {
	broadcast := func(from, to int) {
		if kind == 'Z' {
			c.op("VSHUFI64X2 $0, Z%d, Z%d, Z%d", from, from, to)
		} else {
			c.op("VPERM2I128 $0x00, Y%d, Y%d, Y%d", from, from, to)
		}
	}
	for ; have < 16; have *= 2 {
		n := have / lanes
		for i := range n {
			c.add(product(kind, i, 13, n+i))
		}
		for i := range n {
			c.add(storePowers(kind, have+lanes*(i+1), n+i))
		}
		broadcast(2*n-1, 13)
	}
	n := have / lanes
	c.add(product(kind, n-1, 13, 8)) // H^32 first, as the last ones wait for it
	c.add(storePowers(kind, 32, 8))
	broadcast(8, 15)
	for i := range (powerCount - 32) / lanes {
		c.add(product(kind, i, 15, 8))
		c.add(storePowers(kind, 32+lanes*(i+1), 8))
	}
	for i := range n - 1 {
		c.add(product(kind, i, 13, 8))
		c.add(storePowers(kind, have+lanes*(i+1), 8))
	}
	return c
}

// product multiplies register a with b lane by lane; register 14 has the polynomial.
func product(kind rune, a, b, dst int) (c code) {
	clmul := func(imm, a, b, dst int) {
		c.op("VPCLMULQDQ $0x%02x, %c%d, %c%d, %c%d", imm, kind, b, kind, a, kind, dst)
	}
	xor, shuffle := "VPXOR", "VPSHUFD $0x4e, %c%d, %c%d"
	if kind == 'Z' {
		xor = "VPXORD"
	}
	add := func(a, b, dst int) { c.op("%s %c%d, %c%d, %c%d", xor, kind, a, kind, b, kind, dst) }
	clmul(0x00, a, b, 9)
	clmul(0x01, a, b, 10)
	clmul(0x10, a, b, 11)
	clmul(0x11, a, b, 12)
	add(11, 10, 10)
	clmul(0x00, 9, 14, 11)
	c.op(shuffle, kind, 9, kind, 9)
	add(9, 10, 10)
	add(11, 10, 10)
	clmul(0x00, 10, 14, 11)
	c.op(shuffle, kind, 10, kind, 10)
	add(10, 12, 12)
	add(11, 12, dst)
	return c
}

// storePowers stores a register whose lowest lane has H^highest.
func storePowers(kind rune, highest, reg int) (c code) {
	at := 16 * (powerCount - highest)
	xor, move := "VPXOR", "VMOVDQU"
	if kind == 'Z' {
		xor, move = "VPXORD", "VMOVDQU64"
	}
	c.op("%s %c%d, %d(R8)", move, kind, reg, keyPowers+at)
	c.op("VPSHUFD $0x4e, %c%d, %c9", kind, reg, kind)
	c.op("%s %c%d, %c9, %c9", xor, kind, reg, kind, kind)
	c.op("%s %c9, %d(R8)", move, kind, keyKaratsuba+at)
	return c
}

// clearRegisters clears vector registers 0 to n-1, all of their bits.
func clearRegisters(n int) (c code) {
	for i := range n {
		c.op("VPXOR X%d, X%d, X%d", i, i, i)
	}
	return c
}
