// Package peers has the implementations that the benchmarks compare, all in
// one shape, so that a benchmark is written once and runs them all.
//
// A [Stream] is one way of sealing a stream of bytes, an [AEAD] one of sealing a
// single message. Start with [Streams] and [AEADs]; [FileJob] takes a file to
// another one. Packages formats and objects have more to compare.
package peers

import (
	"io"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/cpu"
	"github.com/objseal/objseal/stream"
)

// KeySize is the length of every key, in bytes.
const KeySize = 32

// A Stream is an implementation of sealed streams.
type Stream struct {
	Name    string
	Ciphers []aead.Cipher
	Workers bool // it has a use for more than one core

	// Missing tells why the implementation cannot run with a cipher on this
	// machine, and is empty if it can. nil: it always can.
	Missing func(aead.Cipher) string

	// Off are the features of the processor that it must do without.
	Off []cpu.Feature

	// New returns the implementation under a key, for so many workers, as in
	// stream.Options. What it does may be kept for any number of streams: it is not
	// measured.
	New func(c aead.Cipher, key *[KeySize]byte, workers int) Codec
}

// Streams are all implementations of sealed streams, the plain copy at the end.
var Streams = []Stream{
	{Name: "objseal", Ciphers: aead.Ciphers, Workers: parallel, New: newObjseal},
	{Name: "objseal-generic", Ciphers: aead.Ciphers, Workers: parallel, New: newObjseal, Off: []cpu.Feature{cpu.AVX, cpu.AVX2, cpu.AVX512, cpu.IFMA}},
	{Name: "objseal-avx", Ciphers: aesOnly, New: newObjseal, Off: []cpu.Feature{cpu.AVX2, cpu.AVX512, cpu.IFMA}, Missing: missing(aead.AVX)},
	{Name: "objseal-avx2", Ciphers: aesOnly, New: newObjsealSeal, Off: []cpu.Feature{cpu.AVX512, cpu.IFMA}, Missing: missing(aead.AVX2)},
	{Name: "objseal-readerat", Ciphers: aead.Ciphers, New: newObjsealReaderAt},
	{Name: "sio", Ciphers: aead.Ciphers, New: newSIO},
	{Name: "sio-reader", Ciphers: aead.Ciphers, New: newSIOSequence},
	{Name: "cipher", Ciphers: aead.Ciphers, New: newRaw},
	{Name: "memcpy", Ciphers: aead.Ciphers, New: newCopy},
}

var aesOnly = []aead.Cipher{aead.AES256GCM}

// missing returns a Stream.Missing for what needs kernel k.
func missing(k aead.Kernel) func(aead.Cipher) string {
	return func(c aead.Cipher) string {
		if c.Available(k) {
			return ""
		}
		return "this processor or build has no " + k.String() + " kernel of " + c.String()
	}
}

// Without switches features off until restore is called.
func Without(features []cpu.Feature) (restore func()) {
	var undo []func()
	for _, f := range features {
		undo = append(undo, cpu.Disable(f))
	}
	return func() {
		for _, u := range undo {
			u()
		}
	}
}

// A Codec does the work. What an implementation does not offer is nil.
type Codec struct {
	EncryptReader, DecryptReader func(src io.Reader) (io.Reader, error)
	EncryptWriter, DecryptWriter func(dst io.Writer) (io.WriteCloser, error)

	// Seal and Open append to dst, which has room enough.
	Seal, Open func(dst, src []byte) ([]byte, error)

	// Input is Seal for an implementation that only opens.
	Input func(dst, src []byte) ([]byte, error)

	// ReadRange fills p with the plaintext from off. src has sealed bytes, of
	// plain bytes of plaintext.
	ReadRange func(p []byte, off int64, src io.ReaderAt, sealed, plain int64) error
}

// SealAll returns the stream that protects plain, made in whatever way c has.
func (c Codec) SealAll(plain []byte) ([]byte, error) {
	// Every format adds less than this to a stream.
	dst := make([]byte, 0, len(plain)+len(plain)>>10+1024)
	switch {
	case c.Input != nil:
		return c.Input(dst, plain)
	case c.Seal != nil:
		return c.Seal(dst, plain)
	}
	sink := &Buffer{B: dst}
	w, err := c.EncryptWriter(sink)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	return sink.B, w.Close()
}

// Buffer is an io.Writer that appends to B, and nothing else.
type Buffer struct{ B []byte }

func (b *Buffer) Write(p []byte) (int, error) {
	b.B = append(b.B, p...)
	return len(p), nil
}

// CopySize returns how large a buffer [Copy] shall have for a stream of n bytes:
// the size with which sio is fastest. Up to 64 KiB that is 64 KiB, because with
// more its EncryptReader loses a pooled buffer per object; above, a package of DARE,
// into which a reader can seal without a copy.
func CopySize(n int) int {
	if n <= stream.PayloadSize {
		return stream.PayloadSize
	}
	return stream.PackageSize
}

// Copy copies src to dst like [io.Copy]: by the WriteTo of src or the ReadFrom of
// dst, if there is one, else through buf. That one is the caller's, to spare
// those who need it a fresh one for each stream.
func Copy(dst io.Writer, src io.Reader, buf []byte) error {
	_, err := io.CopyBuffer(dst, src, buf)
	return err
}
