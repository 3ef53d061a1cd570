// Package stream protects the bytes of an object: it turns a stream of
// plaintext into DARE packages and back, over [io.Reader], [io.Writer],
// [io.ReaderAt] and whole buffers.
//
// It implements DARE 2.0, the data-at-rest format of MinIO, and opens DARE 1.0
// where [Options.AllowLegacy] asks for it. Start with [NewEncryptReader] and
// [NewDecryptReader]; [Seal] and [Open] do the same for data in memory,
// [NewDecryptReaderAt] gives random access, and [PackageRange] with
// [NewRangeReader] decrypts a part of an object that is fetched from elsewhere.
//
// # Layout
//
// A stream is a row of packages and nothing else. Each holds 64 KiB of
// plaintext, the last one 1 byte to 64 KiB:
//
//	0   version 0x20
//	1   cipher: 0 AES-256-GCM, 1 ChaCha20-Poly1305
//	2   payload length - 1, 16 bits, little endian
//	4   nonce, 12 bytes; its top bit marks the stream's final package
//	16  ciphertext, as long as the payload
//	    tag, 16 bytes
//
// The number of a package is not stored: it is mixed into the nonce, so a
// package opens at its own place only. FORMAT.md has the details and a worked
// example.
//
// # Guarantees
//
// No byte of plaintext is handed out before its package is authenticated, and
// buffers are cleared when that fails. Changed, reordered, repeated, dropped and
// appended packages are [ErrTampered]; a stream that ends before its final
// package is [ErrTruncated], however it is read. Errors stay: after a failure
// every later call fails the same way (except with [DecryptReaderAt], whose calls
// are independent). The 2^32 packages of a key and nonce are a hard stop
// ([ErrTooLarge]).
//
// In Go's FIPS 140-3 mode (GODEBUG=fips140=on) there is AES-256-GCM only, from
// crypto/cipher. Under fips140=only streams can be opened but not made, as Go
// then lets no caller choose a nonce; what is not to be had is [ErrFIPS].
//
// # What is not guaranteed
//
// A reader that hands out packages as they arrive cannot know that a later one
// is bad: treat what it gave as unconfirmed until it returns [io.EOF].
//
// A range ([NewRangeReader]) says nothing of the packages outside of it.
//
// The empty stream is zero bytes long, so nothing authenticates that it is
// empty. It is accepted only with [Options.AllowEmpty], which should be set
// only where the size is known to be 0 from a source that can be trusted.
//
// Nothing ties a stream to its object: whoever may write can put one stream of
// a key in the place of another one of the same key. Use one key per
// stream. The ciphers do not commit to a key either.
package stream

import "fmt"

// Sizes, in bytes (DARE section 1).
const (
	KeySize     = 32                     // of a key, for both ciphers
	PayloadSize = 1 << 16                // plaintext of every package but the last
	HeaderSize  = 16                     // in front of a package's ciphertext
	TagSize     = 16                     // behind it
	Overhead    = HeaderSize + TagSize   // what a package adds to its plaintext
	PackageSize = PayloadSize + Overhead // of every package but the last
)

// MaxPackages is how many packages a stream may have: each has a 32-bit number.
const MaxPackages = 1 << 32

const (
	maxPlain  = MaxPackages * PayloadSize // 2^48
	maxSealed = MaxPackages * PackageSize // 2^48 + 2^37
)

// Options are the settings of a stream. The zero value, and a nil *Options, is
// what MinIO writes and reads.
type Options struct {
	// Cipher is the cipher of a new stream. Decryption ignores it and accepts
	// both.
	Cipher Cipher

	// Sequence is the number of the stream's first package: 0 for a whole
	// stream, n to begin with its n-th package (counted from 0).
	Sequence uint32

	// Workers is how many goroutines may work on a large stream inside one call
	// of WriteTo, ReadFrom, [Seal] or [Open]; one of them is the caller, and none
	// outlives the call. They begin where they pay, behind the first 4 MiB (1 MiB without our
	// own assembly), and read and write 512 KiB at once, for which each has a
	// buffer of 590 KiB. Source and destination are then used by several
	// goroutines: each by one at a time, but the one may be read while the other is
	// written, so they must not share state, such as one file's offset. And a
	// call that has failed returns when the reads in hand have: a source that
	// gives nothing more holds it up.
	//
	// 0: the caller alone, package by package, in 64 KiB. 1: the caller alone, in 2 MiB,
	// with a buffer of 2.1 MiB: faster than 0 for files, slower for what is in memory.
	Workers int

	// AllowEmpty accepts, when decrypting, zero bytes of input as the stream
	// without plaintext. Otherwise that is ErrTruncated.
	AllowEmpty bool

	// AllowLegacy accepts, when decrypting, streams of DARE 1.0 too; the first
	// byte decides which version a stream has. DARE 1.0 has no end
	// mark: a stream that lost its last packages decrypts without an error, so
	// compare the size of the plaintext with what it should be.
	AllowLegacy bool
}

// orDefault returns the options that o stands for.
func (o *Options) orDefault() (Options, error) {
	if o == nil {
		return Options{}, nil
	}
	switch {
	case o.Cipher > ChaCha20Poly1305:
		return Options{}, fmt.Errorf("%w: no cipher has the number %d", ErrInvalidOptions, uint8(o.Cipher))
	case o.Workers < 0:
		return Options{}, fmt.Errorf("%w: %d workers", ErrInvalidOptions, o.Workers)
	}
	return *o, nil
}

// EncryptedSize returns how many bytes the stream of plain bytes of plaintext
// has (DARE section 3). It fails with ErrTooLarge above 2^48 and with
// ErrInvalidRange below 0.
func EncryptedSize(plain int64) (int64, error) {
	switch {
	case plain < 0:
		return 0, fmt.Errorf("%w: size %d", ErrInvalidRange, plain)
	case plain > maxPlain:
		return 0, fmt.Errorf("%w: %d bytes of plaintext", ErrTooLarge, plain)
	}
	return plain + packages(plain, PayloadSize)*Overhead, nil
}

// DecryptedSize returns how many bytes of plaintext a stream of sealed bytes
// holds. It fails with ErrTruncated if no stream has that size, with
// ErrTooLarge above 2^48 + 2^37 and with ErrInvalidRange below 0. What it
// returns is as trustworthy as its argument.
func DecryptedSize(sealed int64) (int64, error) {
	switch {
	case sealed < 0:
		return 0, fmt.Errorf("%w: size %d", ErrInvalidRange, sealed)
	case sealed > maxSealed:
		return 0, fmt.Errorf("%w: %d bytes of ciphertext", ErrTooLarge, sealed)
	}
	if rest := sealed % PackageSize; rest > 0 && rest <= Overhead {
		return 0, fmt.Errorf("%w: the last package of %d bytes would have %d", ErrTruncated, sealed, rest)
	}
	return sealed - packages(sealed, PackageSize)*Overhead, nil
}

// packages returns how many packages n bytes take, at size bytes each.
func packages(n, size int64) int64 {
	return (n + size - 1) / size
}
