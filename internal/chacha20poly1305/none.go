//go:build !amd64 || purego

package chacha20poly1305

// Built tells whether this build has kernels. The processor may lack what they
// need: ask package cpu.
const Built = false

// Key has no use in this build.
type Key struct{}

const notBuilt = "chacha20poly1305: internal error: this build has no kernel"

func (*Key) Init(key *[KeySize]byte) { panic(notBuilt) }

func (*Key) Wipe() { panic(notBuilt) }

func (*Key) Seal(dst, src []byte, nonce *[NonceSize]byte, associated []byte) { panic(notBuilt) }

func (*Key) Open(dst, src []byte, nonce *[NonceSize]byte, associated []byte) bool { panic(notBuilt) }
