package main

// authenticate is opening without decryption, for a message of 512 bytes or more that
// is one call: it leaves the tag that the message should have.
func (k wide) authenticate() (c code) {
	c.op("MOVQ k+0(FP), R8")
	c.op("MOVQ s+8(FP), R9")
	c.op("MOVQ src+16(FP), SI")
	c.op("MOVQ n+24(FP), DX")
	c.op("VMOVDQU64 reverse<>(SB), %s", z(rReverse))
	c.op("VPXORD %s, %s, %s", z(rHash), z(rHash), z(rHash))

	// The key stream of block 1 masks the tag.
	c.add(load128(stateCounter, 0))
	c.op("VPXOR index<>+16(SB), X0, X0")
	c.op("VPXOR %d(R8), X0, X0", keyRounds)
	for r := 1; r < rounds; r++ {
		c.op("VAESENC %d(R8), X0, X0", keyRounds+64*r)
	}
	c.op("VAESENCLAST %d(R8), X0, X0", keyRounds+64*rounds)
	c.op("VMOVDQU X0, %d(R9)", stateMask)

	// Vector 0 of a group is in Z8; that of the first one is as in firstVector.
	const first = 8
	c.add(load128(stateX, first+1))
	c.op("VPXOR X%d, X%d, X%d", first, first, first)
	c.op("VINSERTI128 $1, X%d, Y%d, Y%d", first+1, first, first)
	c.op("VINSERTI64X4 $1, (SI), Z%d, Z%d", first, first)
	c.op("SUBQ $32, SI")
	c.op("ADDQ $32, DX")
	c.op("JMP group")
	c.op("PCALIGN $64")
	c.op("loop:")
	c.op("VMOVDQU64 (SI), %s", z(first))
	c.op("group:")
	for v := 1; v < 8; v++ {
		c.op("VMOVDQU64 %d(SI), %s", 64*v, z(rText))
		c.op("VPSHUFB %s, %s, %s", z(rReverse), z(rText), z(rText))
		c.add(k.hashVector(rText, v, groupPowers))
	}
	c.op("VPSHUFB %s, %s, %s", z(rReverse), z(first), z(first))
	c.add(k.hashVector(first, 0, groupPowers), k.reduce())
	c.op("ADDQ $512, SI")
	c.op("SUBQ $512, DX")
	c.op("CMPQ DX, $512")
	c.op("JGE loop")
	c.add(k.clearSums(), k.tail(), k.leave())
	return c
}
