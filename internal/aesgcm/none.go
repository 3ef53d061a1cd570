//go:build !amd64 || purego

package aesgcm

// Built tells whether this build has kernels. The processor may lack what they
// need: ask package cpu.
const Built = false

// Key has no use in this build.
type Key struct{}

const notBuilt = "aesgcm: internal error: this build has no kernel"

func (*Key) Init(key *[KeySize]byte, lanes, longest int) { panic(notBuilt) }

func (*Key) Wipe() { panic(notBuilt) }

func (*Key) SealPackage(dst, src []byte, nonce *[NonceSize]byte, associated *[4]byte) {
	panic(notBuilt)
}

func (*Key) OpenPackage(dst, src []byte, nonce *[NonceSize]byte, associated *[4]byte) bool {
	panic(notBuilt)
}

func (*Key) OpenPackagePart(src []byte, nonce *[NonceSize]byte, associated *[4]byte, from, to int) (begin, end int, ok bool) {
	panic(notBuilt)
}

func (*Key) Seal(dst, src []byte, nonce *[NonceSize]byte, associated []byte) { panic(notBuilt) }

func (*Key) Open(dst, src []byte, nonce *[NonceSize]byte, associated []byte) bool { panic(notBuilt) }
