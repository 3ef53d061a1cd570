// Command _asm writes the assembly of package chacha20poly1305.
//
// One function does all of a message, or of a piece of one: see crypt below.
// chacha.go has the two layouts of ChaCha20, poly.go both kinds of Poly1305.
//
// The code is constant time by construction: every branch, address and shift
// count depends on lengths, addresses and flags, which are public, and on
// nothing that comes from key, text or tag.
package main

import (
	"bytes"
	"flag"
	"log"
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A chunk is what is encrypted at once, 32 blocks of ChaCha20, one to a lane; it is
// hashed while it is in the first-level cache.
const (
	chunk = 32 * 64
	group = 32 * 16 // what Poly1305 takes at once
)

// vectorFrom is the least length of a message for which the powers of r, which
// Poly1305 in lanes needs, pay.
const vectorFrom = 448

// The frame, from its first multiple of 64.
const (
	words    = 0                   // the initial state of ChaCha20
	counters = words + 64          // block counters of the 32 lanes
	scalars  = counters + 128      // r0, r1, s1 of Poly1305 in 64-bit limbs
	stream   = scalars + 64        // block 0, then key stream of the tail, then its ciphertext
	lanes    = stream + 64 + chunk // accumulators of 8 lanes, three limbs
	parts    = lanes + 3*64        // sums that are to become those
	steps    = parts + 6*64        // r^8, r^16, r^24, r^32, see poly.go
	powers   = steps + 3*64        // r^32 .. r^1, then 32 zeros: one such row per limb
	spill    = powers + 3*64*8     // eight vectors
	frame    = spill + 8*64        // a multiple of 64
	small    = stream + 8*64       // what a message of less than 8 blocks uses of it
	mask44   = uint64(1)<<44 - 1   // limbs are 44, 44 and 42 bits
)

// Fields of the Go type state.
const (
	stateR       = 0
	stateS       = 16
	stateH       = 32
	stateLengths = 56
	stateTag     = 72
	stateCounter = 88
	stateStarted = 92
	stateOpen    = 93
	stateLast    = 94
)

// General registers. The accumulator of Poly1305 is h wherever it is not in
// lanes. AX, CX, DX, R11 and R12 are scratch in scalar code.
var (
	dst, src = reg.RDI, reg.RSI
	base     = reg.RBX // of the frame
	h        = [3]reg.GPPhysical{reg.R8, reg.R9, reg.R10}
)

func at(offset int) Mem { return Mem{Base: base, Disp: offset} }

var z = [32]reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
	reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
	reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

// data32 and data64 declare constants.
func data32(name string, values ...uint32) Mem {
	m := GLOBL(name, rodata)
	for i, v := range values {
		DATA(4*i, U32(v))
	}
	return m
}

func data64(name string, values ...uint64) Mem {
	m := GLOBL(name, rodata)
	for i, v := range values {
		DATA(8*i, U64(v))
	}
	return m
}

func main() {
	ConstraintExpr("amd64,!purego")
	constants()
	crypt()
	Generate()
	nameCommand()
}

// nameCommand corrects the header, where avo has the name of this file for the
// package.
func nameCommand() {
	name := flag.Lookup("out").Value.String()
	b, err := os.ReadFile(name)
	if err == nil {
		b = bytes.Replace(b, []byte("command: go run main.go "), []byte("command: go run -C _asm . "), 1)
		err = os.WriteFile(name, b, 0o666)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// crypt is the only function. It takes associated data and a piece of a message,
// in this order:
//
//	key stream of block 0 and of the tail, the part of the piece after whole chunks
//	one-time key; associated data
//	whole chunks: key stream, and hash of the ciphertext at the same time
//	tail: key stream from the frame; the ciphertext takes its place there; its hash
//	lengths and tag, after the last piece
func crypt() {
	TEXT("crypt", 0, "func(key *[32]byte, nonce *[12]byte, s *byte, dst, src *byte, n int, ad *byte, adLen int)")
	AllocLocal(frame + 64)
	LEAQ(Mem{Base: reg.StackPointer, Disp: 63}, base)
	ANDQ(I32(-64), base)

	state := reg.RDX
	Load(Param("s"), state)
	field := func(offset int) Mem { return Mem{Base: state, Disp: offset} }

	// R8: counter of the first block of the tail; R9: length of the tail.
	Load(Param("n"), reg.R9)
	MOVQ(reg.R9, reg.R8)
	SHRQ(U8(11), reg.R8)
	SHLQ(U8(5), reg.R8)
	ADDL(field(stateCounter), reg.R8L)
	ANDQ(U32(chunk-1), reg.R9)
	initialState(reg.R8, reg.RAX, reg.RCX)

	blocks := reg.R10
	LEAQ(Mem{Base: reg.R9, Disp: 2*64 - 1}, blocks)
	SHRQ(U8(6), blocks)
	Comment("Which layout for block 0 and the blocks of the tail")
	CMPQ(blocks, U8(8))
	JBE(LabelRef("rows8"))
	CMPQ(blocks, U8(20))
	JBE(LabelRef("rows20"))
	tailCounters(reg.R8)
	startHalf(0).emit()
	startHalf(1).emit()
	doubleRounds("tailRounds", 10)
	toFrame := func(block int, x reg.VecPhysical) {
		VMOVDQU64(x, at(stream+64*block))
	}
	outputHalf(0, toFrame).emit()
	outputHalf(1, toFrame).emit()
	CMPQ(blocks, U8(33)) // one block is left over
	JNE(LabelRef("onetime"))
	for i, x := range row {
		VBROADCASTI32X4(at(words+16*i), x)
	}
	rows("rows33", 32, 1)
	JMP(LabelRef("onetime"))
	Label("rows8")
	CMPQ(blocks, U8(1))
	JNE(LabelRef("rows8needed"))
	CMPB(field(stateStarted), U8(0)) // the one-time key is known, and there is no tail
	JNE(LabelRef("onetime"))
	blockZero()
	Load(Param("s"), state)
	JMP(LabelRef("onetime"))
	Label("rows8needed")
	rows("rows8", 0, 8)
	JMP(LabelRef("onetime"))
	Label("rows20")
	rows("rows20", 0, 20)

	Label("onetime")
	oneTimeKey(field)
	associated()

	Load(Param("n"), reg.R13)
	CMPQ(reg.R13, U32(vectorFrom))
	JB(LabelRef("tail"))
	computePowers()
	CMPQ(reg.R13, U32(group))
	JB(LabelRef("tail"))
	startLanes()

	chunks()
	tail()
	hashTail()
	finish()
}

// chunks takes whole chunks. The hash goes along with the rounds: when opening,
// that of the same chunk; when sealing, that of the chunk before. The second half
// is a double round behind the first, so that the output of one half goes
// along with rounds of the other.
func chunks() {
	mode, count, first := reg.R12, reg.R13, reg.R11
	output := func(block int, x reg.VecPhysical) {
		VPXORQ(Mem{Base: src, Disp: 64 * block}, x, x)
		VMOVDQU64(x, Mem{Base: dst, Disp: 64 * block})
	}
	Comment("Whole chunks: R13 counts, R12 is 0 sealing, 1 opening, 2 in the tail, R11 is 1 before the first group")
	MOVL(U32(1), first.As32())
	SHRQ(U8(11), count)
	JZ(LabelRef("tail"))
	Load(Param("s"), reg.RAX)
	MOVBLZX(Mem{Base: reg.RAX, Disp: stateOpen}, mode.As32())
	chunkCounters(reg.RAX)
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	startHalf(0).emit()
	doubleRound(0).emit()
	TESTL(mode.As32(), mode.As32())
	JNZ(LabelRef("chunk"))
	startHalf(1).emit()
	doubleRounds("firstRounds", 9)
	JMP(LabelRef("output"))

	Label("chunk")
	startHalf(1).emit()
	LEAQ(Mem{Base: dst, Disp: -chunk}, reg.RAX)
	TESTL(mode.As32(), mode.As32())
	CMOVQNE(src, reg.RAX)
	hashingRounds()
	doubleRounds("", 1)
	Label("output")
	weave(outputHalf(0, output), doubleRound(1))
	nextCounters(0)
	SUBQ(U8(1), count)
	JZ(LabelRef("lastOutput"))
	weave(append(startHalf(0), doubleRound(0)...), outputHalf(1, output))
	nextCounters(1)
	ADDQ(U32(chunk), src)
	ADDQ(U32(chunk), dst)
	JMP(LabelRef("chunk"))
	Label("lastOutput")
	outputHalf(1, output).emit()

	TESTL(mode.As32(), mode.As32())
	JNZ(LabelRef("tail"))
	MOVQ(dst, reg.RAX)
	MOVL(U32(chunk/group), reg.ESI)
	Label("hash")
	groups()
	CMPL(mode.As32(), U8(2))
	JE(LabelRef("tailGroupsDone"))
}

// code is instructions to be emitted.
type code []func()

func (c *code) add(f func()) { *c = append(*c, f) }

func (c code) emit() {
	for _, f := range c {
		f()
	}
}

// weave emits two independent pieces of code evenly mixed.
func weave(a, b code) {
	done := 0
	for i, f := range b {
		for ; done*len(b) < i*len(a); done++ {
			a[done]()
		}
		f()
	}
	a[done:].emit()
}

// tail combines the tail with its key stream, and puts its ciphertext, with
// zeros up to the end of the last block, in the place of the key stream.
func tail() {
	left, p, mode := reg.RCX, reg.R13, reg.RDX
	Label("tail")
	Load(Param("n"), left)
	Comment("Advance past whole chunks")
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	MOVQ(left, reg.RAX)
	ANDQ(I32(-chunk), reg.RAX)
	ADDQ(reg.RAX, src)
	ADDQ(reg.RAX, dst)
	ANDQ(U32(chunk-1), left)
	JZ(LabelRef("tailDone"))
	Load(Param("s"), mode)
	MOVBLZX(Mem{Base: mode, Disp: stateOpen}, mode.As32())
	LEAQ(at(stream+64), p)
	SUBQ(U8(64), left)
	JB(LabelRef("tailPart"))
	TESTL(mode.As32(), mode.As32())
	JNZ(LabelRef("openTail"))

	loop := func(label string, opening bool) {
		Label(label)
		VMOVDQU64(Mem{Base: src}, z[0])
		VPXORQ(Mem{Base: p}, z[0], z[1])
		ciphertext := z[1]
		if opening {
			ciphertext = z[0]
		}
		VMOVDQU64(ciphertext, Mem{Base: p})
		VMOVDQU64(z[1], Mem{Base: dst})
		ADDQ(U8(64), src)
		ADDQ(U8(64), dst)
		ADDQ(U8(64), p)
		SUBQ(U8(64), left)
		JAE(LabelRef(label))
	}
	loop("sealTail", false)
	JMP(LabelRef("tailPart"))
	loop("openTail", true)

	Label("tailPart")
	ADDQ(U8(64), left)
	JZ(LabelRef("tailDone"))
	Comment("Less than a block is left. A masked access that reaches into a page",
		"that is not there is legal but takes hundreds of cycles: go by bytes then")
	for _, pointer := range []reg.GPPhysical{src, dst} {
		MOVL(pointer.As32(), reg.EAX)
		ANDL(U32(4095), reg.EAX)
		CMPL(reg.EAX, U32(4096-64))
		JA(LabelRef("tailBytes"))
	}
	MOVQ(I32(-1), reg.RAX)
	BZHIQ(left, reg.RAX, reg.RAX)
	KMOVQ(reg.RAX, reg.K1)
	VMOVDQU8_Z(Mem{Base: src}, reg.K1, z[0])
	VPXORQ(Mem{Base: p}, z[0], z[1])
	VMOVDQU8_Z(z[1], reg.K1, z[1])
	VMOVDQU8(z[1], reg.K1, Mem{Base: dst})
	TESTL(mode.As32(), mode.As32())
	JNZ(LabelRef("openPart"))
	VMOVDQU64(z[1], Mem{Base: p})
	JMP(LabelRef("tailDone"))
	Label("openPart")
	VMOVDQU64(z[0], Mem{Base: p})
	JMP(LabelRef("tailDone"))

	Label("tailBytes")
	Comment("AX: a byte of the source, R12: of the destination, R12 becomes that of the ciphertext; DI and SI are indices from p on")
	SUBQ(p, src)
	SUBQ(p, dst)
	ADDQ(p, left) // its end
	Label("tailByte")
	MOVBLZX(Mem{Base: src, Index: p, Scale: 1}, reg.EAX)
	MOVBLZX(Mem{Base: p}, reg.R12L)
	XORL(reg.EAX, reg.R12L)
	MOVB(reg.R12B, Mem{Base: dst, Index: p, Scale: 1})
	TESTL(mode.As32(), mode.As32())
	CMOVLNE(reg.EAX, reg.R12L)
	MOVB(reg.R12B, Mem{Base: p})
	ADDQ(U8(1), p)
	CMPQ(p, left)
	JNE(LabelRef("tailByte"))
	Comment("Zeros up to a multiple of 64")
	JMP(LabelRef("tailZero"))
	Label("tailZeroByte")
	MOVB(U8(0), Mem{Base: p})
	ADDQ(U8(1), p)
	Label("tailZero")
	TESTL(U32(63), p.As32())
	JNZ(LabelRef("tailZeroByte"))
	Label("tailDone")
}

// finish makes the tag of a message, or keeps the accumulator for its next
// piece, and clears what is secret in registers and frame.
func finish() {
	s := reg.RSI
	field := func(offset int) Mem { return Mem{Base: s, Disp: offset} }
	Load(Param("s"), s)
	CMPB(field(stateLast), U8(0))
	JNE(LabelRef("tag"))
	for i := range h {
		MOVQ(h[i], field(stateH+8*i))
	}
	Load(Param("n"), reg.RAX)
	SHRQ(U8(6), reg.RAX)
	ADDL(reg.EAX, field(stateCounter))
	JMP(LabelRef("wipe"))

	Label("tag")
	scalarBlock(field(stateLengths), field(stateLengths+8))
	Comment("h - (2^130 - 5) where that is not negative, and add s (RFC 8439 section 2.5.1)")
	MOVQ(h[0], reg.RAX)
	MOVQ(h[1], reg.RCX)
	MOVQ(h[2], reg.RDX)
	ADDQ(U8(5), reg.RAX)
	ADCQ(U8(0), reg.RCX)
	ADCQ(U8(0), reg.RDX)
	SHRQ(U8(2), reg.RDX)
	CMOVQNE(reg.RAX, h[0])
	CMOVQNE(reg.RCX, h[1])
	ADDQ(field(stateS), h[0])
	ADCQ(field(stateS+8), h[1])
	MOVQ(h[0], field(stateTag))
	MOVQ(h[1], field(stateTag+8))
	VPXOR(reg.Y0, reg.Y0, reg.Y0)
	VMOVDQU(reg.Y0, field(stateR))
	VMOVDQU(reg.Y0, field(stateH-8)) // s again, and h
	Label("wipe")
	for i := range z {
		VPXORQ(z[i], z[i], z[i])
	}
	Load(Param("n"), reg.RCX)
	for offset := 0; offset < frame; offset += 64 {
		if offset == small {
			Comment("A short message has used no more")
			CMPQ(reg.RCX, U32(min(vectorFrom, 7*64+1)))
			JB(LabelRef("wiped"))
		}
		VMOVDQU64(z[0], at(offset))
	}
	Label("wiped")
	for _, r := range []reg.GPPhysical{reg.RAX, reg.RCX, reg.RDX, h[0], h[1], h[2], reg.R11, reg.R12, reg.R13} {
		XORL(r.As32(), r.As32())
	}
	VZEROUPPER()
	RET()
}
