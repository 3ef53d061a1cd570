package stream

import (
	"errors"
	"fmt"
)

// What can be wrong with a stream. Readers and writers return these inside an
// [*Error], so compare with errors.Is. Errors of the source and the
// destination are passed on as they are.
var (
	// ErrTampered: the data was changed, or the key is not the right one.
	// Nothing can tell the two apart.
	ErrTampered = errors.New("stream: not authentic")

	// ErrTruncated: the data ends inside a package or before the final one.
	ErrTruncated = errors.New("stream: truncated")

	// ErrUnsupported: a version or cipher that this package does not have or
	// that the options do not accept.
	ErrUnsupported = errors.New("stream: unsupported")

	// ErrFIPS: not to be had in Go's FIPS 140-3 mode. It is an ErrUnsupported.
	ErrFIPS = fmt.Errorf("%w in FIPS 140-3 mode", ErrUnsupported)

	// ErrTooLarge: more than 2^32 packages.
	ErrTooLarge = errors.New("stream: too large")
)

// What can be wrong with a call.
var (
	ErrInvalidKey     = errors.New("stream: a key has 32 bytes")
	ErrInvalidOptions = errors.New("stream: invalid options")
	ErrInvalidRange   = errors.New("stream: invalid range") // sizes and offsets too
	ErrClosed         = errors.New("stream: writer is closed")
)

// An Error is a package that could not be sealed or opened.
type Error struct {
	Package int64  // its number in the stream, the first being Options.Sequence
	Offset  int64  // of its first byte in the ciphertext (of the whole stream, for a Range)
	Err     error  // ErrTampered, ErrTruncated, ErrUnsupported, ErrFIPS or ErrTooLarge
	Reason  string // what was seen, for people
}

func (e *Error) Error() string {
	return fmt.Sprintf("%v: package %d at offset %d: %s", e.Err, e.Package, e.Offset, e.Reason)
}

func (e *Error) Unwrap() error { return e.Err }
