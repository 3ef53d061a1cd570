package main

import "fmt"

// keySchedule writes the expansion of a key: the round keys of AES-256 (FIPS 197,
// section 5.2), H = E(0), and the first 36 powers of H.
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

	var c code
	c.op("MOVQ k+0(FP), R8")
	c.op("MOVQ key+8(FP), SI")

	// Round keys. Key i is made of key i-2, whose words are summed up from the
	// left, and of the last word of key i-1 behind the S-box: AESENCLAST of four
	// equal columns is the S-box alone. H is encrypted on the way.
	const h, t, sum, zero = "X2", "X3", "X4", "X5"
	c.op("VPXOR %s, %s, %s", zero, zero, zero)
	for i := range rounds + 1 {
		k, last := fmt.Sprintf("X%d", i%2), fmt.Sprintf("X%d", (i+1)%2)
		if i < 2 {
			c.op("VMOVDQU %d(SI), %s", 16*i, k)
		} else {
			c.op("VPSLLDQ $4, %s, %s", k, sum)
			c.op("VPXOR %s, %s, %s", sum, k, k)
			c.op("VPSLLDQ $8, %s, %s", k, sum)
			c.op("VPXOR %s, %s, %s", sum, k, k)
			if i%2 == 0 {
				c.op("VPSHUFB rotateLast<>(SB), %s, %s", last, t)
				c.op("VAESENCLAST rcon<>+%d(SB), %s, %s", 16*(i/2-1), t, t)
			} else {
				c.op("VPSHUFD $0xff, %s, %s", last, t)
				c.op("VAESENCLAST %s, %s, %s", zero, t, t)
			}
			c.op("VPXOR %s, %s, %s", t, k, k)
		}
		c.op("VINSERTI128 $1, %s, Y%d, Y6", k, i%2)
		c.op("VMOVDQU Y6, %d(R8)", keyRounds+64*i)
		c.op("VMOVDQU Y6, %d(R8)", keyRounds+64*i+32)
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
	c.op("VPXOR X3, X2, X2")

	// Powers, two to a register: the higher one in the lower lane.
	c.op("VMOVDQU poly<>(SB), Y14")
	product := func(a, b, dst int) {
		c.op("VPCLMULQDQ $0x00, Y%d, Y%d, Y9", b, a)
		c.op("VPCLMULQDQ $0x01, Y%d, Y%d, Y10", b, a)
		c.op("VPCLMULQDQ $0x10, Y%d, Y%d, Y11", b, a)
		c.op("VPCLMULQDQ $0x11, Y%d, Y%d, Y12", b, a)
		c.op("VPXOR Y11, Y10, Y10")
		c.op("VPCLMULQDQ $0x00, Y14, Y9, Y11")
		c.op("VPSHUFD $0x4e, Y9, Y9")
		c.op("VPXOR Y11, Y10, Y10")
		c.op("VPXOR Y9, Y10, Y10")
		c.op("VPCLMULQDQ $0x00, Y14, Y10, Y11")
		c.op("VPSHUFD $0x4e, Y10, Y10")
		c.op("VPXOR Y11, Y12, Y12")
		c.op("VPXOR Y10, Y12, Y%d", dst)
	}
	store := func(pair, reg int) { // the pair H^2n, H^(2n-1)
		at := 16 * (powerCount - 2*pair)
		c.op("VMOVDQU Y%d, %d(R8)", reg, keyPowers+at)
		c.op("VPSHUFD $0x4e, Y%d, Y9", reg)
		c.op("VPXOR Y%d, Y9, Y9", reg)
		c.op("VMOVDQU Y9, %d(R8)", keyKaratsuba+at)
	}
	c.op("VMOVDQA X2, X8")
	product(8, 8, 0)                    // H^2
	c.op("VINSERTI128 $1, X0, Y0, Y13") // H^2, H^2
	c.op("VINSERTI128 $1, X8, Y0, Y0")  // H^2, H
	store(1, 0)
	product(0, 13, 1) // H^4, H^3
	store(2, 1)
	c.op("VPERM2I128 $0x00, Y1, Y1, Y13")
	product(0, 13, 2) // H^6, H^5
	product(1, 13, 3) // H^8, H^7
	store(3, 2)
	store(4, 3)
	c.op("VPERM2I128 $0x00, Y3, Y3, Y13")
	for i := range 4 {
		product(i, 13, 4+i)
		store(5+i, 4+i)
	}
	c.op("VPERM2I128 $0x00, Y7, Y7, Y13")
	product(7, 13, 8) // first, as the very last ones wait for it
	store(16, 8)
	c.op("VPERM2I128 $0x00, Y8, Y8, Y15")
	for i := range 2 {
		product(i, 15, 8)
		store(17+i, 8)
	}
	for i := range 7 {
		product(i, 13, 8)
		store(9+i, 8)
	}
	for i := range 16 {
		c.op("VPXOR Y%d, Y%d, Y%d", i, i, i)
	}
	c.op("VZEROUPPER")
	c.op("RET")
	p.function("expand", "(k *expanded, key *[KeySize]byte)", 0, 16, c)

	// Wiping is a part of sealing a small object: a store after the other is faster
	// than a call of the runtime's, which is made for any size.
	c = nil
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
	product(0, 8, 0)
	c.op("ADDQ $16, SI")
	c.op("DECQ CX")
	c.op("JNZ block")
	c.op("done:")
	c.op("VPSHUFB X13, X0, X0")
	c.op("VMOVDQU X0, (DI)")
	for i := range 16 {
		c.op("VPXOR Y%d, Y%d, Y%d", i, i, i)
	}
	c.op("VZEROUPPER")
	c.op("RET")
	p.function("hashBlocks", "(k *expanded, hash *[2]uint64, data *byte, blocks int)", 0, 32, c)
}
